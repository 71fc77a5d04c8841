"""The narrow leaderboard: a terminal of 80 or 100 columns, and a page of two columns in LaTeX."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from rich.cells import cell_len

from hashattack.benchmark.terminal import Table, show, text_of
from hashattack.reports.leaderboard import Board
from hashattack.reports.lines import columns_of
from hashattack.reports.summary import latex_leaderboard, terminal_parts
from hashattack.reports.tables import leaderboards_markdown
from tests.fake_runs import frame, row
from tests.test_reports import board_of, compile_latex, example

LONG = "[bold]A plug-in[/bold] whose title tells a long story, :smile: of [link=x]momentum[/link]"


def board(p: float = 0.0) -> Board:
    rows = example()
    rows["title"] = rows["title"].replace("WEAK", LONG)
    rows["linf"] = rows["linf"].mask(rows["budget_class"] == "unbounded", 190.31 / 255)
    settings = rows["attack"] == "strong"
    rows["variant"] = rows["overrides"] = rows["variant"].mask(settings, "steps=2000, rule=raw/32")
    rows["params"] = rows["params"].mask(settings, '{"steps": 2000, "rule": "raw/32"}')
    return board_of(rows, p)


@pytest.mark.parametrize("width", [80, 100])
def test_it_fits_the_window_and_keeps_every_number(width: int) -> None:
    text = text_of(terminal_parts([board(p=1.0)]), width)
    assert max(map(cell_len, text.splitlines())) <= width
    table = text.split("\n\n", 1)[1]
    assert "…" not in table
    for line in ("85.00  12.30\N{EN DASH}98.70   50.00", "190.31", "0.0200", "0.01"):
        assert line in table
    numbered = re.findall(r"^(\d=?) +(\S+)", table, re.MULTILINE)
    assert [rank for rank, _ in numbered] == ["1=", "1=", "1", "1"]
    titles = ["no attack", "L∞ ≤ 8/255", "no budget", "codes only"]
    places = [re.search(rf"^ +{re.escape(title)}", table, re.MULTILINE) for title in titles]
    assert all(places)


def test_what_looks_like_markup_is_printed_as_it_is() -> None:
    assert LONG in text_of(terminal_parts([board()]), 200)
    table = Table(["[red]a"], "l", [[":smile: [b]x[/b] [/]"]])
    for styled in (False, True):
        text = text_of([table, "[i]y"], styled=styled)
        for part in ("[red]a", ":smile: [b]x[/b] [/]", "[i]y"):
            assert part in text
    assert "\x1b" not in text_of([table])


def test_the_caption_is_three_short_lines() -> None:
    caption = text_of(terminal_parts([board(p=1.0)])).split("\n\n")[0].splitlines()
    assert caption == [
        "digits: 2 target hashers, 10 queries, protocol released",
        "t-MAP: mean average precision (%) for frequent target labels; chance: 25.00",
        "=: not significantly different from the best of this rank",
    ]
    assert max(map(len, caption)) <= 80
    assert "=:" not in text_of(terminal_parts([board()])), "no rank is shared"


def test_a_partial_row_shows_what_it_has_with_the_note() -> None:
    text = text_of(terminal_parts([board()]), 120)
    (line,) = (line for line in text.splitlines() if "PARTIAL" in line)
    assert line.startswith("   PARTIAL [on 1 of 2 hashers]"), "it has no rank"
    assert "99.00" in line


def test_captions_explain_the_columns_that_there_are_and_no_others() -> None:
    columns = {column.name: column for column in columns_of("leaderboard")[1:] if column.help}
    cheap = frame([row("x", "A-12", 0.5, perceptibility=None), row("y", "A-12", 0.4)])
    cheap["perceptibility"] = None
    for one in (board(), board_of(cheap)):
        page, tex = leaderboards_markdown([one]), latex_leaderboard(one)
        tex = tex.replace(r"$L_\infty$ $\cdot$", "L∞ ·")
        head = next(line for line in page.splitlines() if line.startswith("| budget"))
        for column in columns.values():
            explained = f"{column.title[:1].upper()}{column.title[1:]}: "
            assert (column.heading in head) == (explained in page), column.name
            in_tex = "summary" in column.tables and column.heading in head
            assert in_tex == (explained in tex), column.name
    assert "standard attack" not in leaderboards_markdown([board_of(cheap)])


def test_latex_fits_the_text_of_two_columns(tmp_path: Path) -> None:
    log = compile_latex(latex_leaderboard(board(p=1.0)), tmp_path)
    assert "Overfull" not in log


def test_elsewhere_than_on_a_terminal_it_is_100_wide_or_what_is_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    table = Table(["name", "description"], "lf", [["x", "word " * 99]])
    sentence = "a long line " * 20
    for columns, width in (("", 100), ("80", 80), ("wide", 100)):
        monkeypatch.setenv("COLUMNS", columns)
        show(sentence, table)
        first, *rest = capsys.readouterr().out.splitlines()
        assert first == sentence, "a line of a log stays one"
        assert width - 5 <= max(map(cell_len, rest)) <= width
        assert "\x1b" not in "".join(rest)


def test_a_terminal_folds_texts_at_spaces_and_keeps_addresses(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "40")
    address = f"file:///{'folder/' * 10}index.html"
    show("words and " * 9 + "\n" + address)
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == address
    assert all(len(line) <= 40 for line in lines[:-1])


def test_a_window_too_narrow_keeps_numbers_whole() -> None:
    text = text_of(terminal_parts([board()]), 40)
    assert "12.30\N{EN DASH}98.70" in text
    assert "…" not in text
