from __future__ import annotations

import itertools
import mmap
import pickle
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from datamodules.batches import finishing
from datamodules.batches.augmentation import Augmentation
from datamodules.batches.batches import mirror
from datamodules.batches.finishing import DraftBatch, residence, upload
from datamodules.batches.loader import StepLoader, fetched_ahead
from datamodules.cache.pixels import MappedImages, mapping_of
from datamodules.image_folder import ImageFolderDataModule
from datamodules.index.index import DataError
from tests.helpers.recording import MakeFolder, assert_same, data_module, first, fit, ready


def finished(module: ImageFolderDataModule, loader: StepLoader, count: int = 4) -> list:
    return [module.on_after_batch_transfer(batch, 0) for batch in first(loader, count)]


EVERYTHING = {"crop": "random", "augmentation": Augmentation(0.5), "class_balanced": True}


@pytest.mark.parametrize("resident", ["auto", "ram", "device"])
@pytest.mark.parametrize("options", [{}, {"flip": False}, EVERYTHING], ids=["plain", "no flip", "everything"])
def test_images_are_the_same_wherever_they_lie(make_folder: MakeFolder, resident: str, options: dict) -> None:
    root = make_folder({"a": 9, "b": 5})
    modules = [ready(root, resident=place, val_fraction=0.3, **options) for place in ("disk", resident)]
    assert_same(*(finished(module, module.train_dataloader()) for module in modules))
    assert_same(*(finished(module, module.val_dataloader(), 99) for module in modules))


def test_on_the_device_only_rows_leave_the_loader(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 9})
    module = ready(root, resident="device")
    (batch,) = first(module.train_dataloader(), 1)
    assert isinstance(batch, DraftBatch)
    assert batch.images is None
    assert batch.rows.shape == batch.mirrored.shape == (4,)
    module.on_after_batch_transfer(batch, 0)
    assert len(pickle.dumps(module._finish)) < 1000  # the copy stays where it is
    one = fit(tmp_path, data_module(root, resident="device", val_fraction=0.3), max_steps=3)
    other = fit(tmp_path, data_module(root, resident="disk", val_fraction=0.3), max_steps=3)
    assert one.steps == other.steps
    assert one.val == other.val


def test_upload_goes_piece_by_piece(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    images = ready(make_folder({"a": 10}))._opened.images
    monkeypatch.setattr(finishing, "_UPLOAD_ROWS", 3)
    np.testing.assert_array_equal(upload(images, torch.device("cpu")).numpy(), images.array)


def test_ram_is_a_copy_of_its_own_and_travels_as_its_path(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 10}), resident="ram")
    module.train_dataloader()
    images = module._opened.images
    assert not isinstance(images.array, np.memmap)
    assert not images.array.flags.writeable
    before = images.array
    module.val_dataloader()
    assert images.array is before  # not copied again
    assert len(pickle.dumps(images)) < 1000


def images_of(size: int) -> SimpleNamespace:
    return SimpleNamespace(shape=(size,))


def test_auto_takes_the_nearest_memory_with_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (4000, 9000))
    monkeypatch.setattr(finishing, "_free_memory", lambda: 40_000)
    cpu, gpu = torch.device("cpu"), torch.device("cuda")
    assert [residence("auto", images_of(size), gpu) for size in (1000, 1001, 10_000, 10_001)] == [
        "device",
        "ram",
        "ram",
        "disk",
    ]
    assert [residence("auto", images_of(size), cpu) for size in (1, 10_001)] == ["ram", "disk"]
    assert [residence(place, images_of(10**9), cpu) for place in ("disk", "ram", "device")] == [
        "disk",
        "ram",
        "device",
    ]


def test_free_memory_is_that_of_the_machine() -> None:
    assert 2**20 < finishing._free_memory() < 2**50


@pytest.mark.parametrize("side", [5, 8, 12, 16, 24])
def test_mirroring_by_words_is_mirroring(side: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (7, 3, side, side), dtype=np.uint8)
    which = np.array([True, False, True, True, False, False, True])
    expected = np.where(which[:, None, None, None], images[..., ::-1], images)
    mirror(images, which)
    np.testing.assert_array_equal(images, expected)


# Fetching ahead


def test_batches_fetched_ahead_are_the_same(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 9}))
    loader = module.train_dataloader()
    loader.ahead = 3
    assert_same(first(loader, 7), first(module.train_dataloader(), 7))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("options", [{}, {"augmentation": Augmentation(0.5), "crop": "random"}])
def test_batches_are_pinned_where_a_gpu_fetches_them(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, workers: int, options: dict[str, object]
) -> None:
    pinned: list[torch.Tensor] = []
    monkeypatch.setattr(torch.Tensor, "pin_memory", lambda tensor: (pinned.append(tensor), tensor)[1])
    module = ready(make_folder({"a": 9}), **options)
    plain = module.train_dataloader()
    loader = StepLoader(plain.dataset, plain.sampler, workers, pinned=True)
    one, two = first(loader, 4), first(plain, 4)
    loader.close()
    assert len(pinned) >= 4 * sum(field is not None for field in two[0])
    for a, b in zip(one, two, strict=True):
        for field, expected in zip(a, b, strict=True):
            assert field is expected is None or torch.equal(field, expected)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_fetching_ahead_ends_where_the_batches_end(count: int) -> None:
    assert list(fetched_ahead(iter(range(count)), 3)) == list(range(count))


def test_fetching_ahead_is_ahead_and_stops_when_left() -> None:
    fetched: list[int] = []
    third = threading.Event()

    def numbers() -> Iterator[int]:
        for number in itertools.count():
            fetched.append(number)
            if number == 2:
                third.set()
            yield number

    batches = fetched_ahead(numbers(), 2)
    assert next(batches) == 0
    assert third.wait(60)  # fetched by the thread, asked for by nobody
    batches.close()
    assert fetched == [0, 1, 2]


def test_error_in_the_thread_is_raised_where_the_batch_is_asked_for() -> None:
    def numbers() -> Iterator[int]:
        yield 0
        raise OSError("the disk is gone")

    batches = fetched_ahead(numbers(), 2)
    assert next(batches) == 0
    with pytest.raises(OSError, match="the disk is gone"):
        next(batches)


# Without a cache


def test_without_a_cache_batches_are_the_same_and_nothing_is_written(
    make_folder: MakeFolder, tmp_path: Path, own_cache: Path
) -> None:
    root = make_folder({"a": 9, "b": 3})
    without = ready(root, cache=False, val_fraction=0.3)
    one = finished(without, without.train_dataloader())
    assert without.val_dataloader()
    assert not own_cache.exists()
    cached = ready(root, val_fraction=0.3)
    assert_same(one, finished(cached, cached.train_dataloader()))
    np.testing.assert_array_equal(without.train_images, cached.train_images)
    np.testing.assert_array_equal(without.val_images, cached.val_images)
    torch.testing.assert_close(without.mean_image(), cached.mean_image())
    assert without.fingerprint == cached.fingerprint
    assert len(fit(tmp_path, data_module(root, cache=False), max_steps=2).steps) == 2


def test_without_a_cache_the_next_image_stands_in_for_a_damaged_one(
    make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_folder({"a": 6})
    expected = ready(root, val_fraction=0).train_images
    for name in ("0002", "0003", "0005"):
        (root / "a" / f"{name}.png").write_text("no picture")
    images = ready(root, cache=False, val_fraction=0)._opened.images
    for _ in range(2):
        np.testing.assert_array_equal(images.gather(np.arange(6)), expected[[0, 1, 4, 4, 4, 0]])
    assert [record.getMessage().split()[0] for record in caplog.records] == [
        "a/0002.png",
        "a/0003.png",
        "a/0005.png",
    ]


def test_without_a_cache_a_folder_of_damage_is_an_error(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 2})
    for path in root.rglob("*.png"):
        path.write_text("no picture")
    module = ready(root, cache=False, val_fraction=0)
    with pytest.raises(DataError, match=rf"\b2 images\b.*{re.escape(str(root))}"):
        first(module.train_dataloader(), 1)


def test_memory_without_a_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"resident=device .*cache"):
        data_module(tmp_path, cache=False, resident="device")


def test_preloading_leaves_the_images_as_they_are(make_folder: MakeFolder) -> None:
    images = ready(make_folder({"a": 5}))._opened.images
    assert isinstance(images, MappedImages)
    assert isinstance(mapping_of(images.array), mmap.mmap)
    before = images.array.copy()
    images.preload()
    np.testing.assert_array_equal(images.array, before)
    images.load()
    assert mapping_of(images.array) is None
