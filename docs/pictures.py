"""Makes the pictures of the first pages from a run: python docs/pictures.py results/demo."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from hashattack.reports.galleries import galleries
from hashattack.reports.gallery_files import draw_gallery
from hashattack.reports.leaderboard import leaderboards
from hashattack.reports.names import Names
from hashattack.reports.results import Runs
from hashattack.reports.strip import strip_of
from hashattack.reports.uncertainty import Uncertainty

IMAGES = Path(__file__).parent / "images"


def main(out: Path) -> None:
    """Copy a run's forest plot, and draw the query that its page shows first."""
    shutil.copy(out / "report" / "figures" / "forest.svg", IMAGES / "leaderboard.svg")
    runs = Runs([out])
    names = Names(runs.cells)
    boards = leaderboards(runs.results, names, Uncertainty(runs))
    strip = strip_of(boards, list(galleries(runs, names)))
    if strip is None:
        raise SystemExit(f"{out} holds no gallery")
    draw_gallery(replace(strip.gallery, name="attack", queries=[strip.query]), IMAGES)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
