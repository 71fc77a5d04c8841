"""Training generator and discriminator (paper, Section 3.3; Supplement B), resumable by epoch.

Every random draw of an epoch is a function of (seed, source, epoch), so the state saved after an
epoch needs no random state: a resumed training draws what an uninterrupted one would have drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from attacks.base import Arrays, AttackError, Fitted, Journal
from attacks.pros_gan.networks import Discriminator, Generator
from attacks.pros_gan.settings import Pace, Weights
from datasets.base import Images, UInt8Array
from datasets.seeds import generator
from targets.checkpoints import load_state, state_arrays
from targets.hasher import Hasher
from targets.training import Progress, to_pixels

CURVES = ("reconstruction", "hash", "adversarial", "discriminator")
_HASH_MUST_FALL = 0.01  # below the untrained generator's, within at least three epochs
_SAMPLE = 96  # training images that stand for all


def hash_direction(hasher: Hasher, images: Tensor, codes: Tensor, slope: float) -> Tensor:
    """Return sign ∂(mean over bits of z·h)/∂x for images in [0, 1], ``[n, 3, S, S]``."""
    with torch.enable_grad():
        pixels = images.detach().requires_grad_(True)
        agreement = (hasher(pixels, alpha=slope) * codes).mean(dim=1).sum()
        (gradient,) = torch.autograd.grad(agreement, pixels)
    return gradient.sign()


@dataclass(frozen=True)
class Material:
    """What is learnt from: training images with labels, and the target labels to draw from."""

    images: Images
    labels: UInt8Array  # [N, C]
    rows: Tensor  # target label rows, float [R, C]
    shares: npt.NDArray[np.float64]  # how often each is drawn, [R], summing to 1
    semantics: Tensor  # r of each, [R, 512]
    codes: Tensor  # prototype code of each, float [R, K]


@dataclass
class GanTraining:
    """Generator against discriminator, the hasher frozen."""

    generator: Generator
    discriminator: Discriminator
    hasher: Hasher
    finish: Callable[[Tensor, Tensor, int], Tensor]  # output, [0, 1] images, epoch -> adversarial
    class_outputs: bool
    weights: Weights
    pace: Pace

    def __post_init__(self) -> None:
        self._untrained = math.inf  # the hash loss before the first step
        self.optimisers = {
            name: torch.optim.Adam(network.parameters(), lr=self.pace.rate, betas=(0.5, 0.999))
            for name, network in (("G", self.generator), ("D", self.discriminator))
        }

    def run(
        self, material: Material, *, seed: int, source: str, journal: Journal, progress: Progress
    ) -> Fitted:
        """Train to the last epoch, from the saved state where there is one.

        Raises:
            AttackError: a loss became NaN, or the hash loss never fell; the curves are kept.
        """
        curves: dict[str, list[float]] = {name: [] for name in CURVES}
        saved = journal.load()
        first = 0 if saved is None else self._resume(saved, curves)
        if saved is None:
            self._untrained = self._hash_loss(material, seed, source)
        batches = -(-len(material.labels) // self.pace.batch)
        for epoch in range(first, self.pace.epochs):
            totals = self._epoch(material, epoch, seed, source, progress, batches)
            for name in CURVES:
                curves[name].append(totals[name] / batches)
            self._check(curves)
            journal.save(self._state(curves))
        return Fitted(state_arrays(self.generator), curves)

    def _epoch(
        self,
        material: Material,
        epoch: int,
        seed: int,
        source: str,
        progress: Progress,
        batches: int,
    ) -> Mapping[str, float]:
        device, dtype = material.rows.device, material.rows.dtype
        order = generator(seed, f"gan-order/{source}", epoch).permutation(len(material.labels))
        draws = generator(seed, f"gan-targets/{source}", epoch)
        picks = draws.choice(len(material.rows), size=len(order), p=material.shares)
        for optimiser in self.optimisers.values():
            for group in optimiser.param_groups:
                group["lr"] = self.pace.rate_at(epoch)
        totals = dict.fromkeys(CURVES, torch.zeros((), device=device))
        learnt = 0
        for index in range(batches):
            part = slice(index * self.pace.batch, (index + 1) * self.pace.batch)
            rows, pick = order[part], torch.from_numpy(picks[part]).to(device)
            clean = to_pixels(material.images.read(rows), device, dtype)
            own = torch.from_numpy(material.labels[rows]).to(device, dtype)
            code = material.codes[pick]
            crafted = self._crafted(clean, material.semantics[pick], code, epoch)
            d_turn = self._judged and index % self.pace.discriminator_every == 0
            steps = [self._generator_step, self._discriminator_step]
            for step in steps if self.pace.generator_first else reversed(steps):
                if step == self._discriminator_step and not d_turn:
                    continue
                losses = step(clean, crafted, own, material.rows[pick], code)
                for name, value in losses.items():
                    totals[name] = totals[name] + value.detach()
            learnt += d_turn
            progress(epoch * batches + index + 1, self.pace.epochs * batches, "step")
        totals["discriminator"] = totals["discriminator"] * batches / max(1, learnt)
        return {name: float(value) for name, value in totals.items()}

    def _generator_step(
        self, clean: Tensor, crafted: Tensor, own: Tensor, target: Tensor, code: Tensor
    ) -> dict[str, Tensor]:
        del own
        self.discriminator.requires_grad_(False)
        scale = 2.0 if self.weights.signed_pixels else 1.0
        with torch.set_grad_enabled(self.weights.hamming > 0):  # GAN only watches this loss
            outputs = self.hasher(crafted, alpha=self.weights.slope)
        losses = {
            "reconstruction": self._error(scale * crafted, scale * clean),
            "hash": (1 - (outputs * code).mean(dim=1)).mean(),
        }
        total = (
            self.weights.reconstruction * losses["reconstruction"]
            + self.weights.hamming * losses["hash"]
        )
        if self._judged:
            verdict = self.discriminator(2 * crafted - 1)
            losses["adversarial"] = self._error(verdict, self._verdict(target, fake=False))
            total = total + self.weights.adversarial * losses["adversarial"]
        self._descend("G", total)
        self.discriminator.requires_grad_(True)
        return losses

    @property
    def _judged(self) -> bool:
        """Whether there is an adversarial loss; without one the discriminator need not learn."""
        return self.weights.adversarial > 0

    def _discriminator_step(
        self, clean: Tensor, crafted: Tensor, own: Tensor, target: Tensor, code: Tensor
    ) -> dict[str, Tensor]:
        del code
        real = self._error(self.discriminator(2 * clean - 1), self._verdict(own, fake=False))
        fake = self._error(
            self.discriminator(2 * crafted.detach() - 1), self._verdict(target, fake=True)
        )
        loss = (real + fake) / 2
        self._descend("D", loss)
        return {"discriminator": loss}

    def _verdict(self, labels: Tensor, *, fake: bool) -> Tensor:
        """Return what the discriminator is to say: the classes, then 1 for a fake."""
        last = labels.new_full((len(labels), 1), float(fake))
        return torch.cat([labels, last], dim=1) if self.class_outputs else last

    def _error(self, found: Tensor, wanted: Tensor) -> Tensor:
        """Return the squared error: mean over elements, or their sum an image."""
        if self.weights.sums:
            return (found - wanted).square().flatten(1).sum(dim=1).mean()
        return mse_loss(found, wanted)

    def _descend(self, name: str, loss: Tensor) -> None:
        self.optimisers[name].zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimisers[name].step()

    @torch.no_grad()
    def _hash_loss(self, material: Material, seed: int, source: str) -> float:
        """Return the generator's hash loss, as it is now, on some training images."""
        weight = material.rows
        rows = np.arange(min(_SAMPLE, len(material.labels)))
        draws = generator(seed, f"gan-untrained/{source}")
        pick = torch.from_numpy(draws.choice(len(weight), size=len(rows), p=material.shares))
        pick = pick.to(weight.device)
        clean = to_pixels(material.images.read(rows), weight.device, weight.dtype)
        crafted = self._crafted(clean, material.semantics[pick], material.codes[pick], 0)
        outputs = self.hasher(crafted, alpha=self.weights.slope)
        return float((1 - (outputs * material.codes[pick]).mean(dim=1)).mean())

    def _crafted(self, clean: Tensor, semantics: Tensor, codes: Tensor, epoch: int) -> Tensor:
        """Return the generator's adversarial images, with gradients where they are on."""
        guide = None
        if self.generator.guided:
            guide = hash_direction(self.hasher, clean, codes, self.weights.slope)
        return self.finish(self.generator(semantics, 2 * clean - 1, guide), clean, epoch)

    def _check(self, curves: Mapping[str, list[float]]) -> None:
        last = {name: values[-1] for name, values in curves.items()}
        epoch = len(curves["hash"])
        if not all(math.isfinite(value) for value in last.values()):
            bad = ", ".join(name for name, value in last.items() if not math.isfinite(value))
            kept = {
                name: [v for v in values if math.isfinite(v)] for name, values in curves.items()
            }
            raise AttackError(
                f"the GAN diverged in epoch {epoch} ({bad} became NaN); lower learning_rate "
                f"({self.pace.rate})",
                {"curves": kept},
            )
        best = min(curves["hash"])
        judged = self.weights.hamming > 0 and epoch == self.pace.epochs and epoch >= 3
        if judged and best > self._untrained - _HASH_MUST_FALL:
            raise AttackError(
                f"the hash loss never fell in {epoch} epochs: it is {best:.3f} at best, and was "
                f"{self._untrained:.3f} untrained; lower alpha, or raise learning_rate or epochs",
                {"curves": dict(curves)},
            )

    # -- the whole state, saved after every epoch -------------------------------------------

    def _networks(self) -> dict[str, nn.Module]:
        return {"G": self.generator, "D": self.discriminator}

    def _state(self, curves: Mapping[str, list[float]]) -> Arrays:
        state: Arrays = {"untrained": np.array(self._untrained)}
        state |= {f"curve/{name}": np.array(values) for name, values in curves.items()}
        for name, network in self._networks().items():
            state |= {f"{name}/{key}": array for key, array in state_arrays(network).items()}
            moments = self.optimisers[name].state_dict()["state"]
            state |= {
                f"adam-{name}/{index}/{key}": tensor.cpu().numpy()
                for index, values in moments.items()
                for key, tensor in values.items()
            }
        return {key: np.asarray(array, order="C") for key, array in state.items()}

    def _resume(self, state: Arrays, curves: dict[str, list[float]]) -> int:
        """Load a saved state and return the next epoch."""
        self._untrained = float(state["untrained"])
        for name in CURVES:
            curves[name] = state[f"curve/{name}"].tolist()
        for name, network in self._networks().items():
            load_state(network, _below(state, f"{name}/"), "the saved training state")
            moments: dict[int, dict[str, Any]] = {}
            for key, array in _below(state, f"adam-{name}/").items():
                index, _, field = key.partition("/")
                moments.setdefault(int(index), {})[field] = torch.from_numpy(np.array(array))
            groups = self.optimisers[name].state_dict()["param_groups"]
            self.optimisers[name].load_state_dict({"state": moments, "param_groups": groups})
        return len(curves["hash"])


def _below(state: Arrays, prefix: str) -> Arrays:
    return {key.removeprefix(prefix): a for key, a in state.items() if key.startswith(prefix)}
