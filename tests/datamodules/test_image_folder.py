from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from conftest import MakeFolder
from jsonargparse import ArgumentParser
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch.utils.data import DataLoader

from datamodules.batches import HeldOutBatches, ImageBatch, TrainBatches
from datamodules.drawn_cats import DrawnCats
from datamodules.image_folder import ImageFolderDataModule
from datamodules.index import DataError
from datamodules.oxford_pets import OxfordPetCats
from datamodules.source import DataSource

SIZE = 8

# Raised by Lightning 2.6 itself, in every Trainer.fit with torch 2.13.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"
)


class Recorder(LightningModule):
    """Trains one number, and writes down what it was given: per optimiser step the sums of the images."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.folder = folder
        self.steps: dict[int, list[float]] = {}
        self.held_out: list[float] = []
        self.value_range = (float("inf"), -float("inf"))

    def training_step(self, batch: ImageBatch, batch_idx: int) -> torch.Tensor:
        assert batch.images.dtype == torch.float32
        low, high = batch.images.min().item(), batch.images.max().item()
        self.value_range = (min(low, self.value_range[0]), max(high, self.value_range[1]))
        self.steps.setdefault(self.global_step, []).extend(fingerprints(batch))
        return self.weight * batch.images.mean()

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self.held_out.extend(fingerprints(batch))

    def on_train_end(self) -> None:
        if self.folder:
            seen = {"steps": self.steps, "held_out": self.held_out}
            (self.folder / f"rank{self.global_rank}.json").write_text(json.dumps(seen))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fingerprints(batch: ImageBatch) -> list[float]:
    """One number per image that tells images and flips apart, exact in float32 and uint8."""
    images = batch.images
    if images.dtype != torch.uint8:
        images = ((images + 1) * 127.5).round()
    weights = torch.arange(1, images[0].numel() + 1, dtype=torch.float64)
    return (images.double().flatten(1) @ weights).tolist()


def data_module(root: Path, **options: Any) -> ImageFolderDataModule:
    return ImageFolderDataModule(root=root, **{"image_size": SIZE, "batch_size": 4, **options})


def ready(root: Path, **options: Any) -> ImageFolderDataModule:
    module = data_module(root, **options)
    module.prepare_data()
    module.setup("fit")
    return module


def trainer(tmp_path: Path, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(
        accelerator="cpu", default_root_dir=tmp_path, **{**quiet, "enable_model_summary": False, **options}
    )


def fit(
    tmp_path: Path, module: ImageFolderDataModule, ckpt_path: Path | None = None, **options: Any
) -> Recorder:
    recorder = Recorder()
    trainer(tmp_path, **options).fit(recorder, datamodule=module, ckpt_path=ckpt_path)
    return recorder


def first(loader: DataLoader[ImageBatch], count: int) -> list[ImageBatch]:
    return list(itertools.islice(loader, count))


def assert_same(one: list[ImageBatch], two: list[ImageBatch]) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a.images, b.images, rtol=0, atol=0)
        torch.testing.assert_close(a.labels, b.labels, rtol=0, atol=0)


def joined(batches: list[ImageBatch]) -> ImageBatch:
    return ImageBatch(torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches]))


# What is in the folder


def test_classes_labels_and_split_come_from_the_folder(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"tabby": 30, "siamese": 20, "calico/deep": 10}), held_out=0.2)
    assert module.class_names == ("calico", "siamese", "tabby")
    assert module.num_classes == 3
    labels = np.concatenate([module.train_labels, module.held_out_labels])
    np.testing.assert_array_equal(np.bincount(labels), [10, 20, 30])
    assert 0 < len(module.held_out_labels) < 30
    assert module.train_images.shape == (len(module.train_labels), 3, SIZE, SIZE)
    assert module.held_out_images.shape == (len(module.held_out_labels), 3, SIZE, SIZE)
    rows = {image.tobytes() for image in (*module.train_images, *module.held_out_images)}
    assert len(rows) == 60


def test_flat_folder_is_one_class(make_folder: MakeFolder) -> None:
    module = ready(make_folder({".": 5}))
    assert (module.class_names, module.num_classes) == (("images",), 1)


def test_labels_can_be_left_unused(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 5, "b": 5}), class_labels=False)
    assert module.num_classes == len(module.class_names) == 1
    assert not module.train_labels.any()
    assert not joined(first(module.train_dataloader(), 5)).labels.any()


def test_class_of_unreadable_images_is_no_class(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 20, "c": 20})
    (root / "b").mkdir()
    (root / "b" / "x.jpg").write_text("no picture")
    module = ready(root, held_out=0)
    assert module.class_names == ("a", "c")
    assert set(module.train_labels) == {0, 1}


def test_fingerprint_tells_folders_apart_but_not_places(make_folder: MakeFolder) -> None:
    one, same = make_folder({"a": 5}, name="one"), make_folder({"a": 5}, name="same")
    other = make_folder({"a": 5}, name="other", seed=1)
    prints = [ready(root).fingerprint for root in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]
    assert int(prints[0], 16) >= 0


def test_mean_image(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ready(make_folder({"a": 9}), held_out=0)
    mean = module.mean_image()
    expected = torch.from_numpy(module.train_images.astype(np.float32)).mean(0) / 127.5 - 1
    torch.testing.assert_close(mean, expected)
    assert (mean.dtype, mean.shape) == (torch.float32, (3, SIZE, SIZE))
    monkeypatch.setattr("datamodules.image_folder._MEAN_IMAGES", 3)
    few = module.train_images[[0, 4, 8]].astype(np.float32).mean(0) / 127.5 - 1
    torch.testing.assert_close(module.mean_image(), torch.from_numpy(few))


# What can be wrong


def test_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nowhere does not exist"):
        data_module(tmp_path / "nowhere").prepare_data()


def spoil(root: Path, count: int) -> None:
    for number in range(count):
        (root / "a" / f"bad{number}.jpg").write_bytes(b"")


def test_too_many_unreadable_files_stop_the_run(make_folder: MakeFolder) -> None:
    root = make_folder({"a": 6})
    spoil(root, 4)
    module = data_module(root)
    module.prepare_data()
    with pytest.raises(DataError) as caught:
        module.setup("fit")
    message = str(caught.value)
    for part in ("4 of 10 files", "40.0%", "max_rejected=10.0%", "a/bad0.jpg: the file is empty"):
        assert part in message
    report = Path(next(line for line in message.splitlines() if "All of them" in line).split(": ")[1])
    assert len(report.read_text().splitlines()) == 4
    ready(root, max_rejected=0.5)


def test_a_few_unreadable_files_are_told_once(
    make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_folder({"a": 20})
    spoil(root, 1)
    with caplog.at_level("INFO"):
        module = ready(root)
        module.setup("validate")
    told = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert len(told) == 1
    assert "1 of 21 files" in told[0]
    assert Path(told[0].split("reasons: ")[1]).read_text() == "a/bad0.jpg\tthe file is empty\n"


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("image_size", 0),
        ("batch_size", 0),
        ("held_out", 1.0),
        ("held_out", -0.1),
        ("workers", -1),
        ("max_rejected", 1.5),
        ("background", (0, 0, 256)),
        ("background", (0, 0)),
        ("seed", -1),
    ],
)
def test_arguments_out_of_range_are_refused_by_name(tmp_path: Path, option: str, value: object) -> None:
    with pytest.raises(DataError, match=option):
        data_module(tmp_path, **{option: value})


def test_use_before_setup_says_so(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"call setup\(\) first"):
        _ = data_module(tmp_path).class_names


# Batches


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
    plain = joined(first(ready(root, flip=False, held_out=0).train_dataloader(), 100)).images
    flipped = joined(first(ready(root, flip=True, held_out=0).train_dataloader(), 100)).images
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


def test_held_out_images_come_in_index_order_unchanged(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 40}), held_out=0.3)
    loader = module.val_dataloader()
    assert isinstance(loader, DataLoader)
    batches = list(loader)
    assert len(batches) == len(loader)
    assert [len(batch.labels) for batch in batches[:-1]] == [4] * (len(batches) - 1)
    np.testing.assert_array_equal(joined(batches).images.numpy(), module.held_out_images)
    assert_same(list(loader), batches)


def test_nothing_held_out_is_no_validation(make_folder: MakeFolder, tmp_path: Path) -> None:
    module = ready(make_folder({"a": 6}), held_out=0)
    assert module.val_dataloader() == []
    assert len(module.train_labels) == 6
    assert fit(tmp_path, data_module(module.root, held_out=0), max_steps=1).held_out == []


@pytest.mark.parametrize("world_size", [2, 3])
def test_ranks_share_the_held_out_images_evenly(make_folder: MakeFolder, world_size: int) -> None:
    data = ready(make_folder({"a": 40}), held_out=0)._opened.train  # 40 images, taken as held out
    ranks = [HeldOutBatches(data, 4, rank, world_size) for rank in range(world_size)]
    seen = [[int(i) for k in range(len(rank)) for i in fingerprints(rank[k])] for rank in ranks]
    assert len({len(part) for part in seen}) == 1
    assert len({len(rank) for rank in ranks}) == 1
    everything = {int(i) for k in range(10) for i in fingerprints(HeldOutBatches(data, 4)[k])}
    assert set().union(*seen) == everything
    assert sum(map(len, seen)) < 40 + world_size


def test_transfer_makes_float_images_in_minus_one_to_one() -> None:
    module = ImageFolderDataModule()
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


# Sources and the command line


class TwoCats(DataSource):
    def __init__(self, folder: Path, count: int = 2) -> None:
        self.folder, self.count, self.calls = folder, count, 0

    def prepare(self) -> Path:
        self.calls += 1
        self.folder.mkdir(exist_ok=True)
        for number in range(self.count):
            Image.new("RGB", (8, 8), (number, 0, 0)).save(self.folder / f"{number}.png")
        return self.folder


def test_source_is_asked_when_no_root_is_given(make_folder: MakeFolder, tmp_path: Path) -> None:
    source = TwoCats(tmp_path / "cats")
    module = ImageFolderDataModule(source=source, image_size=SIZE)
    module.prepare_data()
    module.setup("fit")
    module.setup("validate")
    assert source.calls == 1
    assert len(module.train_labels) + len(module.held_out_labels) == 2
    ImageFolderDataModule(root=make_folder({"a": 2}), source=source).prepare_data()
    assert source.calls == 1


def test_setup_alone_is_enough(make_folder: MakeFolder) -> None:
    module = data_module(make_folder({"a": 4}))
    module.setup("fit")  # as on a rank that prepared nothing
    assert len(module.train_labels)


def test_without_root_and_source_cats_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DrawnCats, "prepare", lambda _: TwoCats(tmp_path / "drawn").prepare())
    module = ImageFolderDataModule(image_size=SIZE)
    module.prepare_data()
    assert module.class_names == ("drawn",)


def parser() -> ArgumentParser:
    result = ArgumentParser(exit_on_error=False)
    result.add_class_arguments(ImageFolderDataModule, "data")
    return result


def test_command_line_sets_every_argument(tmp_path: Path) -> None:
    config = parser().parse_args(
        [
            "--data.root",
            str(tmp_path),
            "--data.background",
            "[0,0,0]",
            "--data.held_out",
            "0.2",
            "--data.flip=false",
        ]
    )
    module = parser().instantiate(config).data
    assert (module.root, module.background, module.held_out, module.flip) == (tmp_path, (0, 0, 0), 0.2, False)


def test_command_line_knows_sources_by_short_name() -> None:
    options = ["--data.source", "DrawnCats", "--data.source.count", "100"]
    source = parser().instantiate(parser().parse_args(options)).data.source
    assert isinstance(source, DrawnCats)
    pets = ["--data.source", "OxfordPetCats", "--data.source.folder", "elsewhere"]
    assert isinstance(parser().instantiate(parser().parse_args(pets)).data.source, OxfordPetCats)


def test_help_explains_every_argument() -> None:
    text = " ".join(parser().format_help().split())
    for part in (
        "Folder of images",
        "Side of the square images in pixels",
        "Seed of the order and the flips",
    ):
        assert part in text


# Under a Trainer


def test_fit_stops_at_max_steps_and_validates(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 12, "b": 12})
    recorder = fit(tmp_path, data_module(root, held_out=0.3), max_steps=7, num_sanity_val_steps=0)
    assert recorder.trainer.global_step == 7
    assert recorder.trainer.current_epoch == 1  # one epoch is the whole run
    assert recorder.trainer.num_training_batches == 7
    assert sorted(recorder.steps) == list(range(7))
    assert all(len(images) == 4 for images in recorder.steps.values())
    module = ready(root, held_out=0.3)
    assert sorted(recorder.held_out) == sorted(fingerprints(joined(list(module.val_dataloader()))))
    assert recorder.value_range[0] >= -1.0
    assert recorder.value_range[1] <= 1.0


def test_fit_by_micro_batches_and_workers_sees_the_same_images(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder({"a": 11})
    whole = fit(tmp_path, data_module(root, batch_size=8), max_steps=4)
    split = fit(tmp_path, data_module(root, batch_size=2, workers=1), max_steps=4, accumulate_grad_batches=4)
    assert whole.steps == split.steps
    assert split.trainer.global_step == 4
    assert split.weight.item() == pytest.approx(whole.weight.item(), rel=1e-5)


def test_fit_without_max_steps_is_endless(make_folder: MakeFolder, tmp_path: Path) -> None:
    module = data_module(make_folder({"a": 5}))
    recorder = Recorder()
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=9)
    run.fit(recorder, datamodule=module)
    assert run.global_step == 9
    with pytest.raises(TypeError, match="no length"):
        len(ready(module.root).train_dataloader())


def test_shorter_epochs_go_on_in_the_stream(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 11})
    straight = fit(tmp_path, data_module(root), max_steps=6)
    pieces = fit(tmp_path, data_module(root), max_steps=6, limit_train_batches=4, accumulate_grad_batches=1)
    assert pieces.steps == straight.steps


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("stop", "planned"), [(3, 3), (3, 6)])
def test_resumed_run_goes_on_in_mid_stream(
    make_folder: MakeFolder, tmp_path: Path, accumulate: int, stop: int, planned: int
) -> None:
    """From a checkpoint taken at the end of a shorter run, and from one in the middle of the same run."""
    root = make_folder({"a": 11})
    options = {"accumulate_grad_batches": accumulate, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    straight = fit(tmp_path, data_module(root), max_steps=6, **options)

    class StopsEarly(Recorder):
        def on_train_batch_end(self, *_: object) -> None:
            if self.global_step == stop and not (tmp_path / "middle.ckpt").exists():
                self.trainer.save_checkpoint(tmp_path / "middle.ckpt")

    trainer(tmp_path, max_steps=planned, **options).fit(StopsEarly(), datamodule=data_module(root))
    resumed = fit(tmp_path, data_module(root), tmp_path / "middle.ckpt", max_steps=6, **options)
    assert sorted(resumed.steps) == [3, 4, 5]
    assert resumed.steps == {step: straight.steps[step] for step in (3, 4, 5)}
    assert resumed.trainer.global_step == 6
    assert resumed.weight.item() == straight.weight.item()


def test_loader_leaves_the_global_random_state_alone(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 5}))
    before = torch.random.get_rng_state()
    first(module.train_dataloader(), 3)
    list(module.val_dataloader())
    torch.testing.assert_close(torch.random.get_rng_state(), before)


@pytest.mark.slow
def test_two_real_ranks_see_what_one_would(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 22})
    alone = fit(tmp_path, data_module(root, batch_size=4, held_out=0.2), max_steps=3, num_sanity_val_steps=0)
    run = trainer(
        tmp_path,
        max_steps=3,
        num_sanity_val_steps=0,
        devices=2,
        strategy="ddp_spawn",
        use_distributed_sampler=True,
    )
    run.fit(Recorder(tmp_path), datamodule=data_module(root, batch_size=2, held_out=0.2))
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    for step, images in alone.steps.items():
        assert ranks[0]["steps"][str(step)] + ranks[1]["steps"][str(step)] == images
    assert {*ranks[0]["held_out"], *ranks[1]["held_out"]} == set(alone.held_out)
