"""Augmentation that does not leak: the network is told what was done to each image.

Karras et al. 2022 (EDM, arXiv 2206.00364), appendix F.2, after the pipeline of Karras et al. 2020 (ADA, arXiv
2006.06676), appendix B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample

from datamodules.batches.order import uniforms
from datamodules.index.index import DataError

AUGMENTATIONS = 8
"""Numbers that say what was done to an image, all 0 if nothing was; their columns follow.

0 mirrored; 1 scale; 2, 3 cosine less 1 and sine of the rotation; 4, 5 anisotropy, times cosine and sine of
twice the angle of its axis; 6, 7 translation to the right and down.

Twice the angle, where the paper has the angle itself and a stretch of either sign, and so gives opposite
deformations the same numbers: to squeeze along an axis is to stretch across it.
"""

_DOMAIN_AUGMENTATION = 0xA0A6
_GROUPS = 5  # mirror, scale, rotation, anisotropy, translation: each happens or not as a whole


@dataclass(frozen=True)
class Augmentation:
    """How strongly training images are varied.

    The network gets the parameters of each image as a condition, and none when it samples, so that samples
    look like the images and not like the variations. Takes a model with `augmentation` on.

    Args:
        probability: Chance of each of mirroring, scaling, rotation, anisotropy and translation.
        mirror: Mirror left and right.
        scale: Standard deviation of the scale in octaves; 0.2 is a factor of 1.15.
        rotation: Largest angle in half turns, drawn uniformly both ways; 1 is any angle.
        anisotropy: Standard deviation in octaves of the stretch along a random axis (and squeeze across).
        translation: Standard deviation of the shift, as a share of the image's side.
        whole_pixels: Round shifts to whole pixels, which need no interpolation.

    Raises:
        DataError: A value is out of range.
    """

    probability: float = 0.12
    mirror: bool = True
    scale: float = 0.2
    rotation: float = 1.0
    anisotropy: float = 0.2
    translation: float = 0.125
    whole_pixels: bool = False

    def __post_init__(self) -> None:
        if not 0.0 <= self.probability <= 1.0:
            raise DataError(f"augmentation.probability lies in 0 to 1, not {self.probability}")
        for name in ("scale", "rotation", "anisotropy", "translation"):
            if getattr(self, name) < 0.0:
                raise DataError(f"augmentation.{name} must not be negative, not {getattr(self, name)}")

    def parameters(
        self, seed: int, positions: npt.NDArray[np.int64], image_size: int
    ) -> npt.NDArray[np.float32]:
        """Choose what is done to the image at each position: a pure function of (seed, position).

        Args:
            seed: Non-negative seed.
            positions: Positions in the stream, (B,) int64.
            image_size: Side of the images in pixels.

        Returns:
            (B, AUGMENTATIONS), see there.
        """
        uniform = uniforms(seed, _DOMAIN_AUGMENTATION, positions, _GROUPS + 9)
        happens = uniform[:, :_GROUPS] < self.probability
        coin, angle, axis = uniform[:, _GROUPS : _GROUPS + 3].T
        normal = _normal(uniform[:, _GROUPS + 3 : _GROUPS + 6], uniform[:, _GROUPS + 6 :])  # (B, 3) pairs
        turn = math.pi * self.rotation * (2 * angle - 1) * happens[:, 2]
        shift = normal[1:3, :].copy()
        if self.whole_pixels and self.translation:
            pixels = self.translation * image_size
            shift = np.rint(shift * pixels) / pixels
        stretch, direction = normal[3] * happens[:, 3], 2 * math.pi * axis
        columns = [
            (coin < 0.5) * happens[:, 0] * self.mirror,
            normal[0] * happens[:, 1] * (self.scale > 0),
            np.cos(turn) - 1.0,
            np.sin(turn),
            stretch * np.cos(direction) * (self.anisotropy > 0),
            stretch * np.sin(direction) * (self.anisotropy > 0),
            *(shift * happens[:, 4] * (self.translation > 0)),
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    def apply(self, images: Tensor, parameters: Tensor) -> Tensor:
        """Do to images what their parameters say; an image with parameters 0 comes back bit for bit.

        What lies outside is the image's reflection. Bicubic, at twice the resolution and then averaged, so
        that shrinking does not alias.

        Args:
            images: (B, C, S, S), float32.
            parameters: (B, AUGMENTATIONS).

        Returns:
            (B, C, S, S).
        """
        mirrored = parameters[:, 0, None, None, None] > 0
        images = torch.where(mirrored, images.flip(-1), images)
        B, C, H, W = images.shape
        grid = affine_grid(self.sources(parameters), [B, C, 2 * H, 2 * W], align_corners=False)
        warped = grid_sample(images, grid, mode="bicubic", padding_mode="reflection", align_corners=False)
        moved = (parameters[:, 1:] != 0).any(dim=1)[:, None, None, None]
        return torch.where(moved, avg_pool2d(warped, 2), images)

    def sources(self, parameters: Tensor) -> Tensor:
        """Where each pixel of the varied image comes from, as `affine_grid` takes it.

        The image is scaled, rotated, stretched and shifted, in this order; the way back is the inverse of
        each in the opposite order. Coordinates run from -1 to 1.

        Args:
            parameters: (B, AUGMENTATIONS).

        Returns:
            (B, 2, 3), without the mirroring.
        """
        _, scale, cosine, sine, along, across, right, down = parameters.unbind(1)
        cosine = cosine + 1
        shrink = torch.exp2(-self.scale * scale)
        back = torch.stack([torch.stack([cosine, sine], 1), torch.stack([-sine, cosine], 1)], 1)
        back = shrink[:, None, None] * back @ _unstretch(self.anisotropy * math.log(2.0), along, across)
        shift = 2 * self.translation * torch.stack([right, down], dim=1)[:, :, None]
        return torch.cat([back, -back @ shift], dim=2)


def _unstretch(strength: float, along: Tensor, across: Tensor) -> Tensor:
    """R diag(e^-x, e^x) R^T, (B, 2, 2), where R turns by a, and x = strength * r.

    Given are `along = r cos 2a` and `across = r sin 2a`. Written as
    `cosh x - sinh x [[cos 2a, sin 2a], [sin 2a, -cos 2a]]`.
    """
    r = torch.hypot(along, across)
    bend = torch.sinh(strength * r) / r.clamp(min=torch.finfo(r.dtype).tiny)
    keep, even, odd = torch.cosh(strength * r), bend * along, bend * across
    return torch.stack([torch.stack([keep - even, -odd], 1), torch.stack([-odd, keep + even], 1)], 1)


def _normal(one: npt.NDArray[np.float64], two: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Standard normal numbers from uniform ones, both (B, 3), as (6, B): Box & Muller 1958."""
    radius, angle = np.sqrt(-2.0 * np.log1p(-one)), 2 * math.pi * two
    return np.concatenate([(radius * np.cos(angle)).T, (radius * np.sin(angle)).T])
