"""Random resized crops: boxes pure in (seed, position), cut out and resized on the device in two products."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from datamodules.batches.order import uniforms

_DOMAIN_CROP = 0xC809


def crop_boxes(seed: int, positions: npt.NDArray[np.int64], limit: float) -> npt.NDArray[np.float32]:
    """Choose a square inside each image at random: side uniform in [limit, 1], place uniform where it fits.

    Args:
        seed: Non-negative seed.
        positions: Positions in the stream, (B,) int64.
        limit: Smallest side, as a share of the image's.

    Returns:
        Left, top and side as shares of the image's side, (B, 3).
    """
    uniform = uniforms(seed, _DOMAIN_CROP, positions, 3)
    side = limit + (1.0 - limit) * uniform[:, 2:]
    return np.concatenate([uniform[:, :2] * (1.0 - side), side], axis=1).astype(np.float32)


def crop(images: Tensor, boxes: Tensor, size: int) -> Tensor:
    """Cut a square out of each image and resize it, antialiased and bicubic (a = -0.5, as Pillow's).

    Resizing is linear along each axis, so it is one batched matrix product per axis for any boxes.

    Args:
        images: (B, C, R, R), any float type.
        boxes: Left, top and side of each square as shares of R, (B, 3).
        size: Side of the result in pixels (S).

    Returns:
        (B, C, S, S) of the type of `images`; overshoots at edges are not clipped.
    """
    left, top, side = boxes.unbind(1)
    across = _resampling(left, side, images.shape[3], size).to(images.dtype)  # (B, S, R)
    down = _resampling(top, side, images.shape[2], size).to(images.dtype)
    return down[:, None] @ images @ across[:, None].transpose(2, 3)


def _resampling(start: Tensor, side: Tensor, source: int, size: int) -> Tensor:
    """Weights of the source pixels in each resized one, (B, size, source), rows summing to 1."""
    places = torch.arange(size, device=start.device) + 0.5
    scale = side[:, None, None] * (source / size)  # source pixels per resized one
    centers = start[:, None, None] * source + places[:, None] * scale
    offsets = torch.arange(source, device=start.device) + 0.5 - centers
    weights = _cubic(offsets / scale.clamp(min=1.0))  # a wider kernel when shrinking, against aliasing
    return weights / weights.sum(dim=2, keepdim=True)


def _cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution kernel with a = -0.5 (Keys 1981, equation 4)."""
    x = x.abs()
    near = (1.5 * x - 2.5) * x * x + 1.0
    far = ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return torch.where(x < 1.0, near, torch.where(x < 2.0, far, torch.zeros_like(x)))
