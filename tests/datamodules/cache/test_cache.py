from __future__ import annotations

import errno
import multiprocessing
import os
import pickle
import resource
import shutil
import signal
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from datamodules.cache import build as cache_build
from datamodules.cache import format as cache_format
from datamodules.cache.cache import default_cache_dir, open_cache, write_report
from datamodules.cache.pixels import MappedImages, Transform
from datamodules.decode.decode import decode_image
from datamodules.index.index import DataError, Rejected, scan_folder
from datamodules.utils.workers import Workers
from tests.helpers.cache_folders import (
    BLOCK,
    FILES,
    TRANSFORM,
    build,
    decodings,
    expected_images,
    leftovers,
    published,
)
from tests.helpers.recording import MakeFolder


def test_cache_holds_every_image_in_index_order(make_folder: MakeFolder, tmp_path: Path) -> None:
    index = scan_folder(make_folder({"a": 3, "b": 2}))
    opened = build(index, tmp_path / "cache")
    np.testing.assert_array_equal(opened.images.array, expected_images(index))
    np.testing.assert_array_equal(opened.rows, np.arange(5))
    assert opened.rejected == ()
    assert not opened.images.array.flags.writeable


def test_second_opening_does_not_decode(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = scan_folder(make_folder({"a": 3}))
    first = build(index, tmp_path / "cache")
    decoded = decodings(monkeypatch)
    second = build(index, tmp_path / "cache")
    assert decoded == []
    np.testing.assert_array_equal(first.images.array, second.images.array)


def test_unreadable_files_are_left_out_with_their_reasons(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder({"a": 4})
    (root / "a" / "0001.png").write_bytes(b"")
    (root / "a" / "0003.png").write_text("text")
    index = scan_folder(root)
    decoded = decodings(monkeypatch)
    for _ in range(2):
        opened = build(index, tmp_path / "cache")
        assert len(decoded) == 4
        np.testing.assert_array_equal(opened.rows, [0, 2])
        assert opened.images.array.shape == (2, 3, 8, 8)
        np.testing.assert_array_equal(opened.images.array[1], decode_image(root / "a" / "0002.png", 8))
        assert opened.rejected[0] == Rejected("a/0001.png", "the file is empty")
        assert opened.rejected[1].path == "a/0003.png"


def test_worker_processes_give_the_same_as_none(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder({"a": FILES})
    (root / "a" / "0002.png").write_bytes(b"")
    index = scan_folder(root)
    alone = build(index, tmp_path / "alone")
    monkeypatch.setattr(cache_build, "_PARALLEL_FROM", 1)
    together = build(index, tmp_path / "together", workers=2)
    np.testing.assert_array_equal(alone.images.array, together.images.array)
    assert alone.rejected == together.rejected
    np.testing.assert_array_equal(alone.rows, together.rows)


def test_each_transform_and_content_has_its_own_cache(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 2})
    folders = {
        open_cache(scan_folder(root), transform, tmp_path / "cache", workers=0).folder
        for transform in (TRANSFORM, Transform(6, (255, 255, 255)), Transform(8, (0, 0, 0)))
    }
    (root / "a" / "0000.png").rename(root / "a" / "0009.png")
    folders.add(build(scan_folder(root), tmp_path / "cache").folder)
    assert len(folders) == 4


def test_room_is_asked_for_before_decoding(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = scan_folder(make_folder({"a": 10}))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    decoded = decodings(monkeypatch)
    message = r"\b10 images\b.*\b8 pixels\b.* GB\b.*--data\.cache_dir.*--data\.cache false"
    with pytest.raises(DataError, match=message):
        build(index, tmp_path / "cache")
    assert decoded == []
    assert leftovers(tmp_path / "cache") == published(tmp_path / "cache") == []


def test_disk_that_fills_up_loses_nothing(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real limit on the size of a file, which the operating system enforces in mid-build."""
    index, cache_dir = scan_folder(make_folder({"a": FILES})), tmp_path / "cache"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # the write itself shall fail
    resource.setrlimit(resource.RLIMIT_FSIZE, (128 + (BLOCK + 5) * 192, before[1]))
    try:
        with pytest.raises(DataError, match=os.strerror(errno.EFBIG)):
            build(index, cache_dir)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert published(cache_dir) == []
    decoded = decodings(monkeypatch)
    np.testing.assert_array_equal(build(index, cache_dir).images.array, expected_images(index))
    assert sorted(decoded) == list(index.paths[BLOCK:])


def test_nothing_decodable_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_text("no picture")
    with pytest.raises(DataError, match=r"\b2 images\b.*\ba\.jpg \("):
        build(scan_folder(tmp_path / "images"), tmp_path / "cache")
    assert leftovers(tmp_path / "cache") == published(tmp_path / "cache") == []


def test_place_that_cannot_be_written_says_so(make_folder: MakeFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"/file\b.*--data\.cache_dir"):
        build(scan_folder(make_folder({"a": 1})), tmp_path / "file")


def test_files_of_a_worker_that_dies_are_decoded_without_it(
    make_folder: MakeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Forked(Workers):
        def __init__(self, function, count, option, method):
            super().__init__(dies, count, option, "fork")

    def dies(task: cache_build._Task) -> cache_build._Decoded:
        if multiprocessing.parent_process() is not None and task.first_row == 2 * cache_format.BLOCK_FILES:
            os.kill(os.getpid(), signal.SIGKILL)
        return decode(task)

    decode = cache_build._decode_block
    index = scan_folder(make_folder({"a": FILES}))
    monkeypatch.setattr(cache_build, "_PARALLEL_FROM", 1)
    monkeypatch.setattr(cache_build, "Workers", Forked)
    opened = build(index, tmp_path / "cache", workers=2)
    np.testing.assert_array_equal(opened.images.array, expected_images(index))
    assert "--data.workers 0" in caplog.text


def test_images_travel_as_their_path(make_folder: MakeFolder, tmp_path: Path) -> None:
    images = build(scan_folder(make_folder({"a": 50})), tmp_path / "cache").images
    packed = pickle.dumps(images)
    assert len(packed) < 1000 < images.array.nbytes
    restored = pickle.loads(packed)
    assert isinstance(restored, MappedImages)
    np.testing.assert_array_equal(restored.array, images.array)


def test_default_place_follows_the_desktop_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/ninelives")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/tabby")
    assert default_cache_dir() == Path("/home/tabby/.cache/ninelives")


def test_report_lists_one_file_a_line(tmp_path: Path) -> None:
    report = write_report(tmp_path, [Rejected("a.jpg", "the file is empty"), Rejected("\udce9.jpg", "text")])
    assert report.read_text() == "a.jpg\tthe file is empty\n\\udce9.jpg\ttext\n"
    assert write_report(tmp_path, []).read_text() == ""
    assert list(tmp_path.glob(".rejected-*")) == []
