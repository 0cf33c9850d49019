from __future__ import annotations

import dataclasses
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from datamodules.index.index import DataError, Rejected, printable, scan_folder
from tests.helpers.image_files import touch
from tests.helpers.recording import MakeFolder


def test_first_level_folders_are_the_classes_of_everything_below(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path, "tabby/b.jpg", "siamese/deep/er/a.png", "siamese/z.gif"))
    assert index.paths == ("siamese/deep/er/a.png", "siamese/z.gif", "tabby/b.jpg")
    assert index.class_names == ("siamese", "tabby")
    np.testing.assert_array_equal(index.labels, [0, 0, 1])
    assert index.labels.dtype == np.int64
    assert index.rejected == ()
    assert len(index) == 3


def test_flat_folder_is_one_class_named_after_it(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path / "my cats", "b.jpg", "a.jpg"))
    assert index.class_names == ("my cats",)
    np.testing.assert_array_equal(index.labels, [0, 0])


def test_every_suffix_in_any_case_and_nothing_else(tmp_path: Path) -> None:
    names = ["a.jpg", "b.JPEG", "c.Png", "d.webp", "e.BMP", "f.gif", "g.tif", "h.TIFF"]
    index = scan_folder(touch(tmp_path, *names, "i.txt", "j.jpg.part", "k", "l.mat"))
    assert list(index.paths) == names
    assert index.rejected == ()


def test_hidden_files_and_folders_are_ignored(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path, "a.jpg", "._a.jpg", ".cache/b.jpg"))
    assert index.paths == ("a.jpg",)
    assert index.rejected == ()


def test_files_beside_class_folders_are_rejected(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path, "stray.jpg", "tabby/a.jpg"))
    assert index.paths == ("tabby/a.jpg",)
    assert [path for path, _ in index.rejected] == ["stray.jpg"]
    assert "class folders" in index.rejected[0].reason


def test_folder_without_an_image_is_no_class(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    index = scan_folder(touch(tmp_path, "notes/readme.txt", "tabby/a.jpg"))
    assert index.class_names == ("tabby",)
    (tmp_path / "flat" / "empty").mkdir(parents=True)
    assert scan_folder(touch(tmp_path / "flat", "a.jpg")).class_names == ("flat",)


def test_names_in_any_script_are_sorted_and_kept(tmp_path: Path) -> None:
    names = ["ねこ/三毛.png", "кошка/å b.jpg", "cat/😺.jpg"]
    index = scan_folder(touch(tmp_path, *names))
    assert list(index.paths) == sorted(names)
    assert index.class_names == ("cat", "кошка", "ねこ")


def test_name_that_is_no_utf8(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.jpg")
    index = scan_folder(touch(tmp_path, name))
    assert index.paths == (name,)
    assert len(index.fingerprint) == 32
    assert printable(name) == "caf\\udce9.jpg"


def test_links_are_followed_and_loops_end(tmp_path: Path) -> None:
    touch(tmp_path / "elsewhere", "b.jpg")
    root = touch(tmp_path / "root", "tabby/a.jpg")
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "tabby" / "back").symlink_to(root)
    (root / "tabby" / "self.jpg").symlink_to("self.jpg")
    index = scan_folder(root)
    assert index.paths == ("linked/b.jpg", "tabby/a.jpg")
    assert [path for path, _ in index.rejected] == ["tabby/self.jpg"]


def test_what_cannot_be_read_is_rejected_with_its_reason(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg")
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "pipe.jpg")
    index = scan_folder(tmp_path)
    assert index.paths == ("a.jpg",)
    assert index.rejected == (
        Rejected("gone.jpg", "no such file or directory"),
        Rejected("pipe.jpg", "not a regular file"),
    )


def test_folder_that_cannot_be_listed_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path, "open/a.jpg", "shut/b.jpg")
    scandir = os.scandir

    def guarded(path: str) -> object:
        if path.rstrip("/").endswith("shut"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", guarded)
    index = scan_folder(tmp_path)
    assert index.paths == ("open/a.jpg",)
    assert index.rejected == (Rejected("shut", "the folder cannot be read: Permission denied"),)


def test_fingerprint_is_of_names_labels_and_contents_but_not_of_the_place(tmp_path: Path) -> None:
    root = touch(tmp_path / "one", "x/a.jpg", "y/b.jpg")
    first = scan_folder(root)
    shutil.copytree(root, tmp_path / "two")
    assert scan_folder(tmp_path / "two").fingerprint == first.fingerprint
    touch(root, "notes.txt")
    assert scan_folder(root).fingerprint == first.fingerprint
    (root / "x/a.jpg").write_text("other")
    changed = scan_folder(root).fingerprint
    touch(root, "x/a.jpg")
    (root / "y/b.jpg").rename(root / "y/c.jpg")
    renamed = scan_folder(root).fingerprint
    (root / "y").rename(root / "z")
    moved = scan_folder(root).fingerprint
    assert len({first.fingerprint, changed, renamed, moved}) == 4


def test_copies_have_the_same_hash_and_others_do_not(tmp_path: Path) -> None:
    touch(tmp_path, "a.jpg", "b.jpg")
    shutil.copy(tmp_path / "a.jpg", tmp_path / "c.jpg")
    hashes = scan_folder(tmp_path).hashes
    assert (hashes.shape, hashes.dtype) == ((3, 16), np.uint8)
    assert (hashes[0] == hashes[2]).all()
    assert (hashes[0] != hashes[1]).any()


def test_index_cannot_be_changed(make_folder: MakeFolder) -> None:
    index = scan_folder(make_folder({"a": 2}))
    with pytest.raises(ValueError, match="read-only"):
        index.labels[0] = 1
    with pytest.raises(ValueError, match="read-only"):
        index.hashes[0] = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        index.paths = ()  # type: ignore[misc]


def test_keep_drops_classes_that_have_no_image_left(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path, "a/1.jpg", "b/2.jpg", "c/3.jpg", "stray.jpg"))
    kept = index.keep(np.array([0, 2]), (Rejected("b/2.jpg", "the file is empty"),))
    assert kept.paths == ("a/1.jpg", "c/3.jpg")
    assert kept.class_names == ("a", "c")
    np.testing.assert_array_equal(kept.labels, [0, 1])
    np.testing.assert_array_equal(kept.hashes, index.hashes[[0, 2]])
    assert [path for path, _ in kept.rejected] == ["b/2.jpg", "stray.jpg"]


def test_missing_folder_names_the_nearest_one(tmp_path: Path) -> None:
    (tmp_path / "my_images").mkdir()
    with pytest.raises(DataError, match=r"my_imags .*my_images\?"):
        scan_folder(tmp_path / "my_imags")
    with pytest.raises(DataError, match=r"qqq [^?]+$"):
        scan_folder(tmp_path / "no" / "qqq")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a\.jpg .*file"):
        scan_folder(touch(tmp_path, "a.jpg") / "a.jpg")


def test_folder_without_images_says_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.jpg \.jpeg \.png"):
        scan_folder(touch(tmp_path, "a.txt"))
    (tmp_path / "gone.jpg").symlink_to(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"\b1 rejected\b.*gone\.jpg \("):
        scan_folder(tmp_path)


def test_paths_are_sorted_as_strings_whatever_the_tree(tmp_path: Path) -> None:
    names = [
        "a/x.jpg",
        "a/b/x.jpg",
        "a/b.jpg",
        "a/b-c/x.jpg",
        "a-b/x.jpg",
        "a b/x.jpg",
        "b/ü.jpg",
        "b/z.jpg",
        "A/x.jpg",
    ]
    index = scan_folder(touch(tmp_path, *names))
    assert list(index.paths) == sorted(names)
    assert index.class_names == ("A", "a", "a b", "a-b", "b")
    classes = [index.class_names[label] for label in index.labels]
    assert classes == [path.split("/")[0] for path in index.paths]


def test_names_with_line_breaks_and_escapes_are_kept_and_shown_harmless(tmp_path: Path) -> None:
    names = [" a b /two\nlines.jpg", "x/\x1b[31mred.jpg", "x/tab\t.jpg", "x/'quotes\".jpg"]
    index = scan_folder(touch(tmp_path, *names))
    assert list(index.paths) == sorted(names)
    assert printable(names[0]) == " a b /two\\nlines.jpg"
    assert printable(names[1]) == "x/\\x1b[31mred.jpg"
    assert printable("ねこ/😺 é.jpg") == "ねこ/😺 é.jpg"


def test_long_paths_and_deep_trees(tmp_path: Path) -> None:
    long = "/".join(["n" * 140, "m" * 140, "ö" * 100 + ".jpg"])
    deep = "d/" * 600 + "x.jpg"
    index = scan_folder(touch(tmp_path, long, deep))
    assert list(index.paths) == [deep, long]
    assert len(long) > 300
    assert len(index.class_names) == 2


def test_other_files_are_counted(tmp_path: Path) -> None:
    index = scan_folder(touch(tmp_path, "a.jpg", "b.HEIC", "c.heic", "notes", "d.txt"))
    assert index.ignored == (("", 1), (".heic", 2), (".txt", 1))
    with pytest.raises(DataError, match=r": 2 \.heic, 1 \.txt"):
        scan_folder(touch(tmp_path / "only", "b.heic", "c.heic", "d.txt"))
