from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.batches.crop import crop, crop_boxes
from datamodules.batches.finishing import shrunk
from datamodules.decode.decode import Limits, decode_image
from tests.helpers.recording import MakeFolder, data_module, first, fit, joined, ready


def picture(size: int, seed: int = 0) -> np.ndarray:
    """A noisy gradient, (size, size, 3) uint8: smooth parts, edges, and clipping at both ends."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(-40, 290, size)[:, None, None] + rng.normal(0, 30, (size, size, 3))
    return ramp.clip(0, 255).astype(np.uint8)


BOXES = [(0.0, 0.0, 1.0), (0.25, 0.1, 0.5), (0.0, 0.33, 0.67), (0.3, 0.0, 0.7), (0.13, 0.27, 0.61)]


@pytest.mark.parametrize(("source", "size"), [(64, 64), (64, 48), (86, 64), (100, 17), (32, 64)])
def test_crop_is_pillows_bicubic_resize_of_a_box(source: int, size: int) -> None:
    channel = picture(source)[:, :, 0].astype(np.float32)  # Pillow rounds other modes between the axes
    images = torch.from_numpy(channel).expand(len(BOXES), 1, -1, -1)
    for result, (left, top, side) in zip(crop(images, torch.tensor(BOXES), size), BOXES, strict=True):
        box = (left * source, top * source, (left + side) * source, (top + side) * source)
        theirs = Image.fromarray(channel).resize((size, size), Image.Resampling.BICUBIC, box=box)
        np.testing.assert_allclose(result[0].numpy(), np.asarray(theirs), atol=0.01)


def test_whole_image_at_its_own_size_is_itself() -> None:
    images = torch.from_numpy(picture(24).transpose(2, 0, 1)[None].copy()).double()
    torch.testing.assert_close(crop(images, torch.tensor([[0.0, 0.0, 1.0]]), 24), images)
    assert shrunk(images.to(torch.uint8), 24).equal(images.to(torch.uint8))


def test_weights_sum_to_one_so_that_flat_images_stay_flat() -> None:
    boxes = torch.from_numpy(crop_boxes(0, np.arange(50), 0.2)).double()
    flat = torch.full((50, 3, 40, 40), 0.7, dtype=torch.float64)
    torch.testing.assert_close(crop(flat, boxes, 11), torch.full((50, 3, 11, 11), 0.7, dtype=torch.float64))


def test_boxes_lie_inside_and_respect_the_limit() -> None:
    boxes = crop_boxes(3, np.arange(20_000), 0.6)
    left, top, side = boxes.T
    assert (boxes >= 0).all()
    assert (np.maximum(left, top) + side <= 1 + 1e-6).all()
    assert 0.6 <= side.min() < 0.601
    assert 0.999 < side.max() <= 1.0
    assert abs(side.mean() - 0.8) < 0.01
    np.testing.assert_array_equal(crop_boxes(3, np.arange(100, 120), 0.6), boxes[100:120])
    assert not np.array_equal(crop_boxes(4, np.arange(100, 120), 0.6), boxes[100:120])


def test_limit_one_is_the_whole_image() -> None:
    np.testing.assert_array_equal(crop_boxes(0, np.arange(5), 1.0), np.tile([0, 0, 1], (5, 1)))


def test_random_crops_are_cached_larger_and_cut_anew_each_time(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 6}, size=32)
    module = ready(
        root, crop="random", crop_limit=0.5, val_fraction=0, flip=False, image_size=16, batch_size=6
    )
    assert module._opened.images.shape == (6, 3, 32, 32)
    drafts = first(module.train_dataloader(), 3)
    finished = [module.on_after_batch_transfer(batch, 0) for batch in drafts]
    again = [module.on_after_batch_transfer(batch, 0) for batch in first(module.train_dataloader(), 3)]
    for batch, same in zip(finished, again, strict=True):
        assert batch.images.equal(same.images)
    images = joined(finished).images
    assert images.shape == (18, 3, 16, 16)
    assert images.abs().max() <= 1
    assert len({image.numpy().tobytes() for image in images}) == 18  # 6 images, each cut in three ways


def test_val_images_and_references_are_whole(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 20}, size=32)
    options = {"crop": "random", "crop_limit": 0.5, "val_fraction": 0.3, "image_size": 16}
    module = ready(root, **options)
    val = [module.on_after_batch_transfer(batch, 0) for batch in module.val_dataloader()]
    images = ((joined(val).images + 1) * 127.5).round().to(torch.uint8)
    np.testing.assert_array_equal(images.numpy(), module.val_images)
    plain = ready(root, val_fraction=0.3, image_size=16)  # decoded to 16 pixels by Pillow
    for one, other in (
        (module.val_images, plain.val_images),
        (module.train_images, plain.train_images),
    ):
        assert one.shape == other.shape
        assert np.abs(one.astype(int) - other.astype(int)).max() <= 2
    torch.testing.assert_close(module.mean_image(), plain.mean_image(), atol=0.02, rtol=0)
    assert len(fit(tmp_path, data_module(root, **options), max_steps=2).steps) == 2


# Padding


def save(path: Path, size: tuple[int, int], color: tuple[int, int, int], **options: object) -> Path:
    Image.new("RGB", size, color).save(path, **options)
    return path


@pytest.mark.parametrize(("size", "bars"), [((40, 20), "rows"), ((20, 40), "columns")])
def test_padding_keeps_the_whole_image_between_bars(tmp_path: Path, size: tuple[int, int], bars: str) -> None:
    pixels = decode_image(save(tmp_path / "x.png", size, (10, 20, 30)), 16, (200, 100, 50), pad=True)
    pixels = pixels if bars == "rows" else pixels.transpose(0, 2, 1)
    for channel, inside, outside in zip(pixels, (10, 20, 30), (200, 100, 50), strict=True):
        assert (channel[4:12] == inside).all()
        assert (channel[:4] == outside).all()
        assert (channel[12:] == outside).all()


def test_padding_follows_the_orientation_and_bears_extremes(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = decode_image(save(tmp_path / "t.jpg", (40, 20), (0, 0, 0), exif=exif), 16, pad=True)
    assert (turned[:, :, 0] == 255).all()  # upright after the turn: bars left and right
    assert (turned[:, 2, 8] < 10).all()
    any_shape = Limits(min_side=1, max_aspect=10_000)
    thin = decode_image(save(tmp_path / "thin.png", (1, 2000), (0, 0, 0)), 16, limits=any_shape, pad=True)
    assert (thin == 0).any(axis=(0, 1)).sum() == 1  # a line of one pixel
    square = save(tmp_path / "square.png", (24, 24), (7, 8, 9))
    np.testing.assert_array_equal(decode_image(square, 16, pad=True), decode_image(square, 16))


def test_pad_is_an_option_with_a_cache_of_its_own(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 3})
    Image.new("RGB", (40, 20)).save(root / "a" / "0000.png")
    padded, cut = ready(root, crop="pad", val_fraction=0), ready(root, val_fraction=0)
    assert padded._opened.images.path != cut._opened.images.path
    assert (padded.train_images[0, :, 0] == 255).all()
    assert (cut.train_images[0] == 0).all()
