"""The protocols as data: what the ProS-GAN paper says, and what its released code does.

``paper`` takes means where the reconstruction would dominate the printed sums;
``paper-literal`` keeps the sums, to show that. ``saat`` is how SAAT (TIFS 2023) compares attacks:
those of the released code, by the first 5,000 results.

Attacks are built from a protocol's values; no code anywhere branches on a protocol's name.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

StepRule = Literal["sign", "l2", "raw/32", "sgd", "adam"]
PoolName = Literal["train", "database"]
Reduction = Literal["mean", "sum"]

EPSILON = 8 / 255  # the field's L-infinity budget


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The values in which paper and released code differ.

    Attributes:
        name: as it stands in suites and results.
        top: the k of MAP@k and t-MAP@k: only the first k results count; None for all.
        dhta_rule: the step of P2P and DHTA.
        anchor_pool: the images whose codes vote for an anchor code.
        anchor_replacement: whether these images are drawn with replacement.
        label_rows: the split whose label rows train PrototypeNet and the generator.
        prototype_steps: training steps of PrototypeNet; None for 100 passes over the label rows.
        prototype_batch: label rows per step.
        prototype_loss: whether PrototypeNet's terms are means or the paper's printed sums.
        hamming_weight: weight of the hashing loss in the generator's objective.
        gan_loss: mean or sum over elements, of the reconstruction and the adversarial loss.
        signed_pixels: whether the reconstruction loss is taken in [−1, 1] or in [0, 1].
        rate_decay: whether learning rates fall over the second half of training.
        generator_first: whether the generator's step comes before the discriminator's.
        discriminator_sigmoid: whether the discriminator's outputs pass a sigmoid.
        discriminator_spectral: whether its convolutions are spectrally normalised.
        discriminator_every: the discriminator learns in one of so many batches.
    """

    name: str
    dhta_rule: StepRule
    anchor_pool: PoolName
    anchor_replacement: bool
    label_rows: PoolName
    prototype_steps: int | None
    prototype_batch: int
    prototype_loss: Reduction
    hamming_weight: float
    gan_loss: Reduction
    signed_pixels: bool
    rate_decay: bool
    generator_first: bool
    discriminator_sigmoid: bool
    discriminator_spectral: bool
    discriminator_every: int
    top: int | None = None

    @property
    def sees_database(self) -> bool:
        """Whether an attacker sees the database's labels and codes."""
        return self.anchor_pool == "database"


_PAPER = Protocol(
    name="paper",
    dhta_rule="l2",
    anchor_pool="train",
    anchor_replacement=False,
    label_rows="train",
    prototype_steps=None,
    prototype_batch=24,
    prototype_loss="sum",
    hamming_weight=1.0,
    gan_loss="mean",
    signed_pixels=False,
    rate_decay=False,
    generator_first=True,
    discriminator_sigmoid=True,
    discriminator_spectral=False,
    discriminator_every=1,
)

_RELEASED = Protocol(
    name="released",
    dhta_rule="raw/32",
    anchor_pool="database",
    anchor_replacement=True,
    label_rows="database",
    prototype_steps=30_000,
    prototype_batch=64,
    prototype_loss="mean",
    hamming_weight=5.0,
    gan_loss="mean",
    signed_pixels=True,
    rate_decay=True,
    generator_first=False,
    discriminator_sigmoid=False,
    discriminator_spectral=True,
    discriminator_every=3,
)

PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        _RELEASED,
        _PAPER,
        replace(_PAPER, name="paper-literal", gan_loss="sum"),
        replace(_RELEASED, name="saat", top=5000),
    )
}
