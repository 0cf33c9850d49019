"""Builds of a cache that are killed, and several at once."""

from __future__ import annotations

import errno
import fcntl
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from datamodules.cache import build as cache_build
from datamodules.cache import cache
from datamodules.cache import format as cache_format
from datamodules.index.index import scan_folder
from tests.helpers.cache_folders import (
    BLOCK,
    FILES,
    TRANSFORM,
    build,
    decodings,
    expected_images,
    flip_a_byte,
    leftovers,
    published,
    until,
)
from tests.helpers.recording import MakeFolder

BUILD = """
import logging, sys
from pathlib import Path
from datamodules.cache import cache
from datamodules.cache import build as cache_build
from datamodules.index.index import scan_folder
from datamodules.cache.pixels import Transform

def wait(word):
    print(word, flush=True)
    assert sys.stdin.readline()

decoded = []
decode_block = cache_build._decode_block
def _decode_block(task):
    {in_block}
    decoded.extend(task.paths)
    return decode_block(task)
cache_build._decode_block = _decode_block

publish = cache._publish
def _publish(*args):
    {before_publishing}
    publish(*args)
cache._publish = _publish

logging.basicConfig(format="%(message)s")
files = scan_folder(Path(sys.argv[1]))
print("scanned", flush=True)
opened = cache.open_cache(files, Transform(8, (255, 255, 255)), Path(sys.argv[2]), 0)
print(len(decoded), opened.images.array.sum(dtype="int64"), flush=True)
"""
WAIT_IN_THIRD_BLOCK = {"in_block": "task.first_row == 64 and wait('halfway')", "before_publishing": "pass"}
WAIT_BEFORE_PUBLISHING = {"in_block": "pass", "before_publishing": "wait('built')"}
NO_WAIT = {"in_block": "pass", "before_publishing": "pass"}


def start(patch: dict[str, str], root: Path, cache_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD.format(**patch), str(root), str(cache_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert said(process) == "scanned"
    return process


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def complained(process: subprocess.Popen[str], word: str) -> None:
    """Return once the process has written a line with the word to stderr."""
    assert process.stderr is not None
    while word not in (line := process.stderr.readline()):
        assert line, "the process ended without saying so"


def killed_in_third_block(root: Path, cache_dir: Path) -> Path:
    """Start a build and kill it when two blocks are written; return what it leaves."""
    with start(WAIT_IN_THIRD_BLOCK, root, cache_dir) as process:
        assert said(process) == "halfway"
        (building,) = cache_dir.glob(".*.building")
        until(lambda: (building / "journal").read_bytes().count(b"\n") == 3)
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert published(cache_dir) == []
    return building


def test_killed_build_goes_on_where_it_was(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, cache_dir = make_folder({"a": FILES}), tmp_path / "cache"
    (root / "a" / "0003.png").write_bytes(b"")
    killed_in_third_block(root, cache_dir)
    index, decoded = scan_folder(root), decodings(monkeypatch)
    opened = build(index, cache_dir)
    assert sorted(decoded) == list(index.paths[2 * BLOCK :])
    assert [reject.path for reject in opened.rejected] == ["a/0003.png"]
    expected = expected_images(index.keep(opened.rows, ()))
    np.testing.assert_array_equal(opened.images.array, expected)
    assert leftovers(cache_dir) == []
    assert not (opened.folder / "journal").exists()


@pytest.mark.parametrize(
    ("damage", "kept_blocks"),
    [
        (lambda folder: flip_a_byte(folder / "images.npy", 128 + (BLOCK + 1) * 192), 1),
        (lambda folder: flip_a_byte(folder / "images.npy", 130), 0),
        (lambda folder: (folder / "images.npy").write_bytes(b""), 0),
        (lambda folder: (folder / "images.npy").unlink(), 0),
        (lambda folder: flip_a_byte(folder / "journal", -20), 1),
        (lambda folder: flip_a_byte(folder / "journal", 3), 0),
        (lambda folder: (folder / "journal").write_bytes((folder / "journal").read_bytes()[:-1]), 1),
        (lambda folder: (folder / "journal").unlink(), 0),
    ],
    ids=["pixel", "first pixel", "empty", "gone", "line", "opening line", "torn line", "no journal"],
)
def test_of_a_killed_build_nothing_unverified_is_kept(
    make_folder: MakeFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    damage: Callable[[Path], object],
    kept_blocks: int,
) -> None:
    """What is left is a plain build up to the third block; then it is damaged."""
    index, cache_dir = scan_folder(make_folder({"a": FILES})), tmp_path / "cache"

    def dies(task: cache_build._Task) -> cache_build._Decoded:
        if task.first_row == 2 * BLOCK:
            until(lambda: (building / "journal").read_bytes().count(b"\n") == 3)
            raise KeyboardInterrupt
        return decode(task)

    building = cache_dir / f".{cache_format.cache_key(index, TRANSFORM)}.building"
    decode = cache_build._decode_block
    with monkeypatch.context() as patch:
        patch.setattr(cache_build, "_decode_block", dies)
        with pytest.raises(KeyboardInterrupt):
            build(index, cache_dir)
    damage(building)
    decoded = decodings(monkeypatch)
    np.testing.assert_array_equal(build(index, cache_dir).images.array, expected_images(index))
    assert sorted(decoded) == list(index.paths[kept_blocks * BLOCK :])


def test_of_many_processes_one_builds(make_folder: MakeFolder, tmp_path: Path) -> None:
    root, cache_dir = make_folder({"a": FILES}), tmp_path / "cache"
    with (
        start(WAIT_BEFORE_PUBLISHING, root, cache_dir) as one,
        start(NO_WAIT, root, cache_dir) as two,
        start(NO_WAIT, root, cache_dir) as three,
    ):
        assert said(one) == "built"
        for process in (two, three):
            complained(process, "waiting for it")
        said_by = [process.communicate("go\n")[0].split() for process in (one, two, three)]
    assert [process.returncode for process in (one, two, three)] == [0, 0, 0]
    total = str(expected_images(scan_folder(root)).sum(dtype=np.int64))
    assert said_by == [[str(FILES), total], ["0", total], ["0", total]]
    assert len(published(cache_dir)) == 1
    assert leftovers(cache_dir) == []


def test_who_waits_takes_over_from_who_is_killed(make_folder: MakeFolder, tmp_path: Path) -> None:
    root, cache_dir = make_folder({"a": FILES}), tmp_path / "cache"
    with start(WAIT_IN_THIRD_BLOCK, root, cache_dir) as one, start(NO_WAIT, root, cache_dir) as two:
        assert said(one) == "halfway"
        complained(two, "waiting for it")
        (building,) = cache_dir.glob(".*.building")
        until(lambda: (building / "journal").read_bytes().count(b"\n") == 3)
        one.send_signal(signal.SIGKILL)
        decoded, total = two.communicate()[0].split()
    assert int(decoded) == FILES - 2 * BLOCK
    assert int(total) == expected_images(scan_folder(root)).sum(dtype=np.int64)


def test_without_locks_the_first_to_finish_publishes(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    index, cache_dir = scan_folder(make_folder({"a": 3})), tmp_path / "cache"

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "no flock here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    publish = cache._publish

    def another_is_faster(*args: object) -> None:
        monkeypatch.setattr(cache, "_publish", publish)
        build(index, cache_dir)
        publish(*args)

    monkeypatch.setattr(cache, "_publish", another_is_faster)
    np.testing.assert_array_equal(build(index, cache_dir).images.array, expected_images(index))
    assert "(no flock here)" in caplog.text
    assert len(published(cache_dir)) == 1
    assert leftovers(cache_dir) == []
