"""Galleries: distances, names of classes, what a page shows of them, and how it is chosen."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markupsafe import escape

from hashattack.benchmark.results.manifest import read_manifest
from hashattack.benchmark.store.store import Arrays, JobRef, Store
from hashattack.datasets.base import DatasetError
from hashattack.datasets.digits import Digits
from hashattack.datasets.doctor import examine
from hashattack.datasets.files import write_checked
from hashattack.reports.galleries import Gallery, Shown, galleries
from hashattack.reports.leaderboard import leaderboards
from hashattack.reports.names import Names
from hashattack.reports.records import galleries as stored_galleries
from hashattack.reports.report import write_report
from hashattack.reports.results import Runs
from hashattack.reports.strip import strip_of
from hashattack.reports.uncertainty import Uncertainty
from tests.conftest import SmokeRun, run_cli, small_suite
from tests.photos import spec, texts
from tests.test_browser import BROWSER, DRIVER, seen_at, violations
from tests.test_browser import chromium as chromium

HOSTILE = "<img src=x onerror='window.hacked=1'>\"&"
PAGE_BYTES = 1_500_000  # of all galleries of the demo
in_browser = pytest.mark.skipif(not (BROWSER and DRIVER), reason="no chromium and chromedriver")


@pytest.fixture(scope="module")
def shown(smoke: SmokeRun) -> list[Gallery]:
    runs = Runs([smoke.out])
    return list(galleries(runs, Names(runs.cells)))


def page_of(out: Path) -> str:
    return (out / "report" / "index.html").read_text(encoding="utf-8")


def test_distances_and_labels_are_those_of_the_stored_codes(smoke: SmokeRun, cache: Path) -> None:
    manifest, store = read_manifest(smoke.out), Store(smoke.out / "store")
    found = [(key, job) for key, job in manifest["jobs"].items() if job["stage"] == "gallery"]
    assert len(found) == 14
    digits = Digits(n_train=400, n_query=64, n_database=800, side=32).load(cache)
    labels = np.asarray(digits.database.labels)
    for key, job in found:
        arrays = store.arrays(JobRef("gallery", key))

        def codes(role: str, inputs: dict[str, str] = job["inputs"]) -> np.ndarray:
            stage = manifest["jobs"][inputs[role]]["stage"]
            return store.arrays(JobRef(stage, inputs[role]))["codes"]

        database = codes("database")
        for when, role in (("before", "clean"), ("after", "codes")):
            queries = codes(role)[arrays["rows"]]
            for number, query in enumerate(queries):
                distances = (query != database).sum(axis=1)
                first = np.argsort(distances, kind="stable")[:10]
                assert arrays[f"{when}_distances"][number].tolist() == distances[first].tolist()
                assert (arrays[f"{when}_labels"][number] == labels[first]).all()
                hits = (labels[first] @ arrays["targets"][number].astype(int)) > 0
                assert (arrays[f"{when}_hits"][number] == hits).all()


def test_original_and_noise_are_left_out_and_captions_say_what_happened(
    smoke: SmokeRun, shown: list[Gallery]
) -> None:
    assert {one.row["attack"] for one in shown} == {
        *("p2p", "dhta", "dhta-fgsm", "dhta-ifgsm", "prosgan")
    }
    page = page_of(smoke.out)
    section = page[page.index('<section id="galleries">') :]
    assert "Original on" not in section
    assert "Noise on" not in section
    assert not list((smoke.out / "report" / "galleries").glob("*-original-*"))
    for gallery in shown:
        for query in gallery.queries:
            after = sum(result.hit for result in query.after)
            assert query.outcome.startswith("asked for \N{LEFT DOUBLE QUOTATION MARK}digit ")
            assert query.outcome.endswith(f"before, {after} of 10 after")
            caption = f"<figcaption>{gallery.title}, {query.outcome}</figcaption>"
            assert caption in html.unescape(section)
            target = set(query.adversarial.labels.split(", "))
            for result in [*query.before, *query.after]:
                assert result.hit == bool(target & set(result.labels.split(", ")))
        assert (smoke.out / "report" / "galleries" / f"{gallery.name}.png").is_file()


def test_every_picture_has_a_size_and_a_text_and_is_lazy(smoke: SmokeRun) -> None:
    page = page_of(smoke.out)
    pictures = re.findall(r"<img [^>]+>", page)
    assert len(pictures) == 10 * 2 * 23 + 3 + 2 * 6  # ten galleries and the strip
    for picture in pictures:
        assert re.search(r' width="32" height="32" loading="lazy"', picture)
        assert re.search(r' alt="[^"]+"', picture)


def test_the_strip_is_of_the_best_attack_of_the_lowest_budget(
    smoke: SmokeRun, shown: list[Gallery]
) -> None:
    runs = Runs([smoke.out])
    boards = leaderboards(runs.results, Names(runs.cells), Uncertainty(runs))
    strip = strip_of(boards, shown)
    assert strip is not None
    (group,) = [group for board in boards for group in board.groups if "8/255" in group.title]
    assert strip.gallery.row["attack"] == group.lines[0].facts["attack"]
    assert strip.gallery.row["source"] == next(iter(boards[0].targets))
    assert len(strip.query.before) == len(strip.query.after) == 6
    page = page_of(smoke.out)
    assert page.index('<figure class="strip">') < page.index('<section id="board-1">')
    assert f"<figcaption>{html.escape(strip.caption, quote=False)}" in page
    best = strip.gallery.row["attack"]
    others = [one for one in shown if one.row["attack"] != best]
    another = strip_of(boards, others)
    assert another is None or another.gallery.row["attack"] != best
    assert strip_of(boards, []) is None
    assert strip_of([], shown) is None


class Earlier(Runs):
    """Runs whose galleries are those of version 1 of the stage."""

    def galleries(self) -> Iterator[tuple[dict[str, Any], Arrays, list[str]]]:
        for row, arrays, classes in super().galleries():
            new = [name for name in arrays if name.endswith(("_labels", "_distances"))]
            yield row, {name: arrays[name] for name in arrays.keys() - new}, classes


def test_folders_of_earlier_versions_are_shown_without_distances(
    smoke: SmokeRun, shown: list[Gallery]
) -> None:
    runs = Earlier([smoke.out])
    for old, new in zip(galleries(runs, Names(runs.cells)), shown, strict=True):
        assert new.distances
        assert not old.distances
        assert old.summary == new.summary
        for result in (one for query in old.queries for one in query.before):
            assert result.mark in ("\N{CHECK MARK}", "\N{EN DASH}")
            assert result.text in ("relevant", "other")


def listed_names(folder: Path, *names: str) -> Path:
    (folder / "classes.txt").write_text("\n".join(names) + "\n", encoding="utf-8")
    return folder / "classes.txt"


def test_a_file_beside_the_lists_names_the_labels(folder: Path, tmp_path: Path) -> None:
    unnamed = spec(folder).load(tmp_path)
    assert unnamed.classes == ("label 0", "label 1", "label 2")
    assert any("classes.txt" in text for text in texts(examine(spec(folder).inspect(tmp_path), 1)))
    listed_names(folder, "odd", "third", "all\x1b[1m")
    named = spec(folder).load(tmp_path)
    assert named.classes == ("odd", "third", "all\\x1b[1m")
    assert named.fingerprint == unnamed.fingerprint
    diagnosis = examine(spec(folder).inspect(tmp_path), 1)
    assert diagnosis.classes == named.classes
    assert not any("classes.txt" in text for text in texts(diagnosis))
    moved = tmp_path / "names.txt"
    moved.write_text("a\nb\nc")
    assert spec(folder, classes=str(moved)).load(tmp_path).classes == ("a", "b", "c")


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (("a", "b"), "has 2 names, but the label rows have 3 columns"),
        (("a", "b", "c", "d"), "has 4 names, but the label rows have 3 columns"),
        (("a", "", "c"), "line 2: no name"),
        (("a", "b", "a"), "line 3: 'a' is also in line 1"),
    ],
)
def test_faulty_names_are_an_error_that_names_the_file(
    names: tuple[str, ...], fault: str, folder: Path, tmp_path: Path
) -> None:
    path = listed_names(folder, *names)
    with pytest.raises(DatasetError) as error:
        spec(folder).load(tmp_path)
    assert f"{path} {fault}" in str(error.value)
    assert any(fault in text for text in texts(examine(spec(folder).inspect(tmp_path), 1)))


def test_lists_that_name_their_labels_keep_the_names(folder: Path, tmp_path: Path) -> None:
    for name in ("train", "test", "database"):
        (folder / f"{name}.txt").unlink()
    (folder / "train.csv").write_text("img/3.png,cat\nimg/4.png,dog\n")
    (folder / "test.csv").write_text("img/0.png,dog\n")
    (folder / "database.csv").write_text("img/3.png,cat\nimg/4.png,dog\n")
    path = listed_names(folder, "x", "y")
    assert spec(folder).load(tmp_path).classes == ("cat", "dog")
    with pytest.raises(DatasetError, match="the lists name their labels themselves"):
        spec(folder, classes=str(path)).load(tmp_path)


@pytest.fixture(scope="module")
def hostile_run(smoke: SmokeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder that shows the smoke run's galleries with hostile names."""
    out = tmp_path_factory.mktemp("hostile")
    manifest = read_manifest(smoke.out)
    names = [f"{HOSTILE}{number}" for number in range(10)]
    manifest["classes"] = dict.fromkeys(manifest["classes"], names)
    (out / "store").symlink_to(smoke.out / "store")
    write_checked(out / "plan.json", manifest)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashattack.reports.figures.draw_figures", lambda *_: [])
        patch.setattr("hashattack.reports.report.IN_PAGE", 1)
        write_report([out], formats=["html"])
    return out


def test_hostile_names_stay_text(hostile_run: Path) -> None:
    page = page_of(hostile_run)
    assert HOSTILE not in page
    assert f"asked for {escape(HOSTILE)}" in page


def test_a_page_has_room_for_some_galleries_and_files_hold_all(hostile_run: Path) -> None:
    kept = re.findall(r"<details data-attack=\"(.*?)\"", page_of(hostile_run))
    assert len(kept) < 10
    assert "ProS-GAN" in kept, "ranked first of those without a budget"
    assert len(list((hostile_run / "report" / "galleries").glob("*.png"))) == 10


def test_the_galleries_of_the_demo_fit(cache: Path) -> None:
    data = Digits(n_train=1, n_query=22, n_database=1).load(cache)
    images = [Shown(image) for image in data.query.images.read(np.arange(22))]
    noise = np.random.default_rng(0).integers(128 - 80, 128 + 80, (3, 64, 64), dtype=np.uint8)
    a_query = sum(len(one.uri) for one in [*images, Shown(noise)])
    assert 24 * 2 * a_query < PAGE_BYTES


@pytest.mark.usefixtures("no_figures")
def test_new_names_are_shown_without_attacking_again(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    suite = small_suite(gallery=1).model_dump(exclude={"name", "scale"})
    file = tmp_path / "own.yaml"
    file.write_text(json.dumps(suite))
    arguments = ["run", "--suite", str(file), "--out", str(tmp_path / "out"), "--cache", str(cache)]
    first = run_cli(*arguments)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "all files are unchanged" in run_cli(*arguments).stdout
    names = [f"number {digit}" for digit in range(10)]
    monkeypatch.setattr("hashattack.datasets.digits.CLASSES", names)
    again = run_cli(*arguments)
    assert "all files are unchanged" not in again.stdout
    assert "ok in" not in again.stdout
    manifest = read_manifest(tmp_path / "out")
    assert list(manifest["classes"].values()) == [names]
    shown_rows = stored_galleries(tmp_path / "out")
    ((row, _, shown),) = (one for one in shown_rows if one[0]["budget_class"] != "reference")
    assert (row["attack"], shown) == ("dhta", names)


@in_browser
def test_one_attack_is_shown_at_a_time(chromium: Any, smoke: SmokeRun) -> None:
    from selenium.webdriver.support.select import Select

    chromium.get((smoke.out / "report" / "index.html").as_uri())

    def seen() -> list[tuple[str, bool]]:
        found = chromium.find_elements("css selector", "#galleries details")
        titles = [one.find_element("css selector", "summary b") for one in found]
        opened = [one.get_attribute("open") is not None for one in found]
        both = zip(titles, opened, strict=True)
        return [(title.text, is_open) for title, is_open in both if title.is_displayed()]

    def choose(name: str, choice: str) -> None:
        select = chromium.find_element("css selector", f"#pick select[name={name}]")
        Select(select).select_by_visible_text(choice)

    strip = chromium.find_element("css selector", ".strip figcaption").text
    attack, _, hasher = strip.partition(",")[0].partition(" on ")
    both = [f"{attack} on DPSH-Tiny-12", f"{attack} on DPSH-Tiny-32"]
    assert seen() == [(both[0], True), (both[1], False)]
    assert hasher == "DPSH-Tiny-12"
    choose("attack", "ProS-GAN")
    choose("hasher", "DPSH-Tiny-32")
    assert seen() == [("ProS-GAN on DPSH-Tiny-32", True)]
    choose("attack", "all")
    assert len(seen()) == 5


@in_browser
def test_hostile_names_do_nothing_in_a_browser(chromium: Any, hostile_run: Path) -> None:
    chromium.get((hostile_run / "report" / "index.html").as_uri())
    assert not chromium.execute_script("return window.hacked === 1")
    text = chromium.find_element("css selector", ".strip").text
    assert HOSTILE in text


@in_browser
@pytest.mark.parametrize("width", [390, 1300])
def test_axe_finds_nothing_in_open_galleries(chromium: Any, hostile_run: Path, width: int) -> None:
    with seen_at(chromium, width):
        chromium.get((hostile_run / "report" / "index.html").as_uri())
        opened = "for (const one of document.querySelectorAll('#galleries details'))"
        chromium.execute_script(f"{opened} {{ one.open = true; one.hidden = false; }}")
        assert violations(chromium) == []
        assert chromium.execute_script("return document.documentElement.scrollWidth") <= width
