"""The page says what results.csv says; several folders become one report, or an error."""

from __future__ import annotations

import html
import os
import re
from pathlib import Path

import pandas as pd
import pytest

from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.store.store import JobRef, Store
from hashattack.benchmark.terminal import text_of
from hashattack.datasets.files import read_checked, write_checked
from hashattack.reports.lines import Line, cell_lines, columns_of
from hashattack.reports.names import Names
from hashattack.reports.records import attacks_not_in_manifest
from hashattack.reports.report import write_report
from hashattack.reports.results import ConflictError, Runs
from hashattack.reports.uncertainty import Rank, Scores, Uncertainty
from tests.conftest import ROOT, SmokeRun, run_cli, run_inline, small_suite
from tests.fake_runs import Sure, cell, unsynced, write_run

HOSTILE = "<script>window.hacked=1</script>\"'&<img src=x onerror='window.hacked=1'>"
NUMBER = re.compile(r'data-v="([^"]*)" data-n="([^"]*)"')
ROW = re.compile(r"<tr[^>]* data-f=.*?</tr>", re.DOTALL)


def lines_of(*folders: Path) -> list[Line]:
    runs = Runs(folders)
    return cell_lines(runs.cells, Names(runs.cells), Uncertainty(runs))


def page_rows(page: str) -> list[dict[str, str]]:
    """Return the numbers of every row of the table of cells, by column, and its texts."""
    rows = []
    for row in ROW.findall(page):
        numbers = {name: value for value, name in NUMBER.findall(row)}
        texts = re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)
        plain = [html.unescape(re.sub(r"<[^>]+>", "", text)).strip() for text in texts]
        rows.append({**numbers, "attack": plain[0], "source": plain[4], "victim": plain[5]})
    return rows


def test_every_number_on_the_page_is_in_the_table(smoke: SmokeRun) -> None:
    page = (smoke.out / "report" / "index.html").read_text(encoding="utf-8")
    results = pd.read_csv(smoke.out / "results.csv", keep_default_na=False)
    shown = page_rows(page)
    assert len(shown) == len(results)
    original = results[results["attack"] == "original"].set_index("source")["t_map"].astype(float)
    names = Names(results)
    called = [names.of(line) for line in results.to_dict("records")]
    weak = results["undertrained"].astype(str) == "True"
    flags = weak.map({True: "undertrained", False: ""})
    results["name"] = [
        " ".join(filter(None, (name.title, name.settings, flag)))
        for name, flag in zip(called, flags, strict=True)
    ]
    for row in shown:
        match = (results["name"] == row["attack"]) & (results["source"] == row["source"])
        (line,) = results[match].to_dict("records")
        for column in columns_of("cells"):
            known = line.get(column.name, "")
            if known == "":
                assert column.name in row.keys() & {"no_attack", "gain"} or column.name not in row
            else:
                assert float(row[column.name]) == pytest.approx(float(known), abs=1e-12)
        assert float(row["no_attack"]) == pytest.approx(original[row["source"]], abs=1e-12)
        gain = float(line["t_map"]) - original[row["source"]]
        assert float(row["gain"]) == pytest.approx(gain, abs=1e-12)


def test_the_page_stands_alone(smoke: SmokeRun) -> None:
    page = (smoke.out / "report" / "index.html").read_text(encoding="utf-8")
    unlinked = re.sub(r"<a href=\"https://[^\"]+\">", "", page)  # papers
    fetched = re.findall(r"(?:src|href)=\"(?!#|data:)([^\"]+)\"", unlinked)
    assert not [link for link in fetched if not link.startswith("#")]
    assert "@import" not in page
    assert page.count("<svg") >= 4
    assert "data:image/webp;base64," in page
    for text in ("smoke", "Provenance", "torch", "run_benchmark.py run --suite smoke"):
        assert text in page


def test_intervals_hold_their_means(smoke: SmokeRun) -> None:
    for line in lines_of(smoke.out):
        assert line.interval is not None
        assert line.interval[0] <= line.values["t_map"] <= line.interval[1]


def test_neighbours_without_a_significant_difference_share_a_rank() -> None:
    apart = {("a", "b"), ("b", "d"), ("d", "e")}  # of neighbours; b and c are not

    def p_value(scores: Scores, others: Scores) -> float:
        return 0.01 if (scores[0], others[0]) in apart else 0.4

    known = Sure()
    known.p_value = p_value  # type: ignore[method-assign]
    found = known.ranks([(name,) for name in "abcde"])
    assert found == [Rank(1, False), Rank(2, True), Rank(2, True), Rank(4, False), Rank(5, False)]
    assert known.ranks([]) == []


def test_no_rank_spans_a_difference_that_is_found(tmp_path: Path) -> None:
    with unsynced():
        write_run(tmp_path, [cell(f"a{n}", "DPSH-X-12", 0.6 - 0.03 * n) for n in range(9)])
    runs = Runs([tmp_path])
    keys = [(key,) for key in runs.results.sort_values("t_map", ascending=False)["job_key"]]
    kept = Uncertainty(runs)
    found = kept.ranks(keys)
    assert kept.p_value(keys[0], keys[-1]) < 0.05
    assert found[-1].number > 1
    for place, rank in enumerate(found):
        first = keys[rank.number - 1]
        assert first == keys[place] or kept.p_value(first, keys[place]) > 0.05


@pytest.mark.usefixtures("no_figures")
def test_cells_without_a_result_say_why(tmp_path: Path) -> None:
    cells = [cell("a", "DPSH-X-12", 0.5), cell("b", "DPSH-X-12", None), cell(HOSTILE, "Y-12", None)]
    with unsynced():
        write_run(tmp_path, cells)
    runs = Runs([tmp_path])
    key = runs.missing.set_index("title")["job_key"][HOSTILE]
    Store(tmp_path / "store").fail(JobRef("score", str(key)), "failed", f"it broke: {HOSTILE}")
    lines = {line.name.title: line for line in lines_of(tmp_path)}
    assert lines["b"].status == "missing"
    assert lines["b"].note == "not run yet"
    assert lines[HOSTILE].status == "failed"
    assert "it broke" in lines[HOSTILE].note
    write_report([tmp_path])
    page = (tmp_path / "report" / "index.html").read_text(encoding="utf-8")
    assert "not run yet" in page
    assert "<script>window" not in page
    assert "<img src=x" not in page
    assert html.escape("<script>window", quote=False) in page


def test_seeds_are_one_line_with_their_range(tmp_path: Path) -> None:
    with unsynced():
        write_run(
            tmp_path,
            [
                cell("a", "DPSH-X-12", mean, draw_seed=seed, attack_seed=seed)
                for seed, mean in enumerate((0.4, 0.6))
            ],
        )
    runs = Runs([tmp_path])
    (line,) = lines_of(tmp_path)
    assert line.seeds == 2
    assert line.values["t_map"] == pytest.approx(runs.results["t_map"].mean())
    assert line.seed_range == (runs.results["t_map"].min(), runs.results["t_map"].max())
    assert line.interval is not None
    assert line.interval[1] - line.interval[0] < 0.2


@pytest.mark.usefixtures("no_figures")
def test_folders_are_merged_and_conflicts_are_refused(tmp_path: Path) -> None:
    one, two, to = tmp_path / "one", tmp_path / "two", tmp_path / "both"
    with unsynced():
        write_run(one, [cell("a", "DPSH-X-12", 0.5), cell("b", "DPSH-X-12", None)])
        write_run(two, [cell("a", "DPSH-X-12", 0.5), cell("b", "DPSH-X-12", 0.7)])
    done = run_cli(
        "report", "-o", str(one), "-o", str(two), "--to", str(to), "--format", "html,csv"
    )
    assert done.returncode == 0, done.stderr
    assert sorted(pd.read_csv(to / "results.csv")["title"]) == ["a", "b"]
    assert (to / "index.html").is_file()
    assert not (to / "leaderboard.md").exists()
    records = {path: read_checked(path) or {} for path in (two / "store").rglob("done.json")}
    ((path, record),) = (
        (path, one) for path, one in records.items() if abs(one["data"]["t_map"] - 0.5) < 0.1
    )
    write_checked(path, {**record, "data": {**record["data"], "t_map": 0.123}})
    with pytest.raises(ConflictError, match=r"one and .*two disagree on a on DPSH-X-12 .* t_map"):
        Runs([one, two])


@pytest.mark.usefixtures("no_figures")
def test_a_report_goes_to_a_relative_path(tmp_path: Path) -> None:
    with unsynced():
        write_run(tmp_path / "one", [cell("a", "DPSH-X-12", 0.5)])
        write_run(tmp_path / "two", [cell("b", "DPSH-X-12", 0.7)])
    folders = ["-o", str(tmp_path / "one"), "-o", str(tmp_path / "two")]
    to = os.path.relpath(tmp_path / "both", ROOT)
    done = run_cli("report", *folders, "--to", to, "--format", "html")
    assert done.returncode == 0, done.stderr
    assert f"open {(tmp_path / 'both' / 'index.html').resolve().as_uri()}" in done.stdout


@pytest.mark.usefixtures("no_figures")
def test_every_output_has_the_same_ranks(tmp_path: Path) -> None:
    means = {"aa": 0.9, "bb": 0.6, "cc": 0.599, "dd": 0.2}
    with unsynced():
        write_run(tmp_path, [cell(name, "DPSH-X-12", mean) for name, mean in means.items()])
        written = write_report([tmp_path])
    wanted = {"aa": "1", "bb": "2=", "cc": "2=", "dd": "4"}
    page = (written.folder / "index.html").read_text(encoding="utf-8")
    board = re.findall(r"<td[^>]*>([^/]*?)</td>\s*<th scope=\"row\">(\w\w)", _plain_ties(page))
    assert {name: rank for rank, name in board} == wanted
    assert {line.name.title: str(line.rank) for line in lines_of(tmp_path)} == wanted
    texts = [text_of(written.leaderboard)]
    texts += [(written.folder / f"leaderboard.{end}").read_text() for end in ("md", "tex")]
    for text in texts:
        found_here = re.findall(r"^.*?\b(\d=?)[ |&]+(\w\w)\b", text, re.MULTILINE)
        assert {name: rank for rank, name in found_here if name in means} == wanted


def _plain_ties(page: str) -> str:
    return re.sub(r"<span class=\"tie\"[^>]*>=</span>", "=", page)


def test_what_an_earlier_run_left_in_the_folder_is_said(tmp_path: Path, cache: Path) -> None:
    dhta = {"attack": "dhta", "params": {"steps": 2, "rule": "l2"}}
    run_inline(small_suite(attacks=["original", dhta, "anchor-code"]), cache, tmp_path)
    assert not str(Runs([tmp_path]).not_shown)
    again = {"attack": "dhta", "params": {"steps": 1, "rule": "l2"}}
    run_inline(small_suite(attacks=["original", again]), cache, tmp_path)
    assert attacks_not_in_manifest(tmp_path, read_manifest(tmp_path)) == {"anchor-code": 1}, (
        "and not the steps of DHTA that the suite has no more"
    )
    sentence = str(Runs([tmp_path]).not_shown)
    assert sentence.startswith("1 scored cell of 1 attack in this folder are not of this run")
    assert "anchor-code" in sentence
    assert "--attack" in sentence
    written = write_report([tmp_path], formats=["md"])
    assert sentence in written.leaderboard


def test_configurations_are_lines_of_their_own(tmp_path: Path) -> None:
    cells = [
        cell("a", "DPSH-X-12", 0.2, overrides="steps=10", params='{"steps":10}'),
        cell("a", "DPSH-X-12", 0.7, overrides="steps=100", params='{"steps":100}'),
        cell("a", "DPSH-X-12", 0.5, overrides="steps=10", precision="bfloat16"),
        cell("a", "DPSH-X-12", 0.5, overrides="steps=20", variant="steps=20"),
        cell("b", "DPSH-X-12", 0.5, n_queries=40),
    ]
    with unsynced():
        write_run(tmp_path, cells)
    write_report([tmp_path], formats=["md"])
    lines = lines_of(tmp_path)
    assert [line.seeds for line in lines] == [1] * 5
    names = [line.name.full for line in lines]
    assert len(set(names)) == 5, "and a reader can distinguish them"


def test_usage_errors_of_report(tmp_path: Path) -> None:
    unknown = run_cli("report", "-o", str(tmp_path), "--format", "html,docx")
    assert unknown.returncode == 2
    assert "expected some of html, md, tex, csv" in unknown.stderr
    nowhere = run_cli("report", "-o", str(tmp_path), "-o", str(tmp_path / "x"))
    assert nowhere.returncode == 2
    assert "--to" in nowhere.stderr


def test_two_thousand_cells_make_a_page_below_five_megabytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hashattack.reports.report.Uncertainty", lambda _: Sure())
    sources = [f"{method}-Net{number}-12" for method in ("DPSH", "DPH") for number in range(100)]
    with unsynced():
        write_run(
            tmp_path,
            [cell(f"attack {n}", source, 0.3 + 0.05 * n) for source in sources for n in range(10)],
        )
        write_report([tmp_path], formats=["html"])
    page = tmp_path / "report" / "index.html"
    assert len(page_rows(page.read_text(encoding="utf-8"))) == 2000
    assert page.stat().st_size < 5e6
