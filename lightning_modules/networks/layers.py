"""Pieces that both networks are made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", nn.Linear, nn.Conv2d)

MakeEmbedding = Callable[[int], nn.Module | None]
"""Makes what maps a condition of B images to vectors (B, width); none where nothing can be asked for."""


class Decayed:
    """Marks a layer whose `weight` the optimizer's weight decay applies to.

    Said where the layer is made; biases, norms, embeddings and what is not marked do not decay.
    """


class DecayedLinear(Decayed, nn.Linear):
    """A linear layer under weight decay."""


class DecayedConv2d(Decayed, nn.Conv2d):
    """A convolution under weight decay."""


def zeroed(layer: Layer) -> Layer:
    """Set a layer's weight and bias to 0, so that its branch starts by contributing nothing."""
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def weight_decay_groups(network: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Split a network's trainable parameters into those that decay and those that do not.

    Args:
        network: Any module; `Decayed` layers decay their `weight`.
        weight_decay: The decay of the first group; the second has 0.

    Returns:
        Parameter groups for a torch optimizer, each parameter in exactly one.
    """
    decaying = {id(layer.weight) for layer in network.modules() if isinstance(layer, Decayed)}
    parameters = [p for p in network.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if id(p) in decaying], "weight_decay": weight_decay},
        {"params": [p for p in parameters if id(p) not in decaying], "weight_decay": 0.0},
    ]


class NoiseLevelEmbedding(nn.Module):
    """Sinusoids of a scalar noise level, a two-layer perceptron, and a norm.

    The wavelengths run geometrically from 16 down to 1/8. The preconditioners' `ln(sigma) / 4` covers about
    three units, so neighboring noise levels differ in the short waves and far ones in the long.

    Args:
        width: Size of the embedding.
        waves: Number of sinusoids, even.
    """

    frequencies: Tensor

    def __init__(self, width: int, waves: int = 64) -> None:
        super().__init__()
        frequencies = 2 * math.pi * torch.logspace(math.log2(1 / 16), math.log2(8), waves // 2, base=2.0)
        self.register_buffer("frequencies", frequencies, persistent=False)
        self.hidden = nn.Linear(waves, width)
        self.output = nn.Linear(width, width)

    def forward(self, noise_level: Tensor) -> Tensor:
        """Embed noise levels, (B,) -> (B, width)."""
        # In float32 also under autocast: half precision cannot tell neighboring phases apart.
        angles = noise_level.float()[:, None] * self.frequencies.float()
        waves = torch.cat([angles.cos(), angles.sin()], dim=1)
        embedded = self.output(nn.functional.silu(self.hidden(waves.to(self.hidden.weight.dtype))))
        return nn.functional.rms_norm(embedded, embedded.shape[-1:])


class ConditionEmbedding(nn.Module):
    """The conditioning vector: noise level plus, where there is any, what is asked for.

    The noise level starts with entries of about 1, and so should the rest, to be seen next to it.

    Args:
        width: Size of the vector.
        embed: Makes the embedding of what is asked for; none ignores it.
        augmentations: How many numbers say what was done to an image; 0 where nothing ever is. They count for
            nothing until they are learned, and for nothing where they are 0.
    """

    def __init__(self, width: int, embed: MakeEmbedding | None, augmentations: int = 0) -> None:
        super().__init__()
        self.noise_level = NoiseLevelEmbedding(width)
        self.embedding = None if embed is None else embed(width)
        self.augmentation = nn.Parameter(torch.zeros(augmentations, width)) if augmentations else None
        self.register_load_state_dict_pre_hook(_without_augmentation)  # type: ignore[no-untyped-call]

    def forward(self, noise_level: Tensor, condition: object, augmentation: Tensor | None = None) -> Tensor:
        """Embed noise levels (B,), what is asked for and augmentation (B, augmentations) into (B, width).

        No augmentation is as good as zeros.
        """
        vector: Tensor = self.noise_level(noise_level)
        if self.embedding is not None:
            vector = vector + self.embedding(condition)
        if self.augmentation is not None and augmentation is not None:
            vector = vector + augmentation.to(vector.dtype) @ self.augmentation
        return vector


def _without_augmentation(condition: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Let a network that knows augmentation take weights of one that does not: both act the same."""
    if isinstance(condition, ConditionEmbedding) and condition.augmentation is not None:
        state.setdefault(f"{prefix}augmentation", torch.zeros_like(condition.augmentation))
