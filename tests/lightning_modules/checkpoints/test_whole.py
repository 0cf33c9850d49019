"""Checkpoint files and their folder: written whole, told from damaged ones, never lost."""

from __future__ import annotations

import errno
import hashlib
import io
import logging
import os
import re
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from lightning_modules.checkpoints.errors import ADVICE, CheckpointWriteError
from lightning_modules.checkpoints.hashing import HashingWriter
from lightning_modules.checkpoints.names import checksum_file, path_of, step_of
from lightning_modules.checkpoints.whole import (
    checkpoints_in,
    fault,
    newest_whole,
    point_last,
    set_aside,
    write_whole,
)
from tests.helpers.checkpoint_samples import file_size_limit


def write(folder, step, content=b"PK content of an archive"):
    path = path_of(folder, step)
    write_whole(path, lambda stream: stream.write(content))
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_digest_is_that_of_the_file_and_sha256sum_agrees(tmp_path):
    content = os.urandom(3_000_000)
    path = path_of(tmp_path / "made" / "as needed", 12)

    def in_parts(stream):
        for start in range(0, len(content), 700_001):
            stream.write(content[start : start + 700_001])

    digest = write_whole(path, in_parts)
    assert path.read_bytes() == content
    assert digest == hashlib.sha256(content).hexdigest()
    assert fault(path) is None
    assert names(path.parent) == ["step=00000012.ckpt", "step=00000012.ckpt.sha256"]
    check = ["sha256sum", "--strict", "-c", checksum_file(path).name]
    said = subprocess.run(check, cwd=path.parent, capture_output=True, text=True, check=True).stdout
    assert said == "step=00000012.ckpt: OK\n"


def test_the_file_obeys_the_umask(tmp_path):
    umask = os.umask(0o027)
    try:
        assert write(tmp_path, 1).stat().st_mode & 0o777 == 0o640
    finally:
        os.umask(umask)


def test_a_hashed_file_cannot_be_rewound(tmp_path):
    with HashingWriter(tmp_path / "file") as stream:
        assert not stream.seekable()
        with pytest.raises(io.UnsupportedOperation, match="hashed"):
            stream.seek(0)


def truncate(path):
    os.truncate(path, path.stat().st_size // 2)


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def empty(path):
    os.truncate(path, 0)


def forget_the_checksum(path):
    checksum_file(path).unlink()


def spoil_the_checksum(path):
    checksum_file(path).write_bytes(b"\xff\x00 what?\n")


def remove(path):
    path.unlink()


DAMAGE = {
    truncate: "truncated",
    flip_a_bit: "checksum is wrong",
    empty: "empty",
    forget_the_checksum: "no checksum next to it",
    spoil_the_checksum: "checksum is wrong",
}


@pytest.fixture
def archive(tmp_path):
    """The bytes of a zip archive, as checkpoints are."""
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "data").write_bytes(os.urandom(10_000))
    return Path(shutil.make_archive(str(tmp_path / "out"), "zip", tmp_path / "in")).read_bytes()


@pytest.mark.parametrize(("damage", "reason"), [*DAMAGE.items(), (remove, "missing")])
def test_a_fault_is_told_in_words(damage, reason, tmp_path, archive):
    path = write(tmp_path / "checkpoints", 1, archive)
    assert fault(path) is None
    damage(path)
    assert reason in fault(path)


def test_every_cut_is_a_fault(tmp_path, archive):
    path = write(tmp_path / "checkpoints", 1, archive)
    for size in [*range(0, len(archive), 997), len(archive) - 1]:
        path.write_bytes(archive[:size])
        assert fault(path)


def test_a_folder_is_no_checkpoint(tmp_path):
    path_of(tmp_path, 1).mkdir()
    assert fault(path_of(tmp_path, 1)) == "it is a folder"
    assert checkpoints_in(tmp_path) == []
    assert newest_whole(tmp_path) is None


def test_what_cannot_be_known_is_no_fault(tmp_path):
    path = path_of(tmp_path, 1)
    path.symlink_to(path.name)
    with pytest.raises((OSError, RuntimeError), match=r"[Ss]ymlink|symbolic"):
        fault(path)


def test_checkpoints_come_by_step(tmp_path):
    for step in (900, 1000, 99, 123_456_789):
        write(tmp_path, step)
    for name in ("last.ckpt", "step=1.ckpt.corrupt", "other.ckpt", ".step=1.ckpt.7.tmp"):
        (tmp_path / name).touch()
    assert [step_of(path) for path in checkpoints_in(tmp_path)] == [99, 900, 1000, 123_456_789]
    assert checkpoints_in(tmp_path / "nowhere") == []
    with pytest.raises(ValueError, match=r"last\.ckpt .*step=\d+\.ckpt"):
        step_of(tmp_path / "last.ckpt")


@pytest.mark.parametrize(("damage", "reason"), DAMAGE.items())
def test_a_damaged_newest_is_set_aside_and_the_one_before_used(damage, reason, tmp_path, archive, caplog):
    older, newest = (write(tmp_path / "checkpoints", step, archive) for step in (1, 2))
    point_last(older.parent, newest)
    damage(newest)
    damaged = newest.read_bytes()
    with caplog.at_level(logging.WARNING):
        assert newest_whole(older.parent) == older
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    for word in (str(newest), reason, "step=00000002.ckpt.corrupt", older.name):
        assert word in record.getMessage()
    assert newest.with_name(f"{newest.name}.corrupt").read_bytes() == damaged
    assert not newest.exists()
    assert not checksum_file(newest).exists()
    assert (older.parent / "last.ckpt").resolve() == older
    caplog.clear()
    assert newest_whole(older.parent) == older
    assert not caplog.records


def test_none_is_left_when_all_are_damaged(tmp_path, caplog):
    paths = [write(tmp_path, step) for step in (1, 2, 3)]
    point_last(tmp_path, paths[-1])
    for path in paths:
        flip_a_bit(path)
    assert newest_whole(tmp_path) is None
    for path, record in zip(reversed(paths), caplog.records, strict=True):
        assert re.findall(r"[\w=]+\.ckpt\b(?!\.)", record.getMessage()) == [path.name]  # and no other instead
    assert len([name for name in names(tmp_path) if name.endswith(".ckpt.corrupt")]) == 3
    assert "last.ckpt" not in names(tmp_path)
    assert newest_whole(tmp_path / "nowhere") is None


def test_older_ones_are_not_looked_at(tmp_path):
    older, newest = write(tmp_path, 1), write(tmp_path, 2)
    truncate(older)
    assert newest_whole(tmp_path) == newest
    assert older.exists()


def test_setting_aside_overwrites_nothing(tmp_path):
    contents = [b"first", b"second", b"third"]
    asides = [set_aside(write(tmp_path, 1, content)) for content in contents]
    assert [path.name.removeprefix("step=00000001.ckpt") for path in asides] == [
        ".corrupt",
        ".2.corrupt",
        ".3.corrupt",
    ]
    assert [path.read_bytes() for path in asides] == contents
    assert len(names(tmp_path)) == 6


@pytest.mark.parametrize("left", ["step=00000001.ckpt", "step=00000009.ckpt", None])
def test_last_is_mended_where_a_crash_came_before_it_was_moved(tmp_path, left):
    """It is left on the checkpoint before, on one that has been set aside since, or not made at all."""
    for step in (1, 2):
        write(tmp_path, step)
    if left is not None:
        (tmp_path / "last.ckpt").symlink_to(left)
    newest = newest_whole(tmp_path)
    assert newest is not None
    assert (tmp_path / "last.ckpt").resolve() == newest.resolve()
    before = (tmp_path / "last.ckpt").lstat().st_mtime_ns
    assert newest_whole(tmp_path) == newest
    assert (tmp_path / "last.ckpt").lstat().st_mtime_ns == before  # where nothing is wrong nothing is touched


def test_last_goes_where_no_checkpoint_is_left(tmp_path):
    (tmp_path / "last.ckpt").symlink_to("step=00000009.ckpt")
    assert newest_whole(tmp_path) is None
    assert not (tmp_path / "last.ckpt").is_symlink()


def test_last_is_a_relative_link(tmp_path):
    folder = tmp_path / "run"
    for step in (1, 2):
        point_last(folder, write(folder, step))
        assert os.readlink(folder / "last.ckpt") == f"step={step:08}.ckpt"  # noqa: PTH115
    moved = folder.rename(tmp_path / "moved")
    assert fault(moved / "last.ckpt") is None
    assert not [name for name in names(moved) if name.startswith(".")]


def test_replacing_one_leaves_one_line(tmp_path):
    write(tmp_path, 1, b"old")
    path = write(tmp_path, 1, b"new")
    assert path.read_bytes() == b"new"
    assert fault(path) is None
    assert len(checksum_file(path).read_text().splitlines()) == 1


class RefusedError(Exception):
    """Raised by a writer on purpose."""


def test_an_error_of_the_writer_leaves_what_was_there(tmp_path):
    path = write(tmp_path, 1, b"old")
    before = {place: place.read_bytes() for place in tmp_path.iterdir()}

    def half(stream):
        stream.write(b"half of it")
        raise RefusedError

    for place in (path, path_of(tmp_path, 2)):
        with pytest.raises(RefusedError):
            write_whole(place, half)
    assert {place: place.read_bytes() for place in tmp_path.iterdir()} == before


def test_a_file_system_that_refuses_loses_nothing(tmp_path):
    path = write(tmp_path, 1, b"old")
    before = {place: place.read_bytes() for place in tmp_path.iterdir()}

    def too_much(stream):
        for _ in range(10):
            stream.write(bytes(10_000))

    for place in (path, path_of(tmp_path, 2)):
        with file_size_limit(65_536), pytest.raises(CheckpointWriteError) as caught:
            write_whole(place, too_much, size=100_000)
        assert caught.value.errno == errno.EFBIG
        for words in (
            str(place),
            os.strerror(errno.EFBIG),
            " 0.1 MB",
            "ulimit -f",
        ):
            assert words in str(caught.value)
    assert {place: place.read_bytes() for place in tmp_path.iterdir()} == before
    assert newest_whole(tmp_path) == path


def test_a_path_through_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("in the way")
    path = path_of(tmp_path / "file" / "checkpoints", 1)
    with pytest.raises(CheckpointWriteError, match=os.strerror(errno.ENOTDIR)) as caught:
        write(path.parent, 1)
    assert ADVICE[errno.ENOTDIR] in str(caught.value)
    assert isinstance(caught.value.__cause__, NotADirectoryError)
    with pytest.raises(CheckpointWriteError, match=r"last\.ckpt"):
        point_last(path.parent, path)
    assert fault(path) == "the file is missing"


def test_an_earlier_process_of_the_same_number_leaves_no_trouble(tmp_path):
    stale = tmp_path / f".step=00000001.ckpt.{threading.get_native_id()}.tmp"
    stale.write_bytes(bytes(1000))
    assert write(tmp_path, 1, b"short").read_bytes() == b"short"
    assert not stale.exists()
