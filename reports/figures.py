"""The figures of a report: what each shows, from the table of results; each as SVG and PDF."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from hashattack.benchmark.columns import COLUMNS, Column
from hashattack.benchmark.store.files import write_bytes
from hashattack.reports.captions import protocol_text
from hashattack.reports.grids import differences
from hashattack.reports.leaderboard import Board
from hashattack.reports.names import Names, parameters
from hashattack.reports.pictures import Picture
from hashattack.reports.plots import panels as plots
from hashattack.reports.plots.forest import NARROW, WIDE, forest, forest_rows, forest_summary
from hashattack.reports.plots.panels import PlotStyles
from hashattack.reports.plots.theme import save, svg, theme
from hashattack.reports.published import FigureLayout, papers
from hashattack.reports.results import Runs

mpl.use("Agg")

_SETTING = ["dataset", "protocol", "policy"]
_TARGET = [*_SETTING, "source"]
Draw = Callable[[pd.DataFrame, PlotStyles], Any]  # to what has a matplotlib ``figure``
_FOREST = (
    "A line an attack, from the best within its budget down: the dot is its mean over hashers and "
    "queries, the bar its 95 % interval; blue leads its budget. = marks a shared rank: no "
    "significant difference from the best of this rank. The axis does not start at zero."
)
Drawing = tuple[str, str, pd.DataFrame, Draw]  # name, title, points


def draw_figures(runs: Runs, names: Names, boards: Sequence[Board], folder: Path) -> list[Picture]:
    """Draw every figure that boards, results, loss and retrieval curves allow: SVG and PDF."""
    results, losses, curves = (
        rows.assign(label=names.labels(rows)) if len(rows) else rows
        for rows in (runs.results, runs.losses, runs.curves)
    )
    curves = _comparable(curves)
    if len(results):
        protocols = results.groupby("protocol")
        texts = {name: protocol_text(rows.to_dict("records")) for name, rows in protocols}
        results, curves = (rows.replace({"protocol": texts}) for rows in (results, curves))
    styles = PlotStyles(runs.cells, names)
    pictures = list(_forests(boards, styles, folder))
    precision, top = (functools.partial(plots.retrieval, x=x) for x in ("recall", "top"))
    drawings: list[Drawing] = [
        *_of_results(results),
        ("precision_recall", "Precision and recall for the target label", curves, precision),
        ("precision_at_top", "Precision for the target label in the top-k", curves, top),
        *_of_papers(results, names),
        ("loss_curves", "Losses of generators in training", losses, plots.loss_curves),
    ]
    for name, title, points, draw in drawings:
        if len(points):
            with sns.axes_style("whitegrid"):
                figure = draw(points, styles).figure
            pictures.append(Picture(name, title, _save(figure, folder / name)))
    return pictures


def _forests(boards: Sequence[Board], styles: PlotStyles, folder: Path) -> Iterator[Picture]:
    for number, board in enumerate(boards, start=1):
        groups = list(forest_rows(board, styles.short))
        if not groups:
            continue
        name = f"forest-{number}" if number > 1 else "forest"
        shown = {row.label for _, rows in groups for row in rows}
        with theme():
            wide, narrow = (forest(board, styles.short, width) for width in (WIDE, NARROW))
            yield Picture(
                name,
                f"Mean t-MAP on {board.dataset}, {board.protocol}",
                save(wide, folder / name),
                summary=forest_summary(board, styles.short),
                reading=_FOREST,
                narrow=svg(narrow, f"{name}-narrow").decode(),
                settings=[pair for pair in styles.settings.items() if pair[0] in shown],
            )


def _of_results(results: pd.DataFrame) -> Iterator[Drawing]:
    results = _comparable(results)
    good = _white_box(results)
    for column in COLUMNS.values():
        if "figures" in column.tables:
            draw: Draw = functools.partial(plots.trade_off, column=column)
            title = f"t-MAP against {column.title}, with the Pareto front"
            yield f"t_map_against_{column.name}", title, trade_off_points(good, column), draw
    title = "t-MAP against code length"
    yield "t_map_against_bits", title, bits_points(good), plots.code_lengths
    matrix = transfer_points(results)
    draw = functools.partial(plots.transfer_map, value="t_map")
    yield "transfer", "Transfer: t-MAP by source and victim, white-box outlined", matrix, draw
    gains = matrix[matrix["gain"].notna()]
    draw = functools.partial(plots.transfer_map, value="gain")
    yield "transfer_gain", "Transfer: gain in t-MAP over no attack on the victim", gains, draw


def _of_papers(results: pd.DataFrame, names: Names) -> Iterator[Drawing]:
    comparable = _comparable(results)
    for paper in papers():
        for layout in paper.figures:
            if layout.over:
                draw: Draw = functools.partial(plots.sweep, over=layout.over)
                yield layout.id, layout.title, sweep_points(comparable, layout), draw
            else:
                points = side_by_side_points(comparable, layout)
                yield layout.id, layout.title, points, plots.side_by_side
    points = pd.concat(
        [differences(results, paper, names) for paper in papers()], ignore_index=True
    )
    draw = plots.measured_minus_published
    yield "measured_minus_published", "Measured minus published", points, draw


def trade_off_points(good: pd.DataFrame, column: Column) -> pd.DataFrame:
    """Return the rows with a value of a column; of a cost, those of attacks that have some."""
    rows = good[good[column.name].notna()]
    if column.kind == "cost":
        rows = rows[(rows[column.name] > 0) & rows["targeted"].fillna(False)]
    return rows


def bits_points(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of hashers that differ in their code length alone, where there are such."""
    keys = [*_SETTING, "source_method", "source_backbone"]
    return rows[rows.groupby(keys)["source_bits"].transform("nunique") > 1]


def transfer_points(results: pd.DataFrame) -> pd.DataFrame:
    """Return t-MAP and its gain over no attack by source and victim, for attacks that transfer.

    Args:
        results: with the attacks' ``label``.

    Returns:
        The columns ``dataset``, ``protocol``, ``policy``, ``label``, ``source``, ``victim``,
        ``t_map`` and ``gain``, means over seeds.
    """
    rows = results[(results["status"] == "ok") & results["t_map"].notna()]
    keys = [*_SETTING, "label", "role", "source", "victim"]
    means = rows.groupby(keys, sort=False)["t_map"].mean().reset_index()
    crossing = means["source"] != means["victim"]
    groups = means.assign(crossing=crossing).groupby([*_SETTING, "label"])
    crosses = groups["crossing"].transform("any")
    clean = means[(means.pop("role") == "no-attack") & ~crossing]
    keys = [*_SETTING, "victim"]
    level = clean[[*keys, "t_map"]].rename(columns={"t_map": "no_attack"})
    points = means[crosses].merge(level, how="left", on=keys)
    points["gain"] = points["t_map"] - points["no_attack"]
    sides = points.loc[points["source"] != points["victim"], ["source", "victim"]]
    return points[points["source"].isin(set(sides["source"]) | set(sides["victim"]))]


def sweep_points(results: pd.DataFrame, layout: FigureLayout) -> pd.DataFrame:
    """Return the rows of a figure's attacks where a target has several values of its parameter.

    The columns of the results, the parameter's and ``no_attack``, a row a seed.
    """
    rows = _white_box(results)
    swept = rows[rows["attack"].isin(layout.attacks)].copy()
    values = swept["params"].map(lambda text: parameters(text).get(layout.over))
    swept[layout.over] = values.astype("float64")
    swept = swept[swept.groupby(_TARGET)[layout.over].transform("nunique") > 1]
    if not len(swept):
        return swept
    clean = rows[rows["role"] == "no-attack"].groupby(_TARGET)["t_map"].mean().rename("no_attack")
    points = swept.merge(clean, how="left", left_on=_TARGET, right_index=True)
    return points.drop_duplicates([*_TARGET, layout.over, "draw_seed", "target_seed"])


def side_by_side_points(results: pd.DataFrame, layout: FigureLayout) -> pd.DataFrame:
    """Return the rows of a figure's attacks on the targets that have them all."""
    rows = _white_box(results)
    rows = rows[rows["attack"].isin(layout.attacks) & (rows["variant"] == "")]
    rows = rows.sort_values("attack", key=lambda ids: ids.map(layout.attacks.index), kind="stable")
    return rows[rows.groupby(_TARGET)["attack"].transform("nunique") == len(layout.attacks)]


def _comparable(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of attacks that share their target labels."""
    return rows[rows["policy"] != "as-published"] if len(rows) else rows


def _white_box(results: pd.DataFrame) -> pd.DataFrame:
    return results[(results["status"] == "ok") & (results["source"] == results["victim"])]


def _save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as SVG and PDF without dates, so that unchanged results give equal files."""
    files = []
    for suffix, metadata in (("svg", {"Date": None}), ("pdf", {"CreationDate": None})):
        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": stem.name, "svg.fonttype": "none"}):
            figure.savefig(buffer, format=suffix, metadata=metadata, bbox_inches="tight")
        files.append(stem.with_suffix(f".{suffix}"))
        write_bytes(files[-1], buffer.getvalue())
    plt.close(figure)
    return files
