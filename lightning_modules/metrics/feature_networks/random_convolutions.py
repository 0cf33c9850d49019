from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork


class RandomConvolutions(FeatureNetwork):
    """Convolutions with fixed random weights: the stand-in where no trained network is installed.

    Four strided layers of He's random weights; means and log standard deviations of each layer's channels are
    the features. They see color, contrast and texture and know nothing of objects: figures with it say
    whether a change is for the better, and compare with nothing else.

    Args:
        seed: Seed of the weights, drawn by numpy, the same on every machine.
    """

    CHANNELS = (3, 16, 32, 64, 64)

    def __init__(self, seed: int = 0) -> None:
        super().__init__("random convolutions (untrained, seeded)", 2 * sum(self.CHANNELS[1:]))
        rng = np.random.default_rng(seed)
        self.layers = nn.ModuleList()
        for narrow, wide in zip(self.CHANNELS, self.CHANNELS[1:], strict=False):
            layer = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, padding_mode="replicate", bias=False)
            weight = rng.standard_normal(tuple(layer.weight.shape)) * math.sqrt(2 / (9 * narrow))
            layer.weight = nn.Parameter(torch.from_numpy(weight.astype(np.float32)), requires_grad=False)
            self.layers.append(layer)
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Map images to the layers' channel means and standard deviations."""
        x = images.float() / 127.5 - 1
        moments = []
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
            moments += [x.mean((2, 3)), x.var((2, 3), unbiased=False).add(1e-4).log() / 2]
        return torch.cat(moments, 1)
