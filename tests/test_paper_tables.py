"""Tables of papers: their numbers put in come out in place, and differences are right."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from hashattack.benchmark.suites.loading import load_suite
from hashattack.benchmark.suites.sources import shipped
from hashattack.reports import published
from hashattack.reports.grids import Grid, differences, grids, measured
from hashattack.reports.names import Names
from hashattack.reports.published import Paper, PaperError, papers, tables
from hashattack.reports.report import write_report
from hashattack.reports.tables import latex, markdown
from tests.conftest import ROOT
from tests.fake_runs import cell, frame, row, unsynced, write_run
from tests.test_reports import compile_latex

# The numbers as they were typed from the paper, which the product has a copy of.
TYPED = ROOT.parent / "shared" / "paper" / "published.csv"
KEYS = ["dataset", "method", "source_backbone", "source_bits", "victim_backbone", "victim_bits"]
PAPER = tables()["table1"][0]
TABLES = [name for name in tables() if name.startswith("table")]
MINUS = "\N{MINUS SIGN}"


def typed() -> pd.DataFrame:
    if not TYPED.is_file():
        pytest.skip(f"{TYPED} is not here")
    numbers = pd.read_csv(TYPED, dtype="string").astype({"value": "float64"}).fillna("")
    numbers["table"] = "table" + numbers["table"]
    return numbers


def as_results(numbers: pd.DataFrame) -> pd.DataFrame:
    """Return result rows that hold the given numbers of the paper."""
    ids = {name: id_ for id_, name in PAPER.attacks.items()}
    rows = []
    for values, group in numbers.groupby([*KEYS, "attack"], sort=False):
        keys = dict(zip([*KEYS, "attack"], map(str, values), strict=True))
        victim = f"{keys['method']}-{keys['victim_backbone']}-{keys['victim_bits']}"
        source = f"{keys['method']}-{keys['source_backbone']}-{keys['source_bits']}"
        source = victim if keys["attack"] == "Original" else source
        metrics = [PAPER.metrics[str(name)] for name in group["metric"]]
        columns = {
            metric.column: value / metric.scale
            for metric, value in zip(metrics, group["value"], strict=True)
        }
        made = row(ids[keys["attack"]], source, None, victim=victim, dataset=keys["dataset"])
        rows.append({**made, "seconds_per_image": None, "perceptibility": None, **columns})
    return frame(rows)


def filled(results: pd.DataFrame, name: str) -> list[Grid]:
    return list(grids(results, *tables()[name], Names(results)))


def test_the_papers_numbers_are_those_that_were_typed() -> None:
    ours, theirs = PAPER.numbers, typed()
    assert ours["published"].tolist() == theirs["value"].tolist()
    for name in ("table", *KEYS, "attack", "metric"):
        same = ours[name].fillna("") == theirs[name]
        assert same[theirs["attack"] != "Original"].all(), name
    assert len(ours) == 462


@pytest.mark.parametrize("name", TABLES)
def test_published_numbers_come_out_where_the_paper_has_them(name: str) -> None:
    numbers = typed()
    numbers = numbers[numbers["table"] == name]
    (grid,) = filled(as_results(numbers), name)
    assert len(grid.numbers) == len(numbers)
    assert grid.numbers["value"].notna().all()
    text = markdown(grid.table(differences=True))
    assert text.count("+0.00") + text.count("+0 ") == len(numbers)


def test_a_few_numbers_stand_where_the_paper_prints_them() -> None:
    (grid,) = filled(frame([row("dhta", "DPSH-VGG11-12", 0.5, dataset="FLICKR-25K")]), "table1")
    numbers = grid.numbers.set_index(["dataset", "victim_bits", "attack", "metric"])["published"]
    for key, value in {  # typed from its Table 1
        ("FLICKR-25K", "12", "Original", "t-MAP"): 63.58,
        ("FLICKR-25K", "32", "DHTA", "t-MAP"): 88.35,
        ("FLICKR-25K", "48", "Original", "t-MAP"): 63.59,
    }.items():
        assert numbers[key] == value


def test_differences_are_measured_minus_published(tmp_path: Path) -> None:
    rows = [
        row("original", f"DPSH-VGG11-{bits}", None, dataset="FLICKR-25K", t_map_stable=value)
        for bits, value in ((12, 0.6458), (24, 0.6149), (32, 0.7))  # 63.58, 63.49 and 63.49
    ]
    failed = {"dataset": "FLICKR-25K", "status": "failed"}
    rows.append(row("dhta", "DPSH-VGG11-48", None, **failed))
    (grid,) = filled(frame(rows), "table1")
    ours, differences = (grid.table(differences=which) for which in (False, True))
    original = differences.texts["FLICKR-25K"].loc[("t-MAP", "Original")]
    assert list(original) == ["+1.00", f"{MINUS}2.00*", "+6.51**", "not run"]
    assert ours.texts.loc[("t-MAP", "Original"), ("FLICKR-25K", "32")] == "70.00"
    assert ours.texts.loc[("t-MAP", "DHTA"), ("FLICKR-25K", "48")] == "failed"
    assert ours.texts.loc[("t-MAP", "P2P"), ("FLICKR-25K", "48")] == "not run"
    assert r"+6.51\*\*" in markdown(differences)
    compile_latex("\n".join(map(latex, (ours, differences))), tmp_path)


def test_the_latex_of_every_table_compiles(tmp_path: Path) -> None:
    numbers = PAPER.numbers.rename(columns={"published": "value"})
    results = as_results(numbers.drop_duplicates([*KEYS, "attack", "metric"]))
    pages = [
        latex(grid.table(differences=which))
        for name in tables()
        for grid in filled(results, name)
        for which in (False, True)
    ]
    compile_latex("\n\\clearpage\n".join(pages), tmp_path)


def best_of(name: str, **keys: str) -> list[str]:
    """Return the best attacks of a table of the paper's own numbers."""
    numbers = PAPER.numbers[PAPER.numbers["table"] == name].rename(columns={"published": "value"})
    (grid,) = filled(as_results(numbers), name)
    best = grid.numbers[grid.numbers["best"]]
    for key, value in keys.items():
        best = best[best[key] == value]
    return list(best["attack"])


def test_the_best_attack_is_bold_among_its_rivals_alone() -> None:
    found = best_of("table1", dataset="NUS-WIDE", victim_bits="32", metric="t-MAP")
    assert found == ["ProS-GAN"], "not the anchor code"
    assert best_of("table2", dataset="MS-COCO", metric="seconds_per_image") == ["ProS-GAN"]
    assert len(best_of("table5", victim_bits="48")) == 4, "one attack a source"


def test_another_data_set_takes_the_papers_place() -> None:
    numbers = PAPER.numbers[PAPER.numbers["table"] == "table3"]
    results = as_results(numbers.rename(columns={"published": "value"})).assign(dataset="digits")
    (grid,) = filled(results, "table3")
    assert grid.dataset == "digits"
    assert not grid.has_published
    assert len(grid.numbers) == len(numbers)
    assert grid.numbers["value"].notna().all()


def test_data_sets_beyond_the_papers_stand_beside_them() -> None:
    rows = [
        row("dhta", f"DPSH-VGG11-{bits}", None, dataset=name, t_map_stable=0.5)
        for name in ("NUS-WIDE", "digits")
        for bits in (12, 48)
    ]
    (grid,) = filled(frame(rows), "table1")
    texts = grid.table().texts
    assert texts.loc[("t-MAP", "DHTA"), ("digits", "12")] == "50.00"
    assert list(texts.columns[-1]) == ["digits", "48"]


def values_of(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return measured(frame(rows), PAPER, Names(frame(rows))).set_index("metric")


def test_ours_are_means_over_seeds_and_variants_are_left_out() -> None:
    rows = [
        row("dhta", "DPSH-VGG11-12", None, draw_seed=seed, t_map_stable=value)
        for seed, value in enumerate((0.4, 0.6))
    ]
    rows.append(row("dhta", "DPSH-VGG11-12", None, variant="steps=3", t_map_stable=0.9))
    assert values_of(rows).loc["t-MAP", "value"] == pytest.approx(50.0)
    rows.append(row("dhta", "DPSH-VGG11-12", None, draw_seed=2, status="invalid"))
    assert values_of(rows)["value"].isna().all()
    assert values_of(rows).loc["t-MAP", "status"] == "invalid"


def test_what_is_no_seed_is_not_averaged() -> None:
    base = {"t_map_stable": 0.3, "n_queries": 8, "params": '{"steps":10}'}
    source = "DPSH-VGG11-12"
    rows = [row("dhta", source, None, **base), row("dhta", source, None, draw_seed=1, **base)]
    policies = frame([*rows, row("dhta", source, None, policy="disjoint", **base)])
    two = filled(policies, "table5")
    assert [set(grid.results["policy"]) for grid in two] == [{"frequent"}, {"disjoint"}]
    for change in ({"n_queries": 9}, {"params": '{"steps":20}'}, {"dataset_fingerprint": "other"}):
        mixed = values_of([*rows, row("dhta", source, None, **{**base, **change})])
        assert set(mixed["status"]) == {"ambiguous"}
        assert mixed["value"].isna().all()


def test_the_caption_says_what_was_overridden() -> None:
    made = row("dhta", "DPSH-VGG11-12", None, t_map_stable=0.5, n_queries=64, dataset="a|b<i>")
    made |= {"overrides": "steps=10, rule=l2"}
    (grid,) = filled(frame([made]), "table1")
    text = markdown(grid.table())
    assert "protocol released, frequent target labels, 64 queries" in text
    assert "Overrides: steps=10, rule=l2." in text
    assert "<i>" not in text
    variant = frame([{**made, "variant": "alpha=10"}])
    assert not [grid for name in tables() for grid in filled(variant, name)]


def test_the_caption_says_how_target_labels_were_drawn() -> None:
    numbers = PAPER.numbers[PAPER.numbers["table"] == "table1"]
    results = as_results(numbers.rename(columns={"published": "value"}))
    for dataset, rows, chance in (("FLICKR-25K", 316, 0.57173), ("NUS-WIDE", 1234, 0.5)):
        here = results["dataset"] == dataset
        results.loc[here, ["eligible_rows", "chance"]] = rows, chance
    (grid,) = filled(results, "table1")
    assert (
        "frequent target labels (FLICKR-25K: 316 eligible label rows, chance 57.17 %; NUS-WIDE: "
        "1,234 eligible label rows, chance 50.00 %)"
    ) in grid.table().caption
    assert grid.numbers["best"].any()
    base_rate = "moves numbers on FLICKR-25K by up to 10 points of base rate"
    assert base_rate in grid.table(differences=True).caption
    (grid,) = filled(results.assign(policy="as-published"), "table1")
    assert base_rate not in grid.table(differences=True).caption
    assert not grid.numbers["best"].any(), "each attack has targets of its own"
    assert grid.has_published


@pytest.mark.parametrize(
    ("protocol", "value"), [("released", 3.0), ("paper", 2.0), ("paper-literal", 2.0)]
)
def test_perceptibility_is_what_the_protocol_prints(protocol: str, value: float) -> None:
    made: dict[str, Any] = {"dataset": "NUS-WIDE", "protocol": protocol}
    made |= {"perceptibility": 0.02, "perceptibility_rms": 0.03}
    rows = [row("dhta", "DPSH-VGG11-32", 0.5, **made)]
    assert values_of(rows).loc["perceptibility_x100", "value"] == pytest.approx(value)
    (grid,) = filled(frame(rows), "table2")
    for which in (False, True):
        caption = grid.table(differences=which).caption
        assert "under released the root of the mean squared error of the data set" in caption
        assert "Time: of the attack alone; published times are of the whole loop" in caption


def test_both_values_are_shown_where_the_paper_contradicts_itself() -> None:
    wanted = {"table1": ("75.52 here, 75.60 in table5", "75.93 here, 75.63 in table5")}
    wanted["table5"] = ("75.60 here, 75.52 in table1", "75.63 here, 75.93 in table1")
    rows = [
        row("dhta", f"DPSH-VGG11-{bits}", 0.5, dataset="NUS-WIDE", t_map_stable=0.7552)
        for bits in (24, 48)
    ]
    for name, texts in wanted.items():
        (grid,) = filled(frame(rows), name)
        caption = grid.table(differences=True).caption
        for bits, text in zip((24, 48), texts, strict=True):
            assert f"NUS-WIDE, DPSH, VGG11, {bits}, DHTA, t-MAP: {text}" in caption
    for name in TABLES:
        assert len(PAPER.contradictions(name)) == len(wanted.get(name, ()))
    found = differences(frame(rows), PAPER, Names(frame(rows)))
    t_map = found.loc[found["metric"].str.startswith("t-MAP"), "difference"]
    assert sorted(t_map) == pytest.approx([-0.41, -0.11, -0.08, 0.0]), "against both"


def test_the_time_grid_is_seconds_by_network_and_length() -> None:
    rows = [
        row(attack, f"{method}-{backbone}-{bits}", 0.5, seconds_per_image=seconds + method_more)
        for method, method_more in (("DPSH", 0.0), ("HashNet", 0.5))
        for attack, seconds in (("dhta", 1.0), ("prosgan", 0.01))
        for backbone in ("ViT-B16", "VGG11")
        for bits in (12, 48)
    ]
    (grid,) = filled(frame(rows), "time")
    table = grid.table()
    columns = [("ViT-B16", "12"), ("ViT-B16", "48"), ("VGG11", "12"), ("VGG11", "48")]
    assert [tuple(key) for key in table.texts.columns] == columns
    assert table.texts.loc[("DPSH", "ProS-GAN"), ("VGG11", "48")] == "0.01"
    assert table.texts.loc[("HashNet", "ProS-GAN"), ("ViT-B16", "48")] == "0.51"
    assert table.marks.loc[("HashNet", "ProS-GAN"), ("VGG11", "48")] == "best"
    code = row("anchor-code", "DPSH-VGG11-12", 0.5, seconds_per_image=None)
    (grid,) = filled(frame([*rows, code]), "time")
    texts = grid.table().texts
    assert texts.loc[("DPSH", "Anchor code"), ("VGG11", "12")] == "\N{EN DASH}"


SECOND = """
title: Another paper
keys: {dataset: dataset, bits: victim_bits, network: victim_backbone}
attacks: {dhta: Deep attack}
metrics: {precision: {column: precision_at_10, format: .3f, title: P@10}}
tables:
  - {id: other-1, title: Precision, rows: {attack: Attack}, columns: [bits], metrics: [precision]}
"""


def test_a_second_paper_is_two_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, out = tmp_path / "papers", tmp_path / "out"
    folder.mkdir()
    (folder / "other.yaml").write_text(SECOND, encoding="utf-8")
    (folder / "other.csv").write_text(
        "table,dataset,bits,network,attack,metric,value\n"
        "other-1,digits,12,ViT-B16,Deep attack,precision,0.75\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(published, "FOLDER", folder)
    (paper,) = papers()
    assert paper.title == "Another paper"
    with unsynced():
        made = cell("dhta", "DPSH-ViT-B16-12", 0.5, measured={"precision_at_10": 0.5})
        write_run(out, [made], tables=("other-1",))
        report = write_report([out], formats=["md", "tex"])
    text = (report.folder / "tables.md").read_text(encoding="utf-8")
    assert "# Tables of Another paper" in text
    assert "| Deep attack | 0.500" in text
    assert f"{MINUS}0.250*" in text.replace("\\", "")
    names = sorted(path.name for path in (report.folder / "tables").iterdir())
    stem = "other-1-digits-released-frequent"
    assert names == [f"{stem}-difference.tex", f"{stem}.tex"]
    (folder / "wrong.yaml").write_text(SECOND.replace("precision_at_10", "precise"))
    with pytest.raises(PaperError, match=r"wrong.yaml: (.|\n)*no column 'precise'"):
        Paper.read(folder / "wrong.yaml")


def test_suites_name_tables_that_exist_and_paper_has_them_all() -> None:
    named = {name: load_suite(name).tables for name in shipped()}
    assert {table for listed in named.values() for table in listed} <= set(tables())
    assert set(named["paper"]) == set(TABLES)
    assert set(named["mini"]) == {layout.id for layout in PAPER.tables}


def test_the_suite_of_a_table_crosses_every_number_in_it() -> None:
    for name in TABLES:
        suite = load_suite(name)
        datasets = {entry.dataset for entry in suite.datasets}
        targets = {
            (method, backbone, str(bits))
            for target in suite.targets
            for method in target.method
            for backbone in target.backbone
            for bits in target.bits
        }
        attacks = {PAPER.attacks[entry.attack] for entry in suite.attacks}
        for number in PAPER.numbers[PAPER.numbers["table"] == name].itertuples():
            victim = (number.method, number.victim_backbone, number.victim_bits)
            source = (number.method, number.source_backbone, number.source_bits)
            source = victim if number.attack == "Original" else source
            assert number.dataset in datasets
            assert number.attack in attacks
            assert {source, victim} <= targets
            assert suite.victims == ["*"] or source == victim
