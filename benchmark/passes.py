"""Counting the passes that an attack makes of the hasher it is shown.

An image forwarded through the trunk is a pass, and so is an image whose gradient arrives back at
the trunk's input. They are counted where they pass: a function that changes nothing stands at the
input, and a deep copy of the hasher carries it along.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from hashattack.benchmark.audit import InvalidAttackError
from hashattack.targets.hasher import Hasher

F = TypeVar("F", bound=Callable[..., Any])
# Traced, a compiled trunk would be compiled anew for every count.
_eager: Callable[[F], F] = torch.compiler.disable


class _Count:
    """A number of images."""

    images = 0


class _Passing(torch.autograd.Function):
    """The identity: counts the images that pass, and the gradients that come back.

    It is its own derivative, so that gradients of gradients count, too.
    """

    @staticmethod
    def forward(images: Tensor, count: _Count) -> Tensor:
        """Count the images of a batch ``[n, ...]``."""
        count.images += len(images)
        return images.view_as(images)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, _Count], output: Tensor) -> None:  # noqa: ARG004
        """Remember where to count."""
        ctx.count = inputs[1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        """Count the gradients of a batch."""
        return _Passing.apply(gradient, ctx.count), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, _: None) -> Tensor:
        """Count the tangents of a batch, in forward-mode differentiation."""
        counted: Tensor = _Passing.apply(tangent, ctx.count)
        return counted

    @staticmethod
    def vmap(
        _info: Any, dims: tuple[int, None], images: Tensor, count: _Count
    ) -> tuple[Tensor, int]:
        """Count the images of all batches that ``torch.func.vmap`` computes at once."""
        stacked = images.movedim(dims[0], 0)
        whole: Tensor = _Passing.apply(stacked.flatten(0, 1), count)
        return whole.view(stacked.shape), 0


class PassCounter:
    """Counts the passes of a hasher from here on; of one without a trunk, none.

    A call of the trunk counts. What goes around it (``trunk.forward``, its layers one by one) is
    counted at the first layer with weights.
    """

    def __init__(self, hasher: Hasher) -> None:
        count, within = _Count(), False

        @_eager
        def enter(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            nonlocal within
            if not args:
                return None
            within = True
            return _Passing.apply(args[0], count), *args[1:]

        @_eager
        def leave(*_: Any) -> None:
            nonlocal within
            within = False

        def enter_layer(module: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            return None if within else enter_alone(module, args)

        @_eager
        def enter_alone(_: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...] | None:
            return (_Passing.apply(args[0], count), *args[1:]) if args else None

        self._count, self._hooks = count, list[tuple[str, RemovableHandle, Any]]()
        for place, module in hasher.named_modules():  # an ensemble has several
            trunk = module._modules.get("trunk") if isinstance(module, Hasher) else None
            if trunk is None:
                continue
            place = f"{place}.trunk".lstrip(".")
            self._hook(place, trunk.register_forward_pre_hook(enter), enter)
            self._hook(place, trunk.register_forward_hook(leave, always_call=True), leave)
            for name, layer in trunk.named_modules():
                if name and not list(layer.children()) and list(layer.parameters()):
                    handle = layer.register_forward_pre_hook(enter_layer)
                    self._hook(f"{place}.{name}", handle, enter_layer)
                    break

    def _hook(self, place: str, handle: RemovableHandle, hook: Any) -> None:
        self._hooks.append((place, handle, hook))

    @property
    def total(self) -> int:
        """Images forwarded and images backpropagated."""
        return self._count.images

    def since(self, before: int) -> int:
        """Return how many more there are than at an earlier time.

        Raises:
            InvalidAttackError: there are fewer.
        """
        if self.total < before:
            raise InvalidAttackError("the attack set back the count of its passes")
        return self.total - before

    def close(self) -> None:
        """Count no longer.

        Raises:
            InvalidAttackError: the hasher does not count any more.
        """
        for place, handle, hook in self._hooks:
            hooks = handle.hooks_dict_ref()
            if hooks is None or hooks.get(handle.id) is not hook:
                raise InvalidAttackError(
                    f"the attack changed the hasher it was shown: {place} does not count passes"
                )
            handle.remove()
