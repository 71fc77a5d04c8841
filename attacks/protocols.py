"""The two protocols as data: what the paper says, and what its released code does.

Attacks are built from a protocol's values; no code anywhere branches on a protocol's name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

StepRule = Literal["sign", "l2", "raw/32"]
PoolName = Literal["train", "database"]

EPSILON = 8 / 255  # the field's L-infinity budget


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """The values in which paper and released code differ.

    Attributes:
        name: as it stands in suites and results.
        dhta_rule: the step of P2P and DHTA.
        anchor_pool: the images whose codes vote for an anchor code.
        anchor_replacement: whether the voters are drawn with replacement.
    """

    name: str
    dhta_rule: StepRule
    anchor_pool: PoolName
    anchor_replacement: bool

    @property
    def sees_database(self) -> bool:
        """Whether an attacker sees the database's labels and codes."""
        return self.anchor_pool == "database"


PROTOCOLS = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="released",
            dhta_rule="raw/32",
            anchor_pool="database",
            anchor_replacement=True,
        ),
        Protocol(
            name="paper",
            dhta_rule="l2",
            anchor_pool="train",
            anchor_replacement=False,
        ),
    )
}
