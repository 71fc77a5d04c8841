"""ProS-GAN, its ablations and budgeted form, and prototype codes without it, as compositions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hashattack.attacks.base import Attack, Crafting, attack
from hashattack.attacks.gradient import ProjectedGradient
from hashattack.attacks.pros_gan.budgeted import BudgetedProsGan
from hashattack.attacks.pros_gan.crafting import ProsGan
from hashattack.attacks.pros_gan.prototype_net import PrototypeCode
from hashattack.attacks.protocols import EPSILON, Protocol


def prototype_code(protocol: Protocol) -> PrototypeCode:
    """Return PrototypeNet's target-code rule under a protocol."""
    return PrototypeCode(prototype_rows=protocol.label_rows, prototype_loss=protocol.prototype_loss)


def generator(protocol: Protocol, **changes: Any) -> ProsGan:
    """Return the crafting of ProS-GAN under a protocol, some of its fields changed."""
    published = ProsGan(
        target_rows=protocol.label_rows,
        hamming_weight=protocol.hamming_weight,
        gan_loss=protocol.gan_loss,
        signed_pixels=protocol.signed_pixels,
        rate_decay=protocol.rate_decay,
        generator_first=protocol.generator_first,
        discriminator_sigmoid=protocol.discriminator_sigmoid,
        discriminator_spectral=protocol.discriminator_spectral,
        discriminator_every=protocol.discriminator_every,
    )
    return replace(published, **changes)


def _at_prototype(
    protocol: Protocol,
    id_: str,
    title: str,
    crafting: Crafting | None,
    epsilon: float | None = None,
) -> Attack:
    return Attack(
        id=id_,
        title=title,
        target_code=prototype_code(protocol),
        crafting=crafting,
        epsilon=epsilon,
    )


@attack
def prosgan(protocol: Protocol) -> Attack:
    """ProS-GAN as published: one generator pass, no budget declared."""
    return _at_prototype(protocol, "prosgan", "ProS-GAN", generator(protocol))


@attack
def gan(protocol: Protocol) -> Attack:
    """ProS-GAN without the hashing loss: the discriminator's classes alone guide it."""
    return _at_prototype(protocol, "gan", "GAN", generator(protocol, hamming_weight=0.0))


@attack
def prosgan1(protocol: Protocol) -> Attack:
    """ProS-GAN with a discriminator of one output, real or fake, and no classes."""
    crafting = generator(protocol, class_outputs=False)
    return _at_prototype(protocol, "prosgan1", "ProS-GAN1", crafting)


@attack
def prosgan_eps(protocol: Protocol) -> Attack:
    """A generator within 8/255 that takes one gradient of the hasher.

    Not in the paper; its rival is FGSM, which also takes one gradient.
    """
    crafting = BudgetedProsGan(target_rows=protocol.label_rows)
    return _at_prototype(protocol, "prosgan-eps", "ProS-GAN-eps", crafting, EPSILON)


@attack
def prototype(protocol: Protocol) -> Attack:
    """The prototype code itself queries the database: an upper bound on ProS-GAN."""
    code = _at_prototype(protocol, "prototype-code", "Prototype code", None)
    return replace(code, role="bound")


@attack
def prototype_ifgsm(protocol: Protocol) -> Attack:
    """Towards the prototype code in 100 sign steps of 1/255."""
    loop = ProjectedGradient(steps=100, rule="sign", step_size=1 / 255)
    return _at_prototype(protocol, "prototype-ifgsm", "Prototype+I-FGSM", loop, EPSILON)
