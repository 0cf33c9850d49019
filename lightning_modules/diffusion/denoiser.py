"""A denoiser, and the condition that is bound to it before anything else sees it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""`D(x, sigma)`: (B, C, H, W), (B,) -> `denoised` (B, C, H, W), its condition bound."""


@dataclass(frozen=True, eq=False)
class Condition:
    """What is asked of B images: a dataclass of tensors whose first dimension is B.

    A kind of condition is a subclass with fields and nothing else.
    """

    def __len__(self) -> int:
        """Return the number of images, B."""
        return len(next(self.tensors()))

    def __getitem__(self, rows: slice | Tensor) -> Self:
        """Return the conditions of some of the images."""
        return type(self)(*(tensor[rows] for tensor in self.tensors()))

    def tensors(self) -> Iterator[Tensor]:
        """Yield the tensors in the order of the fields."""
        for field in dataclasses.fields(self):
            yield getattr(self, field.name)

    def to(self, device: torch.device | str) -> Self:
        """Return the condition on a device."""
        return type(self)(*(tensor.to(device) for tensor in self.tensors()))

    def cat(self, other: Self) -> Self:
        """Return the conditions of these images and then of others."""
        pairs = zip(self.tensors(), other.tensors(), strict=True)
        return type(self)(*(torch.cat(pair) for pair in pairs))

    def replaced(self, by: Self, where: Tensor) -> Self:
        """Return the condition with that of another where a mask (B,) is true."""
        pairs = zip(self.tensors(), by.tensors(), strict=True)
        return type(self)(*(torch.where(_spread(where, own), new, own) for own, new in pairs))

    def repeated(self, count: int) -> Self:
        """Return the conditions of `count` images, which take these in turn."""
        return self[torch.arange(count, device=next(self.tensors()).device) % len(self)]


@dataclass(frozen=True, eq=False)
class Bound:
    """A denoiser: a model with a condition bound to it.

    Args:
        model: `D(x, sigma, condition)`.
        condition: What is asked of the images, B of them.
    """

    model: Callable[[Tensor, Tensor, Any], Tensor]
    condition: Condition

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Evaluate the denoiser."""
        return self.model(x, sigma, self.condition)


def evaluate_both(first: Denoiser, second: Denoiser, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """Evaluate two denoisers on the same images, in one batch where both are the same model.

    Args:
        first: A denoiser.
        second: Another, or the same model with another condition.
        x: Noisy images, (B, C, H, W).
        sigma: Noise levels, (B,).

    Returns:
        The estimates of both, (B, C, H, W) each.
    """
    if isinstance(first, Bound) and isinstance(second, Bound) and first.model is second.model:
        both = first.condition.cat(second.condition)
        one, other = first.model(x.repeat(2, 1, 1, 1), sigma.repeat(2), both).chunk(2)
        return one, other
    return first(x, sigma), second(x, sigma)


def _spread(mask: Tensor, tensor: Tensor) -> Tensor:
    """Give a mask (B,) the dimensions of a tensor (B, ...)."""
    return mask.reshape(-1, *[1] * (tensor.ndim - 1))
