from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.diffusion.setting import Setting


class Conditioner(Setting, ABC):
    """A kind of condition: how it is read, embedded, dropped and written, and what asks for nothing.

    A subclass is a frozen dataclass of plain values, for checkpoints hold it. Nothing else knows the kind:
    the network holds the embedding that is made here, samplers get denoisers with the condition bound.
    """

    @property
    def unconditional(self) -> bool:
        """Whether nothing can be asked for; the network then has no embedding."""
        return False

    @abstractmethod
    def embedding(self, width: int) -> nn.Module | None:
        """Make the part of the network that maps a condition of B images to vectors (B, width).

        It is made once for a network, and its parameters are the network's. None ignores the condition.
        """

    @abstractmethod
    def read(self, given: Any) -> Condition:  # noqa: ANN401
        """Return the condition that a batch holds behind its images, on the batch's device."""

    @abstractmethod
    def null(self, count: int, device: torch.device | str = "cpu") -> Condition:
        """Return the condition of `count` images of which nothing is asked."""

    @abstractmethod
    def every(self) -> Condition:
        """Return all that can be asked for, once each, for pictures that show it; or a part worth showing."""

    def choose(self, text: str | None) -> Condition:
        """Return what a user writes behind `--labels`; all there is if nothing was written.

        Raises:
            ValueError: If it cannot be asked for, with what can be.
        """
        if text is None:
            return self.every()
        raise ValueError(f"--labels {text!r}: a model of {type(self).__name__} reads no text; leave it out")

    def drop(self, condition: Condition, where: Tensor) -> Condition:
        """Return a condition that asks for nothing where a mask (B,) is true."""
        return condition.replaced(self.null(len(condition), where.device), where)

    def captions(self, condition: Any) -> list[str]:  # noqa: ANN401
        """Return what stands below pictures of these images; nothing where there is nothing to say."""
        return []

    def written(self, condition: Any) -> list[Any]:  # noqa: ANN401
        """Return the condition of each image as a plain value that JSON has, for those who read a set."""
        return [[tensor[i].tolist() for tensor in condition.tensors()] for i in range(len(condition))]

    def facts(self) -> dict[str, Any]:
        """Return what a program that runs an exported model has to know, as plain values."""
        return {}
