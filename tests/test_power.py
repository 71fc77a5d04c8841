"""How often a check raises a false alarm, and how often it finds a loss, on measured differences.

``tests/trials`` holds the trials of five attacks, 200 queries each, with four seeds of the attacks'
own, on the four hashers that the demo once had: DPSH with AlexNet and ResNet18 at 12 and 32 bits.
These commands left them::

    run-benchmark run --suite demo
    run-benchmark freeze results/demo tests/trials/demo-0.json …
    run-benchmark check --baseline results/demo --reseed 1 --out results/reseed-1 …
    run-benchmark freeze results/reseed-1 tests/trials/demo-1.json

Simulations draw target labels from them, with all their queries.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from scipy.stats import binom

from hashattack.benchmark.regression.baseline import read_file
from hashattack.benchmark.regression.comparison import Comparison, Pair, compare
from hashattack.benchmark.regression.result import Outcome, Thresholds, judge
from hashattack.benchmark.regression.trials import Trials
from hashattack.datasets.seeds import generator
from tests.checks import pair

FILES = sorted((Path(__file__).parent / "trials").glob("demo-*.json"))
THRESHOLDS = Thresholds()
LUCK = 0.999  # a test of a bound fails by chance once in a thousand draws


@cache
def seeds_of() -> dict[tuple[str, str], list[Trials]]:
    """Return the trials of every attack and target, one for each of the attack's seeds."""
    found: dict[tuple[str, str], list[Trials]] = {}
    for file in FILES:
        for one in read_file(file).cells:
            found.setdefault((one.attack, one.row["source"]), []).append(one)
    return found


def attacks() -> list[str]:
    return sorted({attack for attack, _ in seeds_of()})


def targets() -> list[str]:
    return sorted({target for _, target in seeds_of()})


def drawn(
    draws: np.random.Generator, attack: str, target: str, queries: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return differences of two seeds, their sign drawn by target label, and the labels ``[q]``.

    Neither side is better: seeds are exchanged at random for each label, as a test assumes.
    """
    one, other = draws.choice(len(FILES), 2, replace=False)
    sides = seeds_of()[attack, target]
    values = Pair(sides[one], sides[other]).differences("t_map")
    known = np.array(sides[one].labels)
    rows: list[np.ndarray] = []
    while sum(map(len, rows)) < queries:
        rows.append(np.flatnonzero(known == draws.choice(np.unique(known))))
    labels = np.repeat(np.arange(len(rows)), [len(each) for each in rows])  # each draw is its own
    signs = draws.choice([-1, 1], len(rows))
    return (values[np.concatenate(rows)] * signs[labels])[:queries], labels[:queries]


def compared(draws: np.random.Generator, cells: int, queries: int, loss: float = 0.0) -> Comparison:
    """Return a comparison of an attack with itself that loses in its first cell."""
    attack = draws.choice(attacks())
    pairs = []
    for number in range(cells):
        target = targets()[number % len(targets())]
        values, labels = drawn(draws, attack, target, queries)
        place = {"source": target, "draw_seed": number // len(targets())}
        pairs.append(pair(values - (loss if number == 0 else 0), labels, **place))
    (one,) = compare(pairs, alpha=THRESHOLDS.alpha)
    return one


def test_the_same_attack_with_other_seeds_raises_few_alarms() -> None:
    draws, times = generator(0, "alarms-test"), 20
    found = [compared(draws, len(targets()), 100) for _ in range(times)]
    alarms = sum(min(cell.p for cell in one.cells) <= THRESHOLDS.alpha for one in found)
    assert alarms <= binom.ppf(LUCK, times, THRESHOLDS.alpha)
    worse = sum(judge(one, THRESHOLDS).outcome is Outcome.WORSE for one in found)
    assert worse <= alarms


def test_measured_seeds_raise_few_alarms() -> None:
    """The seeds as they were run, which are not exchanged and may differ by chance."""
    outcomes = []
    for one, other in ((0, 1), (2, 3)):
        pairs = [Pair(sides[one], sides[other]) for sides in seeds_of().values()]
        outcomes += [judge(found, THRESHOLDS).outcome for found in compare(pairs)]
    assert len(outcomes) == 2 * len(attacks())
    assert outcomes.count(Outcome.WORSE) <= binom.ppf(LUCK, len(outcomes), THRESHOLDS.alpha)


def test_a_loss_of_five_points_in_one_of_twelve_cells_is_found() -> None:
    draws, times = generator(0, "power-test"), 6
    found = [judge(compared(draws, 12, 500, 0.05), THRESHOLDS).outcome for _ in range(times)]
    assert found.count(Outcome.WORSE) >= binom.ppf(1 - LUCK, times, 0.9)
