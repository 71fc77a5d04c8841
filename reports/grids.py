"""Tables of papers filled with our numbers, and our numbers minus the paper's.

A grid has the rows and columns that the paper has, for each data set of the results; a number
that was not run, failed or is invalid is replaced by that status.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd

from hashattack.benchmark.columns import COLUMNS, MISSING
from hashattack.benchmark.names import REFERENCE
from hashattack.datasets.draws import OWN
from hashattack.reports.captions import labels_text, protocol_text
from hashattack.reports.lines import records, shares_draw
from hashattack.reports.names import Names
from hashattack.reports.published import Layout, Metric, Paper, PaperError
from hashattack.reports.tables import BEST, Table

# What rows behind one number must have in common.
_SETTING = ["dataset_fingerprint", "n_queries", "params", "policy", "protocol", "source", "victim"]
_POINTS = (1.0, 5.0)  # differences that get one mark and two
_SHARES = (0.1, 0.5)  # of the published value, for metrics that are not judged in points


@dataclass(frozen=True)
class Grid:
    """A filled table of one protocol and policy.

    Attributes:
        paper, layout: whose table, and which.
        dataset: "" where data sets are columns.
        results: the rows behind it.
        numbers: one row per number: the paper's keys, ``value`` (ours, NaN where there is none),
            ``status``, ``published`` (NaN where there is none), ``best``.
    """

    paper: Paper
    layout: Layout
    dataset: str
    results: pd.DataFrame
    numbers: pd.DataFrame

    @property
    def stem(self) -> str:
        """The name of its files."""
        first = self.results.iloc[0]
        parts = (self.layout.id, self.dataset, first["protocol"], first["policy"])
        return "-".join(filter(None, parts))

    @property
    def has_published(self) -> bool:
        """Whether any number can be compared with the paper's."""
        return bool(self.numbers["published"].notna().any())

    def table(self, *, differences: bool = False) -> Table:
        """Return it as text: our values, the best attack marked, or measured minus published."""
        text = difference_text if differences else value_text
        metrics, cells = self.paper.metrics, self.numbers.copy()
        cells["text"] = [text(cell, metrics[cell["metric"]]) for cell in cells.to_dict("records")]
        cells["mark"] = [BEST if best and not differences else "" for best in cells["best"]]
        cells["metric"] = [metrics[name].title or name for name in cells["metric"]]
        rows, columns = list(self.layout.rows), self.layout.columns
        if cells.duplicated([*rows, *columns]).any():
            raise PaperError(f"{self.layout.id}: two numbers have the same row and column")
        places, tops = _in_order(cells[rows]), _in_order(cells[columns])
        texts, marks = (
            cells.pivot(index=rows, columns=columns, values=name)
            .astype(object)
            .fillna("")
            .reindex(index=places, columns=tops)
            for name in ("text", "mark")
        )
        return Table(
            caption=self._caption(differences),
            headings=list(self.layout.rows.values()),
            texts=texts,
            marks=marks,
            label=f"{self.layout.id}{'-difference' if differences else ''}",
        )

    def _caption(self, differences: bool) -> str:
        """Return what a reader must know about it."""
        rows = self.results
        rows = rows[rows["dataset"] == self.dataset] if self.dataset else rows
        shown, where = records(rows), f", {self.dataset}" if self.dataset else ""
        queries = " or ".join(map(str, sorted(set(rows["n_queries"].dropna()))))
        overrides = rows["overrides"].str.split(", ").explode()
        changed = ", ".join(dict.fromkeys(text for text in overrides if text))
        groups = [records(part) for _, part in rows.groupby("policy", sort=False)]
        labels = " and ".join(labels_text(part) for part in groups)
        title = (
            f"{self.layout.title}{where}; protocol {protocol_text(shown)}, "
            f"{labels}, {queries} queries, ties in database order."
            f"{f' Overrides: {changed}.' if changed else ''}"
        )
        notes = [self.paper.metrics[name].note for name in self.layout.metrics]
        weak = dict.fromkeys(str(row["title"]) for row in shown if row.get("undertrained") is True)
        seeing = dict.fromkeys(row["title"] for row in shown if row["sees_query_labels"] is True)
        notes += [f"They see the queries' labels: {', '.join(seeing)}."] if seeing else []
        notes += [f"Undertrained in some cells: {', '.join(weak)}."] if weak else []
        title = " ".join([title, *filter(None, notes)])
        if not differences:
            return f"{title} Bold: the best attack." if self.numbers["best"].any() else title
        found = self.paper.contradictions(self.layout.id)
        also = f" The paper has two values of {'; '.join(found)}." if found else ""
        also += f" {self.paper.draws}" if self.paper.draws and shares_draw(shown[0]) else ""
        return (
            f"Measured minus published. {title} One mark: more than 1 point (10 % of the published "
            f"value for other metrics); two marks: more than 5 points (50 %).{also}"
        )


def _in_order(keys: pd.DataFrame) -> pd.Index[Any]:
    """Return the entries of an axis in the paper's order, those of one outer key together."""
    entries = list(dict.fromkeys(keys.itertuples(index=False, name=None)))
    outer = [list(dict.fromkeys(keys[name])) for name in keys.columns[:-1]]
    # Stable: the innermost keys stay in the order in which they come within the outer ones.
    entries.sort(
        key=lambda one: [listed.index(key) for listed, key in zip(outer, one[:-1], strict=True)]
    )
    names: list[str] = list(keys.columns)
    if len(names) > 1:
        return pd.MultiIndex.from_tuples(entries, names=names)
    found: pd.Index[Any] = pd.Index([key for (key,) in entries], name=names[0])
    return found


def value_text(cell: dict[Any, Any], metric: Metric) -> str:
    """Return our value as the paper prints it, or why there is none."""
    return cell["status"] if pd.isna(cell["value"]) else f"{cell['value']:{metric.format}}"


def difference_text(cell: dict[Any, Any], metric: Metric) -> str:
    """Return measured minus published with a mark for its size, or why there is none."""
    if pd.isna(cell["published"]):
        return ""
    if pd.isna(cell["value"]):
        return str(cell["status"])
    difference = round(cell["value"] - cell["published"], 9)  # without the last bits
    size = abs(difference) / (1.0 if metric.points else max(abs(cell["published"]), 1e-12))
    marks = "*" * sum(size > limit for limit in (_POINTS if metric.points else _SHARES))
    sign = "+" if difference >= 0 else "\N{MINUS SIGN}"
    return f"{sign}{abs(difference):{metric.format}}{marks}"


def measured(results: pd.DataFrame, paper: Paper, names: Names) -> pd.DataFrame:
    """Return our numbers under a paper's keys, in its units; one whose cell failed has no value.

    They are means over seeds and nothing else: what was measured on other queries, contents or
    hyper-parameters under the same keys is ``ambiguous``. Variants of an attack (an alpha that
    differs, say) are not the paper's rows and are left out.

    Returns:
        The keys, ``value``, ``status``, ``title`` (the attack's in other tables), ``competes``
        (whether it is an attack with an image), ``sees`` (whether it sees the queries' labels).
    """
    rows = results[results["variant"] == ""]
    titles = pd.Series([names.of(row).title for row in rows.to_dict("records")], rows.index)
    columns = {key: rows[column] for key, column in paper.keys.items()}
    columns["attack"] = rows["attack"].map(paper.attacks).fillna(titles.astype("string"))
    base = paper.blank_sources(pd.DataFrame(columns).astype("string")).assign(
        title=titles,
        status=rows["status"],
        competes=((rows["budget_class"] != REFERENCE) & ~rows["code_only"]).fillna(False),
        sees=rows["sees_query_labels"].fillna(False),
        setting=rows[_SETTING].astype("string").fillna("").agg(" ".join, axis=1),
    )
    numbers = {name: metric.values(rows) for name, metric in paper.metrics.items()}
    long = [
        base.loc[values.index].assign(metric=name, value=values) for name, values in numbers.items()
    ]
    groups = pd.concat(long).groupby(paper.all_keys, sort=False, dropna=False)
    status = groups["status"].agg(lambda found: next((s for s in found if s != "ok"), "ok"))
    status = status.mask(groups["setting"].nunique() > 1, "ambiguous").rename("status")
    means = groups["value"].mean().where(status == "ok").rename("value")
    return pd.concat(
        [means, status, groups[["title", "competes", "sees"]].first()], axis=1
    ).reset_index()


def settings(results: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield the rows of each protocol and policy, variants left out.

    Those of the queries' own labels stand beside the target labels of each policy.
    """
    for _, rows in results[results["variant"] == ""].groupby("protocol", sort=False):
        own = rows["policy"] == OWN
        for _, targeted in rows[~own].groupby("policy", sort=False):
            yield pd.concat([targeted, rows[own]])
        if own.all():
            yield rows


def grids(results: pd.DataFrame, paper: Paper, layout: Layout, names: Names) -> Iterator[Grid]:
    """Yield a table once a protocol, a policy and, where they are not columns, a data set."""
    goals = {paper.metrics[name].goal for name in layout.metrics}
    for rows in settings(results[results["goal"].isin(goals)]):
        numbers = _numbers(rows, paper, layout, names)
        if "dataset" in layout.columns and len(numbers):
            yield Grid(paper, layout, "", rows, numbers)
        elif len(numbers):
            for dataset, part in numbers.groupby("dataset", sort=False):
                yield Grid(paper, layout, str(dataset), rows, part)


def _numbers(results: pd.DataFrame, paper: Paper, layout: Layout, names: Names) -> pd.DataFrame:
    """Return the numbers of a table, ours beside the published.

    They are those that the paper has in this table, else all of ours as white box; for the data
    sets of the results, and the paper's others beside them where one of them was run.
    """
    theirs = paper.numbers[paper.numbers["table"] == layout.id].drop(columns="table")
    white = results["source"] == results["victim"]
    ours = measured(results if len(theirs) else results[white], paper, names)
    template = theirs if len(theirs) else ours[ours["metric"].isin(layout.metrics)]
    ran, in_paper = list(dict.fromkeys(ours["dataset"])), list(dict.fromkeys(theirs["dataset"]))
    shown = list(dict.fromkeys([*in_paper, *ran])) if set(ran) & set(in_paper) else ran
    others = [key for key in paper.all_keys if key != "dataset"]
    whole = template[others].drop_duplicates()
    whole = whole.merge(pd.DataFrame({"dataset": shown}, dtype="string"), how="cross")
    whole = whole.merge(ours, how="left", on=paper.all_keys)
    whole = whole.merge(theirs, how="left", on=paper.all_keys)
    whole["status"] = whole["status"].fillna("not run").replace("ok", MISSING)  # no such number
    comparable = all(map(shares_draw, records(results)))
    return whole.assign(best=_best(paper, layout, whole) & comparable)


def _best(paper: Paper, layout: Layout, numbers: pd.DataFrame) -> pd.Series[bool]:
    """Whether each number is the best attack's, among those that differ in the attack alone.

    Attacks that see the queries' labels compete with each other only.
    """
    same = dict.fromkeys(k for k in (*layout.columns, *layout.rows, "metric") if k != "attack")
    signs = numbers["metric"].map(lambda name: COLUMNS[paper.metrics[name].column].sign)
    rivals = (numbers["value"] * signs).where(numbers["competes"].fillna(False).astype(bool))
    sees = numbers["sees"].fillna(False).astype(bool)
    groups = rivals.groupby([*(numbers[key] for key in same), sees], sort=False)
    return (rivals == groups.transform("max")) & (groups.transform("count") > 1)


def differences(results: pd.DataFrame, paper: Paper, names: Names) -> pd.DataFrame:
    """Return measured minus published for every number that has both.

    Columns: ``metric`` (as figures call it), ``attack``, ``difference``.
    """
    theirs = paper.numbers.drop(columns="table").drop_duplicates()
    parts = [
        measured(rows, paper, names).merge(theirs, on=paper.all_keys).dropna(subset="value")
        for rows in settings(results)
    ]
    if not parts:
        return pd.DataFrame()
    both = pd.concat(parts).drop_duplicates()  # own labels stand beside each policy's targets
    titles = {
        name: f"{metric.title or name}{' (points)' if metric.points else ''}"
        for name, metric in paper.metrics.items()
    }
    return pd.DataFrame(
        {
            "metric": both["metric"].map(titles),
            "attack": both["title"],
            "difference": both["value"] - both["published"],
        }
    )
