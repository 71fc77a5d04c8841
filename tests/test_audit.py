"""Distortions against the formulae, written here once more in plain Python and NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from hashattack.benchmark.audit import distortions, summary
from hashattack.benchmark.external.trials import Origin
from hashattack.benchmark.results.frame import load_results
from tests.submissions import SOURCE, crafted


def by_the_formulae(clean: np.ndarray, adversarial: np.ndarray) -> dict[str, float]:
    """Return the columns from images ``[n, 3, S, S]``, a pixel value at a time."""
    roots, squares, norms, largest = [], [], [], 0.0
    for one, other in zip(clean.tolist(), adversarial.tolist(), strict=True):
        pairs = zip(np.ravel(one).tolist(), np.ravel(other).tolist(), strict=True)
        changes = [after - before for before, after in pairs]
        total = math.fsum(change * change for change in changes)
        squares.append(total / len(changes))
        roots.append(math.sqrt(total / len(changes)))
        norms.append(math.sqrt(total))
        largest = max(largest, *(abs(change) for change in changes))
    return {
        "perceptibility": math.fsum(roots) / len(roots),
        "perceptibility_rms": math.sqrt(math.fsum(squares) / len(squares)),
        "linf": largest,
        "l2": math.fsum(norms) / len(norms),
    }


def test_distortions_are_those_of_the_formulae() -> None:
    draws = np.random.default_rng(0)
    clean = draws.random((5, 3, 8, 8), dtype=np.float32)
    adversarial = clean + draws.normal(0, 0.02, clean.shape).astype(np.float32)
    adversarial[1] = clean[1]
    found = summary(distortions(torch.from_numpy(clean), torch.from_numpy(adversarial)))
    assert found == pytest.approx(by_the_formulae(clean, adversarial), rel=1e-12)


def test_distortions_of_a_case_by_hand() -> None:
    clean = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
    adversarial = clean.clone()
    adversarial[0] += 0.125  # every one of 48 values
    adversarial[1, 2, 3, 0] -= 0.5  # a single one
    found = summary(distortions(clean, adversarial))
    root = math.sqrt(0.25 / 48)
    assert found == pytest.approx(
        {
            "perceptibility": (0.125 + root) / 2,
            "perceptibility_rms": math.sqrt((0.125**2 + 0.25 / 48) / 2),
            "linf": 0.5,
            "l2": (0.125 * math.sqrt(48) + 0.5) / 2,
        },
        rel=1e-15,
    )


@pytest.mark.parametrize("attack", ["noise", "dhta"])
def test_the_columns_of_a_run_are_those_of_its_stored_images(origin: Origin, attack: str) -> None:
    adversarial = crafted(origin.out, attack)
    pixels = origin.trials[0].graph.data.query.images.read(np.arange(len(adversarial)))
    wanted = by_the_formulae(pixels.astype(np.float32) / np.float32(255), adversarial)
    rows = load_results(origin.out)
    rows = rows[(rows["attack"] == attack) & (rows["victim"] == SOURCE)]
    assert rows.iloc[0][list(wanted)].to_dict() == pytest.approx(wanted, rel=1e-9)
