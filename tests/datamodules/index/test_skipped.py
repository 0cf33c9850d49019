"""What lies in a folder and is not trained on: a system's leavings, other files, parts of a data set."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datamodules.errors import DataError
from datamodules.index.index import scan_folder
from datamodules.index.skipped import passed_over
from tests.helpers.recording import MakeFolder, data_module, ready

LEFT_BEHIND = [
    "@eaDir",
    "@Recycle",
    "#recycle",
    ".@__thumb",
    "__MACOSX",
    ".Trash-1000",
    "$RECYCLE.BIN",
    "System Volume Information",
    ".ipynb_checkpoints",
    ".git",
    "lost+found",
    ".thumbnails",
    ".sync",
    ".dropbox.cache",
    ".AppleDouble",
]


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    return root


@pytest.mark.parametrize("name", LEFT_BEHIND)
def test_folders_of_systems_are_no_classes_at_any_depth(tmp_path: Path, name: str) -> None:
    index = scan_folder(
        touch(tmp_path, "cats/a.jpg", f"{name}/a.jpg", f"cats/{name}/a.jpg", f"cats/b/{name.upper()}/c/d.jpg")
    )
    assert index.paths == ("cats/a.jpg",)
    assert index.class_names == ("cats",)
    assert sum(dict(index.left_behind).values()) == 3


def test_folders_of_systems_do_not_make_a_flat_folder_one_of_classes(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path / "pets", "a.jpg", "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg"))
    assert index.paths == ("a.jpg",)
    assert index.class_names == ("pets",)


def test_files_of_systems_are_not_told_of(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path, "a.jpg", ".DS_Store", "Thumbs.db", "desktop.ini", "Icon\r"))
    assert passed_over(dict(index.ignored), dict(index.left_behind)) is None
    index = scan_folder(touch(tmp_path, "._a.jpg", "._b.jpg"))
    assert "2 hidden" in str(passed_over(dict(index.ignored), dict(index.left_behind)))


def test_a_folder_that_is_asked_for_by_name_is_searched(tmp_path: Path) -> None:
    assert len(scan_folder(touch(tmp_path / "@eaDir", "a.jpg"))) == 1
    assert len(scan_folder(touch(tmp_path / ".images", "a.jpg"))) == 1


def test_training_says_in_one_line_what_it_passes_over(
    make_folder: MakeFolder, caplog: pytest.LogCaptureFixture
) -> None:
    root = make_folder({"cats": 3})
    touch(root, *(f"cats/{number}.HEIC" for number in range(12)), "cats/film.mp4", "cats/a.txt", "cats/b")
    touch(root, "@eaDir/1.jpg", "cats/@eaDir/1.jpg", "cats/._0.png")
    with caplog.at_level("INFO"):
        ready(root)
    (line,) = [text for text in caplog.messages if "assed over" in text]
    for part in ("12 .heic (", "1 .mp4", "1 without", "(@eaDir)"):
        assert part in line
    assert "1 hidden" in line
    assert ".txt" not in line
    assert "\n" not in line


def test_nothing_passed_over_is_not_told(make_folder: MakeFolder, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO"):
        ready(make_folder({"cats": 3}))
    assert "assed over" not in caplog.text


def test_many_kinds_fit_on_a_line() -> None:
    ignored = {f".{number}": number for number in range(1, 200)}
    line = passed_over(ignored, {f".hidden{number}": 1 for number in range(300)})
    assert line is not None
    assert "199 .199" in line
    assert "others" in line
    assert len(line) < 300


# Parts of a data set

PARTS = [
    ("train", "val"),
    ("train", "val", "test"),
    ("Training", "Validation"),
    ("train2017", "val2017"),
    ("train", "dev"),
    ("images", "masks"),
    ("images", "annotations"),
    ("test", "train", "valid"),
]


@pytest.mark.parametrize("parts", PARTS)
def test_parts_of_a_data_set_are_asked_about(tmp_path: Path, parts: tuple[str, ...]) -> None:
    root = touch(tmp_path / "my set", *(f"{part}/cats/a.jpg" for part in parts))
    with pytest.raises(DataError) as asked:
        scan_folder(root, split_folders="ask")
    text = str(asked.value)
    assert "--data.split_folders merge" in text
    assert "--data.split_folders classes" in text
    assert f"--data.root '{root}/{parts[0] if parts[0] != 'test' else 'train'}'" in text
    assert "\n" not in text
    assert scan_folder(root, split_folders="classes").class_names == tuple(sorted(parts))


@pytest.mark.parametrize(
    "classes", [("train", "bus"), ("cats", "dogs"), ("train",), ("images",), ("a", "test")]
)
def test_classes_are_not_taken_for_parts(tmp_path: Path, classes: tuple[str, ...]) -> None:
    root = touch(tmp_path, *(f"{name}/a.jpg" for name in classes))
    assert scan_folder(root, split_folders="ask").class_names == tuple(sorted(classes))


def test_merged_parts_share_their_classes(tmp_path: Path) -> None:
    root = touch(tmp_path, "train/cats/a.jpg", "train/dogs/deep/b.jpg", "val/cats/c.jpg", "val/stray.jpg")
    index = scan_folder(root, split_folders="merge")
    assert index.paths == ("train/cats/a.jpg", "train/dogs/deep/b.jpg", "val/cats/c.jpg")
    assert index.class_names == ("cats", "dogs")
    np.testing.assert_array_equal(index.labels, [0, 1, 0])
    assert [reject.path for reject in index.rejected] == ["val/stray.jpg"]


def test_merged_parts_without_classes_are_one(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path / "pets", "train/a.jpg", "val/b.jpg"), split_folders="merge")
    assert index.class_names == ("pets",)
    assert len(index) == 2


def test_the_data_module_asks_and_takes_the_answer(make_folder: MakeFolder) -> None:
    root = make_folder({"train/a": 3, "train/b": 3, "test/a": 2})
    with pytest.raises(DataError, match=r"--data\.split_folders"):
        ready(root)
    assert ready(root, split_folders="merge").class_names == ("a", "b")
    assert ready(root, split_folders="classes").class_names == ("test", "train")
    assert data_module(root).split_folders == "ask"
