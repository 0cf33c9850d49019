from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from datamodules.batches.batches import TrainBatches, ValBatches
from datamodules.batches.finishing import ImageBatch
from datamodules.image_folder import ImageFolderDataModule
from tests.helpers.recording import (
    SIZE,
    MakeFolder,
    assert_same,
    data_module,
    fingerprints,
    first,
    fit,
    joined,
    ready,
)

# Raised by Lightning 2.6 itself, in every Trainer.fit with torch 2.13.
pytestmark = [
    pytest.mark.filterwarnings(r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),  # on a single core
]


def test_batch_is_uint8_with_the_labels_of_its_images(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 10, "b": 10})
    module = ready(root, flip=False)
    batch = joined(first(module.train_dataloader(), 10))
    assert (batch.images.dtype, batch.labels.dtype) == (torch.uint8, torch.int64)
    assert batch.images.shape == (40, 3, SIZE, SIZE)
    label_of = {
        image.tobytes(): label for image, label in zip(module.train_images, module.train_labels, strict=True)
    }
    for image, label in zip(batch.images, batch.labels, strict=True):
        assert label_of[image.numpy().tobytes()] == label


def test_batches_are_the_same_for_any_number_of_workers(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 13})
    batches = [first(ready(root, workers=workers).train_dataloader(), 9) for workers in (0, 2)]
    assert_same(*batches)


def test_seed_changes_order_and_flips(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 13})
    one, two = (joined(first(ready(root, seed=seed).train_dataloader(), 3)) for seed in (0, 1))
    assert not torch.equal(one.images, two.images)


def test_a_step_holds_the_same_images_however_it_is_split(make_folder: MakeFolder) -> None:
    data = ready(make_folder({"a": 21, "b": 4}))._opened.train
    whole = TrainBatches(data, batch_size=16, flip=True, seed=3)
    halves = TrainBatches(data, batch_size=8, flip=True, seed=3)
    ranks = [TrainBatches(data, batch_size=8, flip=True, seed=3, rank=rank, world_size=2) for rank in (0, 1)]
    quarters = [
        TrainBatches(data, batch_size=4, flip=True, seed=3, rank=rank, world_size=2) for rank in (0, 1)
    ]
    for step in (0, 1, 7, 1000):
        wanted = [whole[step]]
        assert_same([joined([halves[2 * step], halves[2 * step + 1]])], wanted)
        assert_same([joined([ranks[0][step], ranks[1][step]])], wanted)
        micro = [quarters[rank][2 * step + part] for part in (0, 1) for rank in (0, 1)]
        assert_same([joined(micro)], wanted)


def test_flips_mirror_about_half_and_change_from_epoch_to_epoch(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 40})
    plain = joined(first(ready(root, flip=False, val_fraction=0).train_dataloader(), 100)).images
    flipped = joined(first(ready(root, flip=True, val_fraction=0).train_dataloader(), 100)).images
    same = (plain == flipped).flatten(1).all(1)
    mirrored = (plain.flip(-1) == flipped).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 120 < mirrored.sum() < 280  # of 400
    epochs = {
        tuple(image.numpy().tobytes() for image in flipped[start : start + 40]) for start in range(0, 400, 40)
    }
    images_seen = {image.numpy().tobytes() for image in flipped}
    assert len(epochs) == 10
    assert len(images_seen) == 80  # every image both ways


def test_one_image_is_enough(make_folder: MakeFolder, tmp_path: Path) -> None:
    module = ready(make_folder({".": 1}))
    assert first(module.train_dataloader(), 1)[0].images.shape == (4, 3, SIZE, SIZE)
    assert module.val_dataloader() == []
    assert len(fit(tmp_path, data_module(module.root), max_steps=2).steps) == 2


def test_val_images_come_in_index_order_unchanged(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 40}), val_fraction=0.3)
    loader = module.val_dataloader()
    assert isinstance(loader, DataLoader)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert [len(batch.labels) for batch in batches[:-1]] == [4] * (len(batches) - 1)
    np.testing.assert_array_equal(joined(batches).images.numpy(), module.val_images)
    assert_same(list(loader), batches)


def test_nothing_val_is_no_validation(make_folder: MakeFolder, tmp_path: Path) -> None:
    module = ready(make_folder({"a": 6}), val_fraction=0)
    assert module.val_dataloader() == []
    assert len(module.train_labels) == 6
    assert fit(tmp_path, data_module(module.root, val_fraction=0), max_steps=1).val == []


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_val_images_evenly(make_folder: MakeFolder, world_size: int) -> None:
    data = ready(make_folder({"a": 40}), val_fraction=0)._opened.train  # 40 images, taken as held out
    ranks = [ValBatches(data, 4, rank, world_size) for rank in range(world_size)]
    seen = [[int(i) for k in range(len(rank)) for i in fingerprints(rank[k])] for rank in ranks]
    assert len({len(part) for part in seen}) == 1
    assert len({len(rank) for rank in ranks}) == 1
    everything = {int(i) for k in range(10) for i in fingerprints(ValBatches(data, 4)[k])}
    assert set().union(*seen) == everything
    assert sum(map(len, seen)) < 40 + world_size


def test_transfer_makes_float_images_in_minus_one_to_one() -> None:
    module = ImageFolderDataModule(image_size=16)
    images = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    batch = module.on_after_batch_transfer(ImageBatch(images, torch.zeros(1, dtype=torch.int64)), 0)
    assert isinstance(batch, ImageBatch)
    assert batch.images.dtype == torch.float32
    assert (batch.images.min().item(), batch.images.max().item()) == (-1.0, 1.0)
    torch.testing.assert_close(((batch.images + 1) * 127.5).round().to(torch.uint8), images)
    assert module.on_after_batch_transfer(batch, 0) is batch


def test_opened_module_travels_without_its_images(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 200}), image_size=32)
    packed = pickle.dumps(module)
    assert len(packed) < module.train_images.nbytes / 4
    assert_same(first(pickle.loads(packed).train_dataloader(), 2), first(module.train_dataloader(), 2))
