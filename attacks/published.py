"""The attacks of the ProS-GAN paper that need no generator, each a composition."""

from __future__ import annotations

from dataclasses import replace

from hashattack.attacks.base import Attack, Crafting, attack
from hashattack.attacks.gradient import DHTA_SCHEDULE, Identity, ProjectedGradient, UniformNoise
from hashattack.attacks.protocols import EPSILON, Protocol
from hashattack.attacks.target_codes import AnchorCode, RandomPoint


def anchor_code(protocol: Protocol) -> AnchorCode:
    """Return DHTA's target-code rule under a protocol."""
    return AnchorCode(pool=protocol.anchor_pool, replacement=protocol.anchor_replacement)


def dhta_loop(protocol: Protocol) -> ProjectedGradient:
    """Return DHTA's optimiser: 2,000 steps under the published alpha schedule."""
    return ProjectedGradient(steps=2000, rule=protocol.dhta_rule, schedule=DHTA_SCHEDULE)


def _at_anchor(protocol: Protocol, id_: str, title: str, crafting: Crafting | None) -> Attack:
    return Attack(
        id=id_,
        title=title,
        target_code=anchor_code(protocol),
        crafting=crafting,
        epsilon=None if crafting is None else EPSILON,
    )


@attack
def original(_: Protocol) -> Attack:
    """The query as it is: what the attacker gets for nothing."""
    return Attack(
        id="original",
        title="Original",
        target_code=None,
        crafting=Identity(),
        epsilon=0.0,
        role="no-attack",
    )


@attack
def noise(_: Protocol) -> Attack:
    """Uniform noise at the full budget: shows that the budget alone does nothing."""
    return Attack(
        id="noise", title="Noise", target_code=None, crafting=UniformNoise(), epsilon=EPSILON
    )


@attack
def p2p(protocol: Protocol) -> Attack:
    """Point-to-point: DHTA's optimiser towards one random code of the target label."""
    return Attack(
        id="p2p",
        title="P2P",
        target_code=RandomPoint(pool=protocol.anchor_pool),
        crafting=dhta_loop(protocol),
        epsilon=EPSILON,
    )


@attack
def dhta(protocol: Protocol) -> Attack:
    """Deep hashing targeted attack (ECCV 2020): towards the anchor code of nine votes."""
    standard = _at_anchor(protocol, "dhta", "DHTA", dhta_loop(protocol))
    return replace(standard, role="standard")


@attack
def dhta_fgsm(protocol: Protocol) -> Attack:
    """Towards the anchor code in one sign step of the whole budget."""
    loop = ProjectedGradient(steps=1, rule="sign", step_size=EPSILON)
    return _at_anchor(protocol, "dhta-fgsm", "DHTA+FGSM", loop)


@attack
def dhta_ifgsm(protocol: Protocol) -> Attack:
    """Towards the anchor code in 100 sign steps of 1/255."""
    loop = ProjectedGradient(steps=100, rule="sign", step_size=1 / 255)
    return _at_anchor(protocol, "dhta-ifgsm", "DHTA+I-FGSM", loop)


@attack
def anchor(protocol: Protocol) -> Attack:
    """The anchor code itself queries the database: an upper bound on DHTA."""
    return _at_anchor(protocol, "anchor-code", "Anchor code", None)
