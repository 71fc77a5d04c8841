"""The attacks of the ProS-GAN paper and the budgeted ProS-GAN, each a composition."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from hashattack.attacks.base import Attack, attack
from hashattack.attacks.declarations import Cited
from hashattack.attacks.gradient import DHTA_SCHEDULE, Identity, ProjectedGradient, UniformNoise
from hashattack.attacks.pros_gan.budgeted import BudgetedProsGan
from hashattack.attacks.pros_gan.crafting import ProsGan
from hashattack.attacks.pros_gan.prototype_net import PrototypeCode
from hashattack.attacks.protocols import EPSILON, Protocol
from hashattack.attacks.target_codes import AnchorCode, RandomPoint
from hashattack.datasets.draws import Policy

DHTA = Cited(paper="Bai et al., ECCV 2020", url="https://arxiv.org/abs/2004.07955")
PROSGAN = Cited(paper="Wang et al., CVPR 2021", url="https://arxiv.org/abs/2105.07553")
AFTER_PROSGAN = Cited(paper=f"after {PROSGAN['paper']}", url=PROSGAN["url"])
IFGSM = ProjectedGradient(steps=100, rule="sign", step_size=1 / 255)


def anchor_code(protocol: Protocol) -> AnchorCode:
    """Return DHTA's target-code rule under a protocol."""
    return AnchorCode(pool=protocol.anchor_pool, replacement=protocol.anchor_replacement)


def dhta_loop(protocol: Protocol) -> ProjectedGradient:
    """Return DHTA's optimiser: 2,000 steps under the published alpha schedule."""
    return ProjectedGradient(steps=2000, rule=protocol.dhta_rule, schedule=DHTA_SCHEDULE)


def prototype_code(protocol: Protocol) -> PrototypeCode:
    """Return PrototypeNet's target-code rule under a protocol."""
    return PrototypeCode(
        prototype_rows=protocol.label_rows,
        prototype_loss=protocol.prototype_loss,
        prototype_steps=protocol.prototype_steps,
        prototype_batch=protocol.prototype_batch,
        prototype_decay=protocol.rate_decay,
    )


def unique_rows(protocol: Protocol) -> Policy:
    """Return the policy of ProS-GAN's own targets: the label rows that it is trained on."""
    return "unique" if protocol.label_rows == "database" else "unique-train"


def _prosgan(id_: str, title: str, protocol: Protocol, **changes: Any) -> Attack:
    """Return ProS-GAN under a protocol, some fields of its crafting changed."""
    names = {field.name for field in fields(ProsGan)}
    shared = {name: value for name, value in vars(protocol).items() if name in names}
    crafting = ProsGan(target_rows=protocol.label_rows, **{**shared, **changes})
    code, policy = prototype_code(protocol), unique_rows(protocol)
    return Attack(id_, title, code, crafting, None, published_policy=policy, **PROSGAN)


@attack
def original(_: Protocol) -> Attack:
    """The query as it is: what it retrieves without an attack."""
    return Attack("original", "Original", None, Identity(), 0.0, "no-attack", goal="none")


@attack
def noise(_: Protocol) -> Attack:
    """Uniform noise at the full budget: shows that the budget alone does nothing."""
    return Attack("noise", "Noise", None, UniformNoise(), EPSILON, goal="none")


@attack
def p2p(protocol: Protocol) -> Attack:
    """Point-to-point: DHTA's optimiser towards one random code of the target label."""
    code = RandomPoint(pool=protocol.anchor_pool)
    return Attack("p2p", "P2P", code, dhta_loop(protocol), EPSILON, **DHTA)


@attack
def dhta(protocol: Protocol) -> Attack:
    """Deep hashing targeted attack (ECCV 2020): towards the anchor code of nine votes."""
    loop = dhta_loop(protocol)
    return Attack("dhta", "DHTA", anchor_code(protocol), loop, EPSILON, "standard", **DHTA)


@attack
def dhta_fgsm(protocol: Protocol) -> Attack:
    """Towards the anchor code in one sign step of the whole budget."""
    loop = ProjectedGradient(steps=1, rule="sign", step_size=EPSILON)
    return Attack("dhta-fgsm", "DHTA+FGSM", anchor_code(protocol), loop, EPSILON, **DHTA)


@attack
def dhta_ifgsm(protocol: Protocol) -> Attack:
    """Towards the anchor code in 100 sign steps of 1/255."""
    return Attack("dhta-ifgsm", "DHTA+I-FGSM", anchor_code(protocol), IFGSM, EPSILON, **DHTA)


@attack
def anchor(protocol: Protocol) -> Attack:
    """The anchor code itself queries the database: a bound on DHTA."""
    code, policy = anchor_code(protocol), unique_rows(protocol)
    return Attack("anchor-code", "Anchor code", code, None, None, published_policy=policy, **DHTA)


@attack
def prosgan(protocol: Protocol) -> Attack:
    """ProS-GAN as published: one generator pass, no budget; epochs: auto trains to a plateau."""
    return _prosgan("prosgan", "ProS-GAN", protocol)


@attack
def gan(protocol: Protocol) -> Attack:
    """ProS-GAN without the hashing loss: the discriminator's classes alone guide it."""
    return _prosgan("gan", "GAN", protocol, hamming_weight=0.0)


@attack
def prosgan1(protocol: Protocol) -> Attack:
    """ProS-GAN with a discriminator of one output, real or fake, and no classes."""
    return _prosgan("prosgan1", "ProS-GAN1", protocol, class_outputs=False)


@attack
def prosgan_eps(protocol: Protocol) -> Attack:
    """A generator within 8/255 that takes one gradient of the hasher; epochs: auto as ProS-GAN.

    Not in the paper; its rival is FGSM, which also takes one gradient.
    """
    code, crafting = prototype_code(protocol), BudgetedProsGan(target_rows=protocol.label_rows)
    return Attack("prosgan-eps", "ProS-GAN-eps", code, crafting, EPSILON, **AFTER_PROSGAN)


@attack
def prototype(protocol: Protocol) -> Attack:
    """The prototype code itself queries the database: a bound on ProS-GAN."""
    code, policy = prototype_code(protocol), unique_rows(protocol)
    return Attack("prototype-code", "Prototype code", code, None, None, "bound", policy, **PROSGAN)


@attack
def prototype_ifgsm(protocol: Protocol) -> Attack:
    """Towards the prototype code in 100 sign steps of 1/255."""
    code = prototype_code(protocol)
    return Attack("prototype-ifgsm", "Prototype+I-FGSM", code, IFGSM, EPSILON, **AFTER_PROSGAN)
