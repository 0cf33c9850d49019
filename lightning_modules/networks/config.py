"""What a user chooses about a network."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from lightning_modules.networks.layers import MakeEmbedding


@dataclass(frozen=True)
class NetworkConfig:
    """Shape of a network, plain values that a checkpoint may hold.

    Each network documents, defaults and checks its options in its own subclass, a frozen dataclass. What the
    data decide (image size, channels, what can be asked for) is not among them: `build` takes it.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        # Checkpoints are loaded with `weights_only=True`, which makes no object of an unknown class.
        torch.serialization.add_safe_globals([cls])

    def build(
        self, image_size: int, channels: int, embed: MakeEmbedding | None, augmentations: int
    ) -> nn.Module:
        """Make the network.

        Args:
            image_size: Height and width of the images in pixels.
            channels: Image channels.
            embed: Makes the embedding of the condition; None: an unconditional network.
            augmentations: Number of values that say what was done to an image; 0 where nothing ever is.

        Raises:
            ValueError: If the shape does not fit the images.
        """
        raise NotImplementedError
