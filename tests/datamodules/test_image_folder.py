from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from jsonargparse import ArgumentParser
from PIL import Image

from datamodules.decode.decode import Limits
from datamodules.image_folder import ImageFolderDataModule
from datamodules.index.index import DataError, scan_folder
from datamodules.sources.oxford_pets import OxfordPetCats
from datamodules.sources.rendered_cats import RenderedCats
from datamodules.sources.source import DataSource
from tests.helpers.recording import (
    SIZE,
    MakeFolder,
    data_module,
    first,
    joined,
    ready,
)

# What is in the folder


def test_classes_labels_and_split_come_from_the_folder(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"tabby": 30, "siamese": 20, "calico/deep": 10}), val_fraction=0.2)
    assert module.class_names == ("calico", "siamese", "tabby")
    assert module.num_classes == 3
    labels = np.concatenate([module.train_labels, module.val_labels])
    np.testing.assert_array_equal(np.bincount(labels), [10, 20, 30])
    assert 0 < len(module.val_labels) < 30
    assert module.train_images.shape == (len(module.train_labels), 3, SIZE, SIZE)
    assert module.val_images.shape == (len(module.val_labels), 3, SIZE, SIZE)
    rows = {image.tobytes() for image in (*module.train_images, *module.val_images)}
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
    module = ready(root, val_fraction=0)
    assert module.class_names == ("a", "c")
    assert set(module.train_labels) == {0, 1}


def test_fingerprint_tells_folders_apart_but_not_places(make_folder: MakeFolder) -> None:
    one, same = make_folder({"a": 5}, name="one"), make_folder({"a": 5}, name="same")
    other = make_folder({"a": 5}, name="other", seed=1)
    prints = [ready(root).fingerprint for root in (one, same, other)]
    assert prints[0] == prints[1] != prints[2]
    assert re.fullmatch("[0-9a-f]+", prints[0])


def test_mean_image(make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ready(make_folder({"a": 9}), val_fraction=0)
    mean = module.mean_image()
    expected = torch.from_numpy(module.train_images.astype(np.float32)).mean(0) / 127.5 - 1
    torch.testing.assert_close(mean, expected)
    assert (mean.dtype, mean.shape) == (torch.float32, (3, SIZE, SIZE))
    monkeypatch.setattr("datamodules.batches.batches._MEAN_IMAGES", 3)
    few = module.train_images[[0, 4, 8]].astype(np.float32).mean(0) / 127.5 - 1
    torch.testing.assert_close(module.mean_image(), torch.from_numpy(few))


# What can be wrong


def test_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere"):
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
    for part in ("4 of 10 files", "40.0%", "max_rejected=10.0%", "a/bad0.jpg: "):
        assert part in message
    report = Path(
        next(line for line in message.splitlines() if line.endswith("rejected.txt")).rpartition(": ")[2]
    )
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
    assert Path(told[0].split("reasons: ")[1]).read_text().startswith("a/bad0.jpg\t")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("image_size", 0),
        ("batch_size", 0),
        ("val_fraction", 1.0),
        ("val_fraction", -0.1),
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
    with pytest.raises(RuntimeError, match=r"setup\(\)"):
        _ = data_module(tmp_path).class_names


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
    assert len(module.train_labels) + len(module.val_labels) == 2
    ImageFolderDataModule(root=make_folder({"a": 2}), source=source).prepare_data()
    assert source.calls == 1


def test_setup_alone_is_enough(make_folder: MakeFolder) -> None:
    module = data_module(make_folder({"a": 4}))
    module.setup("fit")  # as on a rank that prepared nothing
    assert len(module.train_labels)


def test_without_root_and_source_cats_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RenderedCats, "prepare", lambda _: TwoCats(tmp_path / "drawn").prepare())
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
            "--data.val_fraction",
            "0.2",
            "--data.flip=false",
        ]
    )
    module = parser().instantiate(config).data
    assert (module.root, module.background, module.val_fraction, module.flip) == (
        tmp_path,
        (0, 0, 0),
        0.2,
        False,
    )


def test_command_line_knows_sources_by_short_name() -> None:
    options = ["--data.source", "RenderedCats", "--data.source.count", "100"]
    source = parser().instantiate(parser().parse_args(options)).data.source
    assert isinstance(source, RenderedCats)
    pets = ["--data.source", "OxfordPetCats", "--data.source.folder", "elsewhere"]
    assert isinstance(parser().instantiate(parser().parse_args(pets)).data.source, OxfordPetCats)


def test_help_explains_every_argument() -> None:
    text = " ".join(parser().format_help().split())
    for part in (
        "Folder",
        "pixels",
        "flips",
    ):
        assert part in text


# A folder that is written to meanwhile


def test_a_file_that_changes_between_scan_and_decode_is_indexed_again(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder({"a": 6})
    changes = [root / "a" / "0003.png", root / "a" / "0004.png"]

    def scan_then_change(*args: object, **options: object) -> object:
        index = scan_folder(*args, **options)  # type: ignore[arg-type]
        if changes:
            Image.new("RGB", (8, 8), (len(changes), 0, 0)).save(changes.pop())
        return index

    monkeypatch.setattr("datamodules.batches.opened_folder.scan_folder", scan_then_change)
    module = ready(root, val_fraction=0)
    assert not changes
    assert (module.train_images[3] == np.array((1, 0, 0), np.uint8)[:, None, None]).all()
    assert module.fingerprint == scan_folder(root).fingerprint


def test_a_folder_that_changes_all_the_time_is_an_error(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder({"a": 3})
    counter = iter(range(100))

    def scan_then_change(*args: object, **options: object) -> object:
        index = scan_folder(*args, **options)  # type: ignore[arg-type]
        Image.new("RGB", (8, 8), (next(counter), 0, 0)).save(root / "a" / "0001.png")
        return index

    monkeypatch.setattr("datamodules.batches.opened_folder.scan_folder", scan_then_change)
    with pytest.raises(DataError, match=r"0001\.png: "):
        ready(root)


def test_limits_and_quarantine_reach_the_decoder(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 6})
    Image.new("RGB", (60, 4)).save(root / "a" / "wide.png")
    (tmp_path / "list.txt").write_text("a/0002.png\n")
    assert len(ready(root, val_fraction=0).train_labels) == 7
    module = ready(
        root,
        val_fraction=0,
        max_rejected=0.5,
        limits=Limits(max_aspect=5.0),
        quarantine=tmp_path / "list.txt",
    )
    assert len(module.train_labels) == 5
