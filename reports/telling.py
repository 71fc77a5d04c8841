"""Reports on the command line: written, and said where they lie."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hashattack.benchmark.console import say
from hashattack.datasets.errors import UserError
from hashattack.reports.report import FORMATS, Format, Report, write_report


def parse_formats(text: str) -> list[Format]:
    """Return what ``--format`` names.

    Raises:
        UserError: there is no such format.
    """
    wanted = [one for one in FORMATS if one in text.split(",")]
    if len(wanted) < len(text.split(",")):
        raise UserError(f"--format {text}: expected some of {', '.join(FORMATS)}")
    return wanted


def report_run(folder: Path, formats: Sequence[Format]) -> Report:
    """Write the report of a run, and say its leaderboard."""
    drawn = ", drawing figures" if "html" in formats else ""
    say(f"writing the report{drawn} ...")
    written = write_report([folder], formats=formats)
    say("\n" + written.leaderboard)
    say_written(written)
    return written


def say_written(report: Report) -> None:
    """Say which files there are now."""
    beside = [file.name for file in report.files if not file.is_relative_to(report.folder)]
    inside = f"{len(report.files) - len(beside)} files in {report.folder}"
    say(f"wrote {', '.join(beside)} and {inside}" if beside else f"wrote {inside}")
    if report.page is not None:
        say(f"look at {report.page.as_uri()}")
