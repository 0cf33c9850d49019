"""The last steps of a batch, done where it is trained on: gathering, cropping, conversion, augmentation."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from datamodules.batches.augmentation import Augmentation
from datamodules.batches.crop import crop
from datamodules.cache.pixels import Images

Residence = Literal["auto", "disk", "ram", "device"]

_SHARE_OF_MEMORY = 0.25  # of what is free: training needs the rest
_UPLOAD_ROWS = 4096


class ImageBatch(NamedTuple):
    """Images and their classes.

    Attributes:
        images: (B, 3, S, S); uint8 from the loader, float32 in [-1, 1] after the transfer to the device.
        labels: (B,) int64.
    """

    images: Tensor
    labels: Tensor


class AugmentedBatch(NamedTuple):
    """Images that were varied, their classes, and what was done to them.

    Attributes:
        images: (B, 3, S, S) float32.
        labels: (B,) int64.
        augmentation: (B, AUGMENTATIONS) float32, the network's condition.
    """

    images: Tensor
    labels: Tensor
    augmentation: Tensor


class DraftBatch(NamedTuple):
    """What leaves the loader where more than a conversion is left to do.

    Attributes:
        labels: (B,) int64.
        images: (B, 3, R, R) uint8, mirrored already; none where the images lie on the device.
        rows: Their rows (B,) int64 in the images on the device, else none.
        mirrored: (B,) bool, with `rows` only.
        boxes: Left, top and side of the part that is cut out, as shares of the side, (B, 3);
            None: the whole.
        augmentation: (B, AUGMENTATIONS), or none.
    """

    labels: Tensor
    images: Tensor | None = None
    rows: Tensor | None = None
    mirrored: Tensor | None = None
    boxes: Tensor | None = None
    augmentation: Tensor | None = None


class Finish:
    """Turn what the loader gives into float images in [-1, 1], on the device that it was moved to.

    Args:
        size: Side of the finished images in pixels.
        augmentation: How batches that hold parameters are varied.
    """

    def __init__(self, size: int, augmentation: Augmentation | None) -> None:
        self._size, self._augmentation = size, augmentation
        self._resident: Tensor | None = None

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_resident": None}

    def __call__(
        self, batch: ImageBatch | DraftBatch, every: Images | None = None
    ) -> ImageBatch | AugmentedBatch:
        """Finish a batch.

        Args:
            batch: From the loader, moved to the device.
            every: All images, for batches that hold rows alone: at the first of these they are copied to the
                device.
        """
        draft = batch if isinstance(batch, DraftBatch) else DraftBatch(batch.labels, batch.images)
        images = _cut_to(self._pixels(draft, every), draft.boxes, self._size)
        images = normalized(images)
        if draft.augmentation is None or self._augmentation is None:
            return ImageBatch(images, draft.labels)
        varied = self._augmentation.apply(images, draft.augmentation)
        return AugmentedBatch(varied, draft.labels, draft.augmentation)

    def _pixels(self, draft: DraftBatch, every: Images | None) -> Tensor:
        if draft.images is not None:
            return draft.images
        assert draft.rows is not None
        assert every is not None
        if self._resident is None or self._resident.device != draft.rows.device:
            self._resident = upload(every, draft.rows.device)
        images = self._resident.index_select(0, draft.rows)
        if draft.mirrored is None:
            return images
        return torch.where(draft.mirrored[:, None, None, None], images.flip(-1), images)


def normalized(pixels: Tensor) -> Tensor:
    """Scale pixel values of 0 to 255, float, to [-1, 1]: the one place where that is done."""
    return pixels.div(127.5).sub_(1.0)


def shrunk(images: Tensor, size: int) -> Tensor:
    """Resize whole images (B, 3, R, R) to (B, 3, S, S), both uint8."""
    if images.shape[-1] == size:
        return images
    return _cut_to(images, None, size).round_().to(torch.uint8)


def _cut_to(images: Tensor, boxes: Tensor | None, size: int) -> Tensor:
    """Cut and resize uint8 images, as float32 of 0 to 255."""
    values = images.float()
    if boxes is None:
        if images.shape[-1] == size:
            return values
        boxes = torch.tensor([0.0, 0.0, 1.0], device=images.device).expand(len(images), 3)
    return crop(values, boxes, size).clamp_(0.0, 255.0)


def upload(images: Images, device: torch.device) -> Tensor:
    """Copy all images to a device, (M, 3, R, R) uint8, a few thousand at a time."""
    resident = torch.empty(images.shape, dtype=torch.uint8, device=device)
    for start in range(0, len(resident), _UPLOAD_ROWS):
        rows = np.arange(start, min(start + _UPLOAD_ROWS, len(resident)))
        resident[start : start + len(rows)] = torch.from_numpy(images.gather(rows))
    return resident


def residence(wanted: Residence, images: Images, device: torch.device) -> Literal["disk", "ram", "device"]:
    """Where the images are read from: as wanted, else the nearest place with room.

    `auto` takes the memory of a GPU, then the machine's, if the images fill no more than a quarter of what is
    free there.

    Args:
        wanted: What was asked for.
        images: The images.
        device: Where training runs.
    """
    if wanted != "auto":
        return wanted
    size = int(np.prod(images.shape))
    if device.type == "cuda" and size <= _SHARE_OF_MEMORY * torch.cuda.mem_get_info(device)[0]:
        return "device"
    return "ram" if size <= _SHARE_OF_MEMORY * _free_memory() else "disk"


def _free_memory() -> int:
    """Bytes that the machine could give away, 0 if it does not say."""
    try:
        with open("/proc/meminfo", encoding="ascii") as file:  # noqa: PTH123
            facts = dict(line.split(":") for line in file)
        return int(facts["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return 0
