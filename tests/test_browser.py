"""The page in a real browser: no errors, no requests, sorting and filtering, hostile names."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from hashattack.reports.report import write_report
from tests.fake_runs import cell, unsynced, write_run
from tests.test_page import HOSTILE

BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="no chromium and chromedriver here (.ci/run installs them)"
)
SOURCE = 4  # its column in the table of all cells
QUIET = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
QUIET += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("page")
    sources = [f"{method}-{net}-12" for method in ("DPSH", "DPH") for net in ("VGG11", "AlexNet")]
    cells = [
        cell(name, source, mean)
        for source in sources
        for name, mean in (("DHTA", 0.7), ("P2P", 0.6), (HOSTILE, 0.4), ("late", None))
    ]
    cells += [cell("original", source, 0.3, budget_class="reference") for source in sources]
    with unsynced():
        write_run(out, cells, HOSTILE)
        write_report([out])
    return (out / "report" / "index.html").as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium.webdriver import Chrome, ChromeOptions, ChromeService

    options = ChromeOptions()
    options.binary_location = str(BROWSER)
    profile = tmp_path_factory.mktemp("profile")
    for argument in (*QUIET, f"--user-data-dir={profile}", "--window-size=1300,1000"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = Chrome(options, ChromeService(str(DRIVER)))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Any, page: str) -> Any:
    chromium.get("about:blank")
    for log in ("browser", "performance"):
        chromium.get_log(log)
    chromium.get(page)
    return chromium


def shown(browser: Any) -> list[list[str]]:
    """Return the texts of the rows that can be seen."""
    script = (
        "return [...document.querySelectorAll('#table tbody tr')].filter(row => !row.hidden)"
        ".map(row => [...row.cells].map(cell => cell.textContent.trim()))"
    )
    rows: list[list[str]] = browser.execute_script(script)
    return rows


def heading(browser: Any, name: str) -> Any:
    return browser.find_element(
        "xpath", f"//*[@id='table']//th/button[normalize-space(.)='{name}']"
    )


def column_of(browser: Any, name: str, table: str = "table") -> int:
    heads = browser.find_elements("css selector", f"#{table} thead th")
    return [head.get_attribute("data-key") for head in heads].index(name)


def facet(browser: Any, name: str) -> Any:
    from selenium.webdriver.support.select import Select

    return Select(browser.find_element("css selector", f"select[name='{name}']"))


def test_it_loads_without_errors_and_requests(browser: Any, page: str) -> None:
    assert browser.get_log("browser") == []
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    asked = [
        message["params"]["request"]["url"]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
    ]
    assert {url for url in asked if not url.startswith("data:")} <= {page}
    picture = np.asarray(Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("L"))
    assert picture.std() > 10


def test_sorting_by_a_number_and_back_by_the_keyboard(browser: Any) -> None:
    place = column_of(browser, "t_map")

    def values() -> list[float]:
        return [float(row[place]) for row in shown(browser) if row[place] != "\N{EN DASH}"]

    heading(browser, "t-MAP (%)").click()
    falling = values()
    assert falling == sorted(falling, reverse=True)
    assert len(falling) == 16
    assert shown(browser)[-1][place] == "\N{EN DASH}", "cells without a number come last"
    heading(browser, "t-MAP (%)").send_keys("\ue007")  # enter
    assert values() == falling[::-1]
    assert shown(browser)[-1][place] == "\N{EN DASH}"
    heading(browser, "attack").click()
    names = [row[0] for row in shown(browser)]
    assert names.index("DHTA") < names.index("late") < names.index("original") < names.index("P2P")


def test_filters_combine_and_can_be_sent_as_a_link(browser: Any, page: str) -> None:
    assert len(shown(browser)) == 20
    facet(browser, "backbone").select_by_visible_text("VGG11")
    assert {row[SOURCE] for row in shown(browser)} == {"DPSH-VGG11-12", "DPH-VGG11-12"}
    facet(browser, "method").select_by_visible_text("DPH")
    browser.find_element("id", "search").send_keys("dhta")
    assert [[row[0], row[SOURCE]] for row in shown(browser)] == [["DHTA", "DPH-VGG11-12"]]
    assert browser.find_element("id", "shown").text == "1 of 20 cells"
    link = browser.current_url
    browser.get("about:blank")
    browser.get(link)
    assert [[row[0], row[SOURCE]] for row in shown(browser)] == [["DHTA", "DPH-VGG11-12"]]
    browser.find_element("css selector", "button[type=reset]").click()
    browser.implicitly_wait(1)
    assert browser.execute_async_script("setTimeout(arguments[0], 50)") is None
    assert len(shown(browser)) == 20
    facet(browser, "status").select_by_visible_text("missing")
    assert {row[0] for row in shown(browser)} == {"late"}


def test_hostile_names_stay_text(browser: Any) -> None:
    assert not browser.execute_script("return window.hacked === 1")
    assert sum(row[0] == HOSTILE for row in shown(browser)) == 4
    facet(browser, "attack").select_by_visible_text(HOSTILE)
    assert len(shown(browser)) == 4
    assert HOSTILE in browser.find_element("id", "provenance").text


@pytest.mark.usefixtures("no_figures")
def test_differences_are_against_whom_one_chooses(chromium: Any, tmp_path: Path) -> None:
    from selenium.webdriver.support.select import Select

    cells = [cell("dhta", "X-12", 0.5), cell("mine", "X-12", 0.7), cell("p2p", "X-12", 0.4)]
    with unsynced():
        write_run(tmp_path, [*cells, cell("loud", "X-12", 0.9, budget_class="unbounded")])
        write_report([tmp_path], formats=["html"])
    chromium.get((tmp_path / "report" / "index.html").as_uri())

    def rows() -> list[list[str]]:
        found = chromium.find_elements("css selector", ".compared tbody tr")
        return [row.text.split() for row in found if row.is_displayed()]

    assert [row[0] for row in rows()] == ["mine", "p2p", "loud"]
    choice = Select(chromium.find_element("css selector", "select.against"))
    assert [option.text for option in choice.options] == [
        *("dhta, L∞ ≤ 8/255", "mine, L∞ ≤ 8/255", "loud, no budget")
    ]
    choice.select_by_visible_text("mine, L∞ ≤ 8/255")
    assert [row[0] for row in rows()] == ["dhta", "p2p", "loud"]
    shown_first = [next(word for word in row if word[0] in "+-") for row in rows()]
    assert [word[0] for word in shown_first] == ["-", "-", "+"]


@contextmanager
def seen_at(browser: Any, width: int, height: int = 900, **media: str) -> Iterator[None]:
    """Show pages at a size, and with media features like ``prefers_color_scheme``."""
    features = [{"name": name.replace("_", "-"), "value": value} for name, value in media.items()]
    metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
    try:
        yield
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": []})


@pytest.mark.parametrize("width", [390, 1300])
def test_nothing_but_tables_scrolls_sideways(browser: Any, width: int) -> None:
    with seen_at(browser, width):
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width


@pytest.fixture(scope="module")
def boards(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page of several boards: partial rows, no budget, no ranking, failures."""
    out = tmp_path_factory.mktemp("boards")
    sources = ["DPSH-VGG11-12", "DPSH-VGG11-32", "CSQ-ResNet18-64"]
    paper = {"paper": "Bai et al., ECCV 2020", "paper_url": "https://arxiv.org/abs/2004.07955"}
    loud = {"measured": {"linf": 190 / 255}, "budget_class": "unbounded", "learns": True}
    slow = {"measured": {"seconds_per_image": 0.5}}
    cells = []
    for dataset, policy in (("digits", "frequent"), ("NUS-WIDE", "as-published")):
        known = {"dataset": dataset, "policy": policy}
        for source in sources:
            cells += [
                cell("original", source, 0.3, budget_class="reference", **known),
                cell("dhta", source, 0.7, **paper, **slow, **known),
                cell("p2p", source, 0.5, shortened=True, **known),
                cell("x-code", source, 0.9, budget_class="code", **known),
            ]
        cells.append(cell("loud", sources[0], 0.95, **loud, **known))
        cells.append(cell("late", sources[0], None, **known))
    with unsynced(), pytest.MonkeyPatch.context() as patch:
        patch.setattr("hashattack.reports.figures.draw_figures", lambda *_: [])
        write_run(out, cells)
        write_report([out], formats=["html"])
    return (out / "report" / "index.html").as_uri()


def board_rows(browser: Any) -> list[list[str]]:
    """Return what is seen of the rows of the first leaderboard, without titles of groups."""
    script = (
        "return [...document.querySelectorAll('#table-1 tbody tr:not(.budget)')].map("
        "row => [...row.cells].filter(cell => !cell.hidden).map(cell => cell.innerText.trim()))"
    )
    rows: list[list[str]] = browser.execute_script(script)
    return rows


def board_heading(browser: Any, key: str) -> Any:
    return browser.find_element("css selector", f"#table-1 th[data-key='{key}'] button")


def names(browser: Any) -> list[str]:
    return [row[1].split("\n")[0] for row in board_rows(browser)]


def test_a_board_is_sorted_within_its_budgets_the_better_first(chromium: Any, boards: str) -> None:
    chromium.get(boards)
    ranked = ["Chance", "original", "dhta", "p2p", "loud", "x-code"]
    assert names(chromium) == ranked
    board_heading(chromium, "gain").click()
    assert names(chromium)[2:4] == ranked[2:4], "more is better, so the most is first"
    board_heading(chromium, "seconds_per_image").click()
    assert names(chromium)[2:4] == ranked[3:1:-1], "and here the least"
    board_heading(chromium, "seconds_per_image").click()
    assert names(chromium)[2:4] == ranked[2:4]
    board_heading(chromium, "rank").click()
    assert names(chromium) == ranked


def test_columns_are_chosen_and_kept_in_the_link(chromium: Any, boards: str) -> None:
    chromium.get(boards)
    before = len(board_rows(chromium)[0])
    tools = chromium.find_element("css selector", ".tools[data-for=table-1]")
    tools.find_element("xpath", ".//label[contains(., 'each hasher (3)')]").click()
    assert len(board_rows(chromium)[0]) == before + 3
    tools.find_element("css selector", "summary").click()
    tools.find_element("xpath", ".//label[contains(., 'perceptibility')]").click()
    assert len(board_rows(chromium)[0]) == before + 2
    tools.find_element("css selector", "summary").click()
    board_heading(chromium, "linf").click()
    link = chromium.current_url
    chromium.get("about:blank")
    chromium.get(link)
    assert len(board_rows(chromium)[0]) == before + 2
    assert board_heading(chromium, "linf").find_element("xpath", "..").get_attribute("aria-sort")
    wanted = link.replace("perceptibility", "gain")
    chromium.execute_async_script(
        "location.hash = arguments[0]; setTimeout(arguments[1], 100)", wanted.partition("#")[2]
    )
    assert not board_heading(chromium, "gain").is_displayed(), "another link is another view"
    assert board_heading(chromium, "perceptibility").is_displayed()


def test_the_board_is_saved_as_it_is_shown(chromium: Any, boards: str) -> None:
    chromium.get(boards)
    chromium.execute_script(
        "URL.createObjectURL = blob => { window.saved = blob; return '#'; };"
        "HTMLAnchorElement.prototype.click = function () { window.named = this.download; };"
    )
    chromium.find_element("css selector", ".tools[data-for=table-1] > button").click()
    text = chromium.execute_async_script("window.saved.text().then(arguments[0])")
    head, *rows = list(csv.reader(io.StringIO(text)))
    assert chromium.execute_script("return window.named") == "leaderboard-digits.csv"
    assert head[:5] == ["budget", "#", "attack", "mean t-MAP (%)", "95 % interval"]
    assert len(rows) == 6
    assert {len(row) for row in rows} == {len(head)}
    (dhta,) = (row for row in rows if row[2] == "dhta")
    assert dhta[:2] == ["L∞ ≤ 8/255", "1"]
    (loud,) = (row for row in rows if row[2] == "loud on 1 of 3 hashers")
    assert loud[0] == "no budget"
    assert "190.00" in loud


def test_partial_rows_and_visible_perturbations_say_so(chromium: Any, boards: str) -> None:
    chromium.get(boards)
    (loud,) = (row for row in board_rows(chromium) if row[1].startswith("loud"))
    assert "on 1 of 3 hashers" in loud[1]
    assert not loud[0], "it is not ranked"
    assert "190.00 visible" in loud
    assert float(loud[2]) > 80
    link = chromium.find_element("link text", "Bai et al., ECCV 2020")
    assert link.get_attribute("href") == "https://arxiv.org/abs/2004.07955"
    assert "leads" in chromium.find_element("css selector", ".headline").text


def test_clear_clears_the_sort(browser: Any) -> None:
    before = shown(browser)
    heading(browser, "t-MAP (%)").click()
    assert shown(browser) != before
    browser.find_element("css selector", "button[type=reset]").click()
    browser.execute_async_script("setTimeout(arguments[0], 50)")
    assert shown(browser) == before
    assert "sort" not in browser.current_url


def test_the_first_screen_and_the_first_ten_columns_have_room(browser: Any, boards: str) -> None:
    where = "return document.querySelector(arguments[0]).getBoundingClientRect()"
    with seen_at(browser, 1400):
        assert browser.execute_script(where, ".headline")["bottom"] < 400
        assert browser.execute_script(where, "#start .drawing")["top"] < 700
        browser.get(boards)
        tenth = browser.execute_script(where, "#table-1 thead th:nth-child(10)")
        assert tenth["right"] < 1400


def test_what_is_printed_has_repeated_heads_and_no_cut_columns(browser: Any, boards: str) -> None:
    browser.get(boards)
    try:
        with seen_at(browser, 1030):  # A4 in landscape within its margins
            where = "return document.querySelector(arguments[0]).getBoundingClientRect().right"
            browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
            assert browser.execute_script(where, "#table-1 thead th:nth-child(10)") <= 1030
            style = "return getComputedStyle(document.querySelector(arguments[0])).display"
            assert browser.execute_script(style, "#table-1 thead") == "table-header-group"
            assert browser.execute_script(style, "header") == "none"
    finally:
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})


AXE = resources.files("axe_playwright_python").joinpath("axe.min.js")
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def violations(browser: Any) -> list[str]:
    """Return what axe finds, targets below 24 pixels and contrasts below 4.5 among it."""
    browser.execute_script(AXE.read_text(encoding="utf-8"))
    found = browser.execute_async_script(
        "axe.run(document, {runOnly: arguments[0]}).then(done => arguments[1](done.violations))",
        RULES,
    )
    return [f"{one['id']}: {node['html'][:200]}" for one in found for node in one["nodes"]]


@pytest.mark.parametrize("width", [390, 1300])
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_axe_finds_nothing(chromium: Any, page: str, boards: str, width: int, colours: str) -> None:
    with seen_at(chromium, width, prefers_color_scheme=colours):
        for one in (page, boards):
            chromium.get(one)
            assert violations(chromium) == []
            regions = chromium.find_elements("css selector", ".wide[tabindex]")
            scroll = "return arguments[0].scrollWidth > arguments[0].clientWidth"
            scroll += " || arguments[0].scrollHeight > arguments[0].clientHeight"
            assert all(chromium.execute_script(scroll, region) for region in regions)


def test_axe_finds_what_is_wrong(chromium: Any, boards: str) -> None:
    chromium.get(boards)
    chromium.execute_script("document.querySelector('h1').style.color = '#ccc'")
    (found,) = violations(chromium)
    assert found.startswith("color-contrast: <h1")
