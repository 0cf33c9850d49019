from __future__ import annotations

import errno
import os
import pickle
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from recording import MakeFolder

from datamodules import cache, cache_build, cache_format
from datamodules.cache import ImageCache, default_cache_dir, open_cache, write_report
from datamodules.decode import decode_image
from datamodules.index import DataError, ImageIndex, Rejected, scan_folder
from datamodules.pixels import MappedImages, Transform

TRANSFORM = Transform(8, (255, 255, 255))
BLOCK = cache_format.BLOCK_FILES
FILES = 3 * BLOCK + 4

BUILD = """
import logging, sys
from pathlib import Path
from datamodules import cache, cache_build
from datamodules.index import scan_folder
from datamodules.pixels import Transform

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


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def published(cache_dir: Path) -> list[Path]:
    return [path for path in cache_dir.iterdir() if not path.name.startswith(".")]


def leftovers(cache_dir: Path) -> list[str]:
    """What is neither a cache nor the lock of one."""
    return [p.name for p in cache_dir.iterdir() if p.name.startswith(".") and p.suffix != ".lock"]


def expected_images(index: ImageIndex) -> np.ndarray:
    return np.stack([decode_image(index.root / path, 8) for path in index.paths])


def decodings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are decoded from now on."""
    seen: list[str] = []
    decode = cache_build._decode_block
    monkeypatch.setattr(cache_build, "_decode_block", lambda task: (seen.extend(task.paths), decode(task))[1])
    return seen


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


def build(index: ImageIndex, cache_dir: Path, workers: int = 0) -> ImageCache:
    return open_cache(index, TRANSFORM, cache_dir, workers)


def test_cache_holds_every_image_in_index_order(make_folder: MakeFolder, tmp_path: Path) -> None:
    index = scan_folder(make_folder({"a": 3, "b": 2}))
    opened = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
    expected = np.stack([decode_image(index.root / path, 8) for path in index.paths])
    np.testing.assert_array_equal(opened.images.array, expected)
    np.testing.assert_array_equal(opened.rows, np.arange(5))
    assert opened.rejected == ()
    assert not opened.images.array.flags.writeable


def test_second_opening_does_not_decode(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = scan_folder(make_folder({"a": 3}))
    first = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
    decoded = decodings(monkeypatch)
    second = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
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
        opened = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
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
    alone = open_cache(index, TRANSFORM, tmp_path / "alone", workers=0)
    monkeypatch.setattr(cache_build, "_PARALLEL_FROM", 1)
    together = open_cache(index, TRANSFORM, tmp_path / "together", workers=2)
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
    folders.add(open_cache(scan_folder(root), TRANSFORM, tmp_path / "cache", workers=0).folder)
    assert len(folders) == 4


# Killed and continued


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


def flip_a_byte(path: Path, place: int) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


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


# Several at once


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
        raise NotImplementedError("no flock here")

    monkeypatch.setattr(cache.FileLock, "acquire", refuse)
    publish = cache._publish

    def another_is_faster(*args: object) -> None:
        monkeypatch.setattr(cache, "_publish", publish)
        build(index, cache_dir)
        publish(*args)

    monkeypatch.setattr(cache, "_publish", another_is_faster)
    np.testing.assert_array_equal(build(index, cache_dir).images.array, expected_images(index))
    assert "cannot be locked (no flock here)" in caplog.text
    assert len(published(cache_dir)) == 1
    assert leftovers(cache_dir) == []


# Damaged and outdated


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
    assert "is damaged" in caplog.text
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
            assert "from number 20 on" in str(error)  # noqa: PT017
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


# No room


def test_room_is_asked_for_before_decoding(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = scan_folder(make_folder({"a": 10}))
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9 - 1000, 1000))
    decoded = decodings(monkeypatch)
    message = r"10 images of 8 pixels need .* GB are free; .*--data\.cache_dir.*--data\.cache false"
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
        with pytest.raises(DataError, match=r"cannot be written .*File too large"):
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
    with pytest.raises(DataError, match=r"none of the 2 images .* the first is a\.jpg \(not an image"):
        open_cache(scan_folder(tmp_path / "images"), TRANSFORM, tmp_path / "cache", workers=0)
    assert leftovers(tmp_path / "cache") == published(tmp_path / "cache") == []


def test_place_that_cannot_be_written_says_so(make_folder: MakeFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written to .*file .*--data\.cache_dir"):
        open_cache(scan_folder(make_folder({"a": 1})), TRANSFORM, tmp_path / "file", workers=0)


def test_worker_that_dies_is_an_error(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: object) -> None:
        raise cache_build.BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(cache_build, "_decode_block", dies)
    with pytest.raises(DataError, match=r"want of memory; try again with fewer --data\.workers"):
        open_cache(scan_folder(make_folder({"a": 2})), TRANSFORM, tmp_path / "cache", workers=1)
    assert leftovers(tmp_path / "cache") == published(tmp_path / "cache") == []


def test_images_travel_as_their_path(make_folder: MakeFolder, tmp_path: Path) -> None:
    images = open_cache(scan_folder(make_folder({"a": 50})), TRANSFORM, tmp_path / "cache", workers=0).images
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


def test_want_of_memory_is_no_damage(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = scan_folder(make_folder({"a": 3}))
    built = open_cache(files, TRANSFORM, tmp_path / "cache", 0)
    before = {path: path.stat().st_mtime_ns for path in built.folder.iterdir()}

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr("datamodules.cache.check_images", refuse)
    with pytest.raises(OSError, match="Cannot allocate memory"):
        open_cache(files, TRANSFORM, tmp_path / "cache", 0)
    assert {path: path.stat().st_mtime_ns for path in built.folder.iterdir()} == before
