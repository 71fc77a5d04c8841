"""The paper's tables: its own numbers put in come out in place, and differences are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hashattack.benchmark.columns import DTYPES
from hashattack.benchmark.suites.loading import load_suite
from hashattack.benchmark.suites.sources import shipped
from hashattack.reports.grids import Grid, grids
from hashattack.reports.layouts import LAYOUTS
from hashattack.reports.paper_tables import difference_text, latex_grid, markdown_grids
from hashattack.reports.published import KEYS, METRICS, NAMES, measured, published
from hashattack.reports.tables import MARKDOWN
from tests.test_reports import compile_latex, row

TABLES = [layout for name, layout in LAYOUTS.items() if name.startswith("table")]


def frame(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)


def as_results(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return result rows that hold the given numbers of the paper."""
    ids = {name: id_ for id_, name in NAMES.items()}
    rows = []
    keys = [key for key in KEYS if key != "metric"]
    for values, group in numbers.groupby(keys, sort=False):
        cell = dict(zip(keys, map(str, values), strict=True))
        victim = f"{cell['method']}-{cell['victim_backbone']}-{cell['victim_bits']}"
        source = victim
        if cell["source_backbone"]:
            source = f"{cell['method']}-{cell['source_backbone']}-{cell['source_bits']}"
        columns = {
            METRICS[metric][0]: value / METRICS[metric][1]
            for metric, value in zip(group["metric"], group["value"], strict=True)
        }
        made = row(ids[cell["attack"]], source, None, victim=victim, dataset=cell["dataset"])
        rows.append({**made, "seconds_per_image": None, "perceptibility": None, **columns})
    return frame(rows)


def of_table(layout_id: str) -> pd.DataFrame:
    numbers = published()
    return numbers[numbers["table"] == layout_id.removeprefix("table")]


def test_the_paper_has_462_numbers() -> None:
    assert len(published()) == 462
    counts = {layout.id: len(of_table(layout.id)) for layout in TABLES}
    assert sum(counts.values()) == 462
    assert min(counts.values()) > 0


@pytest.mark.parametrize("layout", TABLES, ids=lambda layout: layout.id)
def test_published_numbers_come_out_where_the_paper_has_them(layout: Any) -> None:
    numbers = of_table(layout.id)
    (grid,) = grids(as_results(numbers), [layout])
    assert len(grid.numbers) == len(numbers)
    for number in grid.numbers.values():
        assert number.value == pytest.approx(number.published)
        assert number.status == "ok"
    text = markdown_grids([grid])
    assert text.count("+0.00") + text.count("+0 ") == len(numbers)


def test_differences_are_measured_minus_published(tmp_path: Path) -> None:
    numbers = of_table("table1")
    results = as_results(numbers)
    wanted = {  # set by hand: what we "measured", and the paper's number
        ("original", "DPSH-VGG11-12"): (0.6458, 63.58, "+1.00"),
        ("original", "DPSH-VGG11-24"): (0.6149, 63.49, "\N{MINUS SIGN}2.00\\*"),
        ("original", "DPSH-VGG11-32"): (0.7000, 63.49, "+6.51\\*\\*"),
    }
    flickr = results["dataset"] == "FLICKR-25K"
    for (attack, source), (value, _, _) in wanted.items():
        place = flickr & (results["attack"] == attack) & (results["source"] == source)
        results.loc[place, "t_map_stable"] = value
    failed = flickr & (results["attack"] == "dhta") & (results["source"] == "DPSH-VGG11-48")
    results.loc[failed, ["status", "t_map_stable"]] = ["failed", None]
    absent = flickr & (results["attack"] == "p2p") & (results["source"] == "DPSH-VGG11-48")
    (grid,) = grids(results[~absent], [LAYOUTS["table1"]])
    for (_, source), (value, paper, text) in wanted.items():
        number = grid.numbers[("t-MAP", "Original"), ("FLICKR-25K", source[-2:])]
        assert number.value == pytest.approx(100 * value)
        assert number.published == paper
        assert difference_text(number, MARKDOWN) == text
    assert grid.numbers[("t-MAP", "DHTA"), ("FLICKR-25K", "48")].status == "failed"
    assert grid.numbers[("t-MAP", "P2P"), ("FLICKR-25K", "48")].status == "not run"
    for differences in (False, True):
        latex = latex_grid(grid, differences=differences)
        assert "not run" in latex
        assert "failed" in latex
        compile_latex(latex, tmp_path)


def test_the_latex_of_every_table_compiles(tmp_path: Path) -> None:
    results = pd.concat([as_results(of_table(layout.id)) for layout in TABLES], ignore_index=True)
    filled = list(grids(results, list(LAYOUTS.values())))
    assert {grid.layout.id for grid in filled} == set(LAYOUTS)
    pages = [latex_grid(grid, differences=d) for grid in filled for d in (False, True)]
    compile_latex("\n\\clearpage\n".join(pages), tmp_path)


def best_of(grid: Grid, column: tuple[str, ...]) -> set[tuple[str, ...]]:
    return {r for (r, c), number in grid.numbers.items() if c == column and number.best}


def test_the_best_attack_is_bold_among_its_rivals_alone() -> None:
    (grid,) = grids(as_results(of_table("table1")), [LAYOUTS["table1"]])
    assert best_of(grid, ("NUS-WIDE", "32")) == {("t-MAP", "ProS-GAN")}, "not the anchor code"
    (grid,) = grids(as_results(of_table("table2")), [LAYOUTS["table2"]])
    assert best_of(grid, ("MS-COCO", "seconds_per_image")) == {("ProS-GAN",)}, "less is better"
    (grid,) = grids(as_results(of_table("table5")), [LAYOUTS["table5"]])
    assert len(best_of(grid, ("48",))) == 4, "one attack a source"


def test_another_data_set_takes_the_papers_place() -> None:
    nus = of_table("table3")
    results = as_results(nus).assign(dataset="digits")
    (grid,) = grids(results, [LAYOUTS["table3"]])
    assert grid.dataset == "digits"
    assert not grid.has_published
    assert len(grid.numbers) == len(nus)
    assert {number.status for number in grid.numbers.values()} == {"ok"}
    assert "Measured minus published" not in markdown_grids([grid])


def test_ours_are_means_over_seeds_and_variants_are_left_out() -> None:
    rows = [
        row("dhta", "DPSH-VGG11-12", None, draw_seed=seed, t_map_stable=value)
        for seed, value in enumerate((0.4, 0.6))
    ]
    rows.append(row("dhta", "DPSH-VGG11-12", None, variant="steps=3", t_map_stable=0.9))
    long = measured(frame(rows)).set_index("metric")
    assert long.loc["t-MAP", "value"] == pytest.approx(50.0)
    rows.append(row("dhta", "DPSH-VGG11-12", None, draw_seed=2, status="invalid"))
    long = measured(frame(rows)).set_index("metric")
    assert long["value"].isna().all()
    assert long.loc["t-MAP", "status"] == "invalid"


def test_what_is_no_seed_is_not_averaged() -> None:
    base = {"t_map_stable": 0.3, "n_queries": 8, "params": '{"steps":10}'}
    source = "DPSH-VGG11-12"
    rows = [row("dhta", source, None, **base), row("dhta", source, None, draw_seed=1, **base)]
    policies = [*rows, row("dhta", source, None, policy="disjoint", **base)]
    two = list(grids(frame(policies).assign(dataset="digits"), [LAYOUTS["table5"]]))
    assert [grid.setting.policy for grid in two] == ["frequent", "disjoint"]
    for change in ({"n_queries": 9}, {"params": '{"steps":20}'}, {"dataset_fingerprint": "other"}):
        mixed = frame([*rows, row("dhta", source, None, **{**base, **change})])
        assert set(measured(mixed)["status"]) == {"ambiguous"}
        assert measured(mixed)["value"].isna().all()


def test_the_caption_says_what_was_overridden() -> None:
    made = row("dhta", "DPSH-VGG11-12", None, t_map_stable=0.5, n_queries=64)
    made |= {"overrides": "steps=10, rule=l2"}
    (grid,) = grids(frame([made]).assign(dataset="a|b<i>"), [LAYOUTS["table1"]])
    text = markdown_grids([grid])
    assert "protocol released, target labels frequent, 64 queries" in text
    assert "Overrides: steps=10, rule=l2." in text
    assert "<i>" not in text
    variant = {**made, "variant": "alpha=10"}
    assert not list(grids(frame([variant]), list(LAYOUTS.values())))


def test_data_sets_beyond_the_papers_stand_beside_them() -> None:
    results = as_results(of_table("table1"))
    digits = results[results["dataset"] == "NUS-WIDE"].assign(dataset="digits")
    (grid,) = grids(pd.concat([results, digits]), [LAYOUTS["table1"]])
    assert grid.numbers[("t-MAP", "DHTA"), ("digits", "12")].status == "ok"
    assert grid.columns[-1] == ("digits", "48")


def test_the_time_grid_is_seconds_by_network_and_length() -> None:
    rows = [
        row(attack, f"{method}-{backbone}-{bits}", 0.5, seconds_per_image=seconds + method_more)
        for method, method_more in (("DPSH", 0.0), ("HashNet", 0.5))
        for attack, seconds in (("dhta", 1.0), ("prosgan", 0.01))
        for backbone in ("AlexNet", "VGG11")
        for bits in (12, 48)
    ]
    (grid,) = grids(frame(rows), [LAYOUTS["time"]])
    assert grid.columns == [("AlexNet", "12"), ("AlexNet", "48"), ("VGG11", "12"), ("VGG11", "48")]
    assert grid.numbers[("DPSH", "ProS-GAN"), ("VGG11", "48")].value == pytest.approx(0.01)
    assert grid.numbers[("HashNet", "ProS-GAN"), ("VGG11", "48")].value == pytest.approx(0.51)
    assert grid.numbers[("HashNet", "ProS-GAN"), ("VGG11", "48")].best, "within its method"


def test_suites_name_tables_that_exist_and_paper_has_them_all() -> None:
    named = {name: load_suite(name).tables for name in shipped()}
    assert {table for tables in named.values() for table in tables} <= set(LAYOUTS)
    assert set(named["paper"]) == {layout.id for layout in TABLES}
    assert set(named["mini"]) == set(LAYOUTS)


@pytest.mark.parametrize("layout", TABLES, ids=lambda layout: layout.id)
def test_the_suite_of_a_table_crosses_every_number_in_it(layout: Any) -> None:
    suite = load_suite(layout.id)
    datasets = {entry.dataset for entry in suite.datasets}
    lengths = {
        f"{method}-{backbone}-{bits}"
        for target in suite.targets
        for method in target.method
        for backbone in target.backbone
        for bits in target.bits
    }
    attacks = {NAMES[entry.attack] for entry in suite.attacks}
    transfers = suite.victims == ["*"]
    for number in of_table(layout.id).itertuples():
        victim = f"{number.method}-{number.victim_backbone}-{number.victim_bits}"
        source = f"{number.method}-{number.source_backbone}-{number.source_bits}"
        assert number.dataset in datasets
        assert number.attack in attacks
        assert victim in lengths
        assert number.attack == "Original" or source in lengths
        assert transfers or number.attack == "Original" or source == victim
