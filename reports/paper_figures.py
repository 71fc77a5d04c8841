"""The figures of papers, and how far results are from what papers published."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from hashattack.benchmark.columns import COLUMNS
from hashattack.benchmark.names import counted
from hashattack.reports import points as data
from hashattack.reports.grids import differences
from hashattack.reports.names import Names
from hashattack.reports.plots import bars, curves
from hashattack.reports.plots.panels import Chart
from hashattack.reports.plots.styles import PlotStyles
from hashattack.reports.published import papers
from hashattack.reports.uncertainty import Uncertainty


def charts_of_papers(
    results: pd.DataFrame, names: Names, styles: PlotStyles, uncertainty: Uncertainty
) -> Iterator[Chart]:
    """Yield the figures of papers, and how far results are from published ones."""
    metric = COLUMNS["t_map"]
    comparable = data.scored(data.comparable(results), metric)
    for layout in (layout for paper in papers() for layout in paper.figures):
        if layout.over:
            own = data.sweep_rows(comparable, layout)
            if not len(own):
                continue
            lines = data.panel_names(own)
            columns = ["score", "perceptibility", "no_attack"]
            points = data.means(
                own.assign(panel=lines, label=lines), columns, uncertainty, [layout.over]
            )
            top = data.strongest(points, metric.sign)
            yield Chart(
                layout.id,
                layout.title,
                f"{counted(points['label'].nunique(), 'hasher')}; the highest t-MAP is "
                f"{100 * top['score']:.1f} % ({top['label']}, {layout.over} {top[layout.over]:g})",
                "One line per hasher; bands are 95 % intervals. The axes do not start at zero.",
                curves.sweep(points, layout.over),
                margins=curves.end_margins(list(points["label"])),
            )
        else:
            own = data.side_by_side_rows(comparable, layout)
            if not len(own):
                continue
            points = data.means(own.assign(panel=data.panel_names(own)), ["score"], uncertainty)
            height, margins = bars.rows_size(
                [styles.name(label) for label in dict.fromkeys(points["label"])]
            )
            yield Chart(
                layout.id,
                layout.title,
                data.seen(points, styles.name, metric),
                "Bars start at zero; strokes are 95 % intervals.",
                bars.side_by_side(points, styles),
                labels=tuple(points["label"]),
                height=height,
                margins=margins,
            )
    parts = [differences(results, paper, names) for paper in papers()]
    found = pd.concat(parts, ignore_index=True)
    if len(found):
        height, margins = bars.rows_size(list(dict.fromkeys(found["attack"])))
        far = data.largest(found.assign(size=found["difference"].abs()), "size")
        yield Chart(
            "measured_minus_published",
            "Measured minus published",
            f"{counted(len(found), 'number')} of {counted(found['attack'].nunique(), 'attack')}; "
            f"the largest difference is {far['difference']:+.2f} "
            f"({far['attack']}, {far['metric']})",
            "One stroke per number of the paper, a diamond at their mean; left of zero: less was "
            "measured.",
            bars.measured_minus_published(found, styles),
            height=height,
            margins=margins,
        )
