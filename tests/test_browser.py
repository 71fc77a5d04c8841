"""The page in a real browser: no errors, no requests, sorting and filtering, hostile names."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Iterator
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
    return browser.find_element("xpath", f"//*[@id='table']//th/button[text()='{name}']")


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
    column = [head.text for head in browser.find_elements("css selector", "#table thead th")]
    place = column.index("t-MAP (%)")

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
    assert {row[3] for row in shown(browser)} == {"DPSH-VGG11-12", "DPH-VGG11-12"}
    facet(browser, "method").select_by_visible_text("DPH")
    browser.find_element("id", "search").send_keys("dhta")
    assert [[row[0], row[3]] for row in shown(browser)] == [["DHTA", "DPH-VGG11-12"]]
    assert browser.find_element("id", "shown").text == "1 of 20 cells"
    link = browser.current_url
    browser.get("about:blank")
    browser.get(link)
    assert [[row[0], row[3]] for row in shown(browser)] == [["DHTA", "DPH-VGG11-12"]]
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


@pytest.mark.parametrize("width", [390, 1300])
def test_nothing_but_tables_scrolls_sideways(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
    try:
        wide = browser.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
