"""The figures of a report: what each shows, from the table of results; each as SVG and PDF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib as mpl
import pandas as pd

from hashattack.benchmark.columns import COLUMNS, Column
from hashattack.benchmark.names import REFERENCE, counted
from hashattack.datasets.texts import TOGETHER
from hashattack.reports import points as data
from hashattack.reports.captions import protocol_text
from hashattack.reports.leaderboard import Board
from hashattack.reports.names import Names
from hashattack.reports.paper_figures import charts_of_papers
from hashattack.reports.pictures import Picture
from hashattack.reports.plots import curves, transfer
from hashattack.reports.plots.forest import NARROW, WIDE, forest, forest_rows, forest_summary
from hashattack.reports.plots.panels import Chart, draw
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.plots.theme import save, svg, theme
from hashattack.reports.plots.trade_off import trade_off
from hashattack.reports.results import Runs
from hashattack.reports.uncertainty import Uncertainty

mpl.use("Agg")

_FOREST = (
    "One line per attack, the best of each budget first: the dot is its mean over hashers and "
    "queries, the bar its 95 % interval; blue: ranked first in its budget. = marks a shared rank: "
    "not significantly different from the best of this rank.{} The axis does not start at zero."
)
_PARTIAL = " An open dot is a mean over some of the hashers only."
_POINTS = (
    "One point per attack, with the 95 % interval of its mean {}. No attack further left "
    "is as strong as those on the Pareto front.{} The axes do not start at zero."
)
_TRAINING = Column("training", kind="cost", title="seconds per image, training included")


def draw_figures(
    runs: Runs, names: Names, boards: Sequence[Board], uncertainty: Uncertainty, folder: Path
) -> list[Picture]:
    """Draw every figure that boards, results, loss and retrieval curves allow: SVG and PDF."""
    results, losses, retrieved = (
        rows.assign(label=names.labels(rows)) if len(rows) else rows
        for rows in (runs.results, runs.losses, runs.curves)
    )
    retrieved = data.comparable(retrieved)
    if len(results):
        protocols = results.groupby("protocol")
        texts = {name: protocol_text(rows.to_dict("records")) for name, rows in protocols}
        results, retrieved = (rows.replace({"protocol": texts}) for rows in (results, retrieved))
    styles = PlotStyles(runs.cells, names)
    charts: list[Chart] = []
    for column in (column for column in COLUMNS.values() if column.ranks):
        own, lists = data.scored(data.comparable(results), column), data.of_goal(retrieved, column)
        if len(own):
            metric = data.named(column, own)
            charts += _trade_offs(own, styles, uncertainty, metric)
            charts += _of_hashers(own, styles, uncertainty, metric)
            charts += _retrieval(lists, styles, metric)
    charts += [*charts_of_papers(results, names, styles, uncertainty), *_losses(losses, styles)]
    return [*_forests(boards, styles, folder), *(draw(chart, styles, folder) for chart in charts)]


def _forests(boards: Sequence[Board], styles: PlotStyles, folder: Path) -> Iterator[Picture]:
    for number, board in enumerate(boards):
        groups = list(forest_rows(board, styles.short))
        if not groups:
            continue
        shown = [row for _, rows in groups for row in rows]
        partial = "" if all(row.complete for row in shown) else _PARTIAL
        name = f"forest-{number + 1}" if number else "forest"
        with theme():
            files = save(forest(board, styles.short, WIDE), folder / name)
            narrow = svg(forest(board, styles.short, NARROW), f"{name}-narrow")
        yield Picture(
            name,
            f"Mean {board.score} on {board.dataset}, {board.protocol}",
            files,
            summary=forest_summary(board, styles.short),
            reading=_FOREST.format(partial),
            narrow=narrow,
            board=number,
            settings=styles.settings_of(row.label for row in shown),
        )


def _trade_offs(
    results: pd.DataFrame, styles: PlotStyles, uncertainty: Uncertainty, metric: Column
) -> Iterator[Chart]:
    """Yield the score against each column of figures, and against time with training."""
    good = data.white_box(results)
    good = good.assign(training=data.with_training(good))
    shown = [column for column in COLUMNS.values() if "figures" in column.tables]
    for column in [*shown, _TRAINING]:
        title, more = f"{metric.title} against {column.title}", ""
        if column is _TRAINING:
            title = (
                f"{metric.title} against seconds per image with training, spread over the queries"
            )
            more = " With more queries, attacks that train move left."
        more += _without(good, column, styles)
        seeing = good[good["sees_query_labels"].fillna(False)]["label"].unique()
        names = ", ".join(map(styles.name, seeing))
        more += f" They see the queries' labels: {names}." if names else ""
        own = data.trade_off_rows(good, column)
        if not (own["role"] != "no-attack").any():
            continue
        points = data.means(
            own.assign(panel=data.panel_names(own)), ["score", column.name], uncertainty
        )
        top = data.strongest(points, metric.sign)
        yield Chart(
            f"{metric.name}_against_{column.name}",
            title,
            f"{data.seen(points, styles.name, metric)}, at {top[column.name]:.3g} {column.title}",
            _POINTS.format(metric.title, more),
            trade_off(points, styles, column, metric),
            labels=tuple(points["label"]),
            height=3.3,
        )


def _without(good: pd.DataFrame, column: Column, styles: PlotStyles) -> str:
    """Return which attacks have no place on a column's axis, as a sentence."""
    own = good[(good["budget_class"] != REFERENCE) & ~good["code_only"].fillna(False)]
    most = own.groupby("label", sort=False)[column.name].max()
    names = ", ".join(styles.name(str(label)) for label in most.index[~(most > 0)])
    return f" Without {column.title}: {names}." if names else ""


def _of_hashers(
    results: pd.DataFrame, styles: PlotStyles, uncertainty: Uncertainty, metric: Column
) -> Iterator[Chart]:
    """Yield the score against code length, and transfer matrices."""
    own = data.bits_rows(data.white_box(results))
    if len(own):
        panels = data.panel_names(own.assign(source=data.hashers(own)))
        own = own.assign(panel=panels, bits=own["source_bits"].astype(int))
        points = data.means(own, ["score"], uncertainty, ["bits"])
        yield Chart(
            f"{metric.name}_against_bits",
            f"{metric.title} against code length",
            f"{data.seen(points, styles.name, metric)}, at "
            f"{data.strongest(points, metric.sign)['bits']} bits",
            "One line per attack, its 95 % intervals as vertical strokes; intervals at one code "
            "length stand side by side. The axes do not start at zero.",
            curves.code_lengths(points, styles, metric),
            labels=tuple(points["label"]),
            height=3.6,
            margins=curves.end_margins([styles.name(label) for label in points["label"]]),
        )
    matrix = data.transfer_points(results, metric.sign)
    gains = matrix[matrix["gain"].notna()]
    reading = "Rows are the hashers that were attacked, columns those that were queried; "
    reading += "white-box cells are outlined."
    if matrix["source"].str.contains(TOGETHER, regex=False).any():
        reading += " Hashers joined by + were attacked together, and those outside were queried."
    for name, title, value, points in (
        ("transfer", f"Transfer: {metric.title} by source and victim", "score", matrix),
        ("transfer_gain", "Transfer: gain over no attack on the victim", "gain", gains),
    ):
        crossing = points[points["source"] != points["victim"]]
        if len(crossing):
            height, margins = transfer.matrix_size(points)
            sign = metric.sign if value == "score" else 1
            top = data.largest(crossing.assign(strength=sign * crossing[value]), "strength")
            unit = "%" if value == "score" else "points"
            best = "highest" if sign > 0 else "lowest"
            yield Chart(
                f"{name}{_suffix(metric)}",
                title,
                f"{counted(points['label'].nunique(), 'attack')} between "
                f"{counted(len(transfer.sides(points)), 'hasher')}; the {best} value to another "
                f"hasher is {100 * top[value]:.1f} {unit} ({styles.name(top['label'])} from "
                f"{top['source']} to {top['victim']})",
                reading,
                transfer.transfer_map(points, styles, value, metric),
                labels=tuple(points["label"]),
                height=height,
                margins=margins,
            )


def _retrieval(own: pd.DataFrame, styles: PlotStyles, metric: Column) -> Iterator[Chart]:
    """Yield precision over recall and over the length of the result list."""
    if not len(own):
        return
    points = data.curve_points(own)
    first = points[points["top"] == points["top"].min()]
    top = data.largest(first, "precision")
    summary = (
        f"{counted(points['label'].nunique(), 'line')} on "
        f"{counted(points['panel'].nunique(), 'hasher')}; the highest precision of the first "
        f"result is {100 * top['precision']:.1f} % ({styles.name(top['label'])} on {top['panel']})"
    )
    label = "target label" if metric.ranks == "targeted" else "query's own labels"
    for name, title, x in (
        ("precision_recall", f"Precision and recall for the {label}", "recall"),
        ("precision_at_top", f"Precision for the {label} in the top-k", "top"),
    ):
        yield Chart(
            f"{name}{_suffix(metric)}",
            title,
            summary,
            "One line per attack: its mean over queries. The precision axis starts above zero.",
            curves.retrieval(points, styles, x),
            labels=tuple(points["label"]),
        )


def _suffix(metric: Column) -> str:
    """Return what distinguishes the files of non-targeted attacks from those of targeted ones."""
    return "" if metric.ranks == "targeted" else f"_{metric.name}"


def _losses(losses: pd.DataFrame, styles: PlotStyles) -> Iterator[Chart]:
    points = data.loss_points(losses) if len(losses) else losses
    if len(points):
        yield Chart(
            "loss_curves",
            "Losses of generators in training",
            f"{counted(points['label'].nunique(), 'attack')} on "
            f"{counted(points['source'].nunique(), 'hasher')}, {points['epoch'].max()} epochs at "
            "most",
            "One line per training, named by its hasher; each loss has an axis of its own.",
            curves.loss_curves(points, styles),
            labels=tuple(points["label"]),
            margins=curves.end_margins(list(points["source"])),
        )
