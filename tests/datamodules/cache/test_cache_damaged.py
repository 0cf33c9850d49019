"""Caches that are damaged, outdated or seem to be."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from datamodules.cache import build as cache_build
from datamodules.cache import format as cache_format
from datamodules.index.index import scan_folder
from tests.helpers.cache_folders import (
    FILES,
    TRANSFORM,
    build,
    expected_images,
    flip_a_byte,
    leftovers,
    published,
)
from tests.helpers.recording import MakeFolder


@pytest.mark.parametrize("name", ["images.npy", "cache.json"])
@pytest.mark.parametrize("keep", [0, 100, -1])
def test_cache_cut_short_is_built_again(
    make_folder: MakeFolder, tmp_path: Path, name: str, keep: int, caplog: pytest.LogCaptureFixture
) -> None:
    index = scan_folder(make_folder({"a": 3}))
    damaged = build(index, tmp_path / "cache").folder / name
    content = damaged.read_bytes()
    damaged.write_bytes(content[: keep if keep < 0 else min(keep, len(content) // 2)])
    if (name, keep) == ("cache.json", -1):
        damaged.write_bytes(content[:-2])  # the last byte alone is the end of the line
    again = build(index, tmp_path / "cache")
    np.testing.assert_array_equal(again.images.array, expected_images(index))
    assert str(damaged.parent) in caplog.text
    assert published(tmp_path / "cache") == [again.folder]
    assert leftovers(tmp_path / "cache") == []


@pytest.mark.parametrize(("name", "place"), [("images.npy", 140), ("images.npy", -1), ("cache.json", 30)])
def test_cache_with_a_flipped_bit_is_built_again(
    make_folder: MakeFolder, tmp_path: Path, name: str, place: int
) -> None:
    index = scan_folder(make_folder({"a": FILES}))
    flip_a_byte(build(index, tmp_path / "cache").folder / name, place)
    np.testing.assert_array_equal(build(index, tmp_path / "cache").images.array, expected_images(index))


def test_every_block_is_looked_at_sooner_or_later(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = scan_folder(make_folder({"a": 20 * 2}))
    for module in (cache_build, cache_format):
        monkeypatch.setattr(module, "BLOCK_FILES", 2)
    folder = build(index, tmp_path / "cache").folder
    flip_a_byte(folder / "images.npy", 128 + 21 * 192)
    blocks = cache_format.read_blocks(folder, folder.name)

    def found() -> bool:
        try:
            cache_format.check_images(folder, blocks, len(index), TRANSFORM)
        except ValueError as error:
            assert " 20 " in str(error)  # noqa: PT017
            return True
        return False

    assert any(found() for _ in range(500))  # one in three openings


def test_another_format_or_decoder_has_another_name(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = scan_folder(make_folder({"a": 1}))
    names = {cache_format.cache_key(index, TRANSFORM)}
    for constant in ("FORMAT_VERSION", "TRANSFORM_VERSION"):
        with monkeypatch.context() as patch:
            patch.setattr(cache_format, constant, 99)
            names.add(cache_format.cache_key(index, TRANSFORM))
    assert len(names) == 3


def test_want_of_memory_is_no_damage(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = scan_folder(make_folder({"a": 3}))
    built = build(files, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in built.folder.iterdir()}

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("datamodules.cache.cache.check_images", refuse)
    with pytest.raises(OSError, match=os.strerror(errno.ENOMEM)):
        build(files, tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in built.folder.iterdir()} == before
