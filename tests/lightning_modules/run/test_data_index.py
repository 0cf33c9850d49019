"""What changed in a run's images, in words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np

from datamodules.index.index import ImageIndex, scan_folder
from datamodules.index.path_table import PathTable
from lightning_modules.run.data_index import DataIndex
from lightning_modules.run.directory import RunDirectory


def index(count: int, first: int = 0, classes: int = 2) -> ImageIndex:
    """Images whose contents are numbers, in classes of equal size."""
    hashes = np.random.default_rng(0).integers(0, 256, (first + count, 16), dtype=np.uint8)[first:]
    names = tuple(f"class {number}" for number in range(classes))
    paths = PathTable.of(tuple(f"{row:08d}.png" for row in range(count)))
    labels = np.arange(count) % classes
    return ImageIndex(root=Path(), paths=paths, labels=labels, class_names=names, hashes=hashes)


def said(before: ImageIndex, now: ImageIndex) -> str:
    return DataIndex.of(now).changed_since(DataIndex.of(before))


def test_what_is_new_and_gone_is_counted():
    assert re.findall(r"\d+", said(index(266), index(283, 3))) == ["266", "283", "20", "3"]
    assert re.findall(r"\d+", said(index(10), index(8))) == ["10", "8", "0", "2"]


def test_copies_count_by_their_number():
    one = index(4)
    twice = replace(one, hashes=one.hashes[[0, 0, 1, 2]])
    assert re.findall(r"\d+", said(one, twice)) == ["4", "4", "1", "1"]


def test_the_same_images_otherwise():
    one = index(4)
    assert "other classes" in said(one, replace(one, labels=np.array([0, 0, 0, 1])))
    renamed = replace(one, paths=PathTable.of(("a", "b", "c", "d")))
    assert "other names" in said(one, renamed)
    shifted = said(one, replace(one, class_names=("class 1", "class 2")))
    assert re.search(r"\bnew\b.*: class 2;.*\bgone\b.*: class 0$", shifted)
    many = said(index(4), index(4, classes=9))
    assert re.search(r": class 2, class 3, class 4, class 5, class 6 .*\b2\b", many)


def test_it_is_read_back_for_its_own_images_alone(tmp_path, image_folder):
    kept = DataIndex.of(scan_folder(image_folder))
    kept.keep(tmp_path)
    stamp = RunDirectory(tmp_path).data_index.stat()
    kept.keep(tmp_path)
    assert RunDirectory(tmp_path).data_index.stat().st_ino == stamp.st_ino
    loaded = DataIndex.load(tmp_path, kept.fingerprint)
    assert loaded is not None
    assert re.search(r"\b24\b.*\b24\b.*other names", str(loaded.changed_since(kept)))
    assert DataIndex.load(tmp_path, "another") is None
    for content in (b"", b"PK\3\4", b"text"):
        RunDirectory(tmp_path).data_index.write_bytes(content)
        assert DataIndex.load(tmp_path, kept.fingerprint) is None
    assert re.search(r"^data: .*\b24\b", str(kept.changed_since(None)))


def test_it_takes_four_bytes_an_image(tmp_path):
    many = index(100_000)
    DataIndex.of(many).save(tmp_path)
    assert RunDirectory(tmp_path).data_index.stat().st_size < 100_000 * 4 + 3000
    found = DataIndex.load(tmp_path, many.fingerprint)
    assert DataIndex.of(index(100_000, 1000)).changed_since(found) == (
        "data: 100,000 images in the run, 100,000 now, 1,000 of them new, 1,000 gone"
    )
