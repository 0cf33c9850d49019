"""Files that are whole or not there: the order of what reaches the disk, errors, JSON and hashes."""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from datamodules.utils import io
from datamodules.utils.io import atomic_write, file_digest, read_json, whole_file, write_json, write_text


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """What reaches the disk, in its order: synced files and folders by kind and name, and renames."""
    seen: list[tuple[str, str]] = []
    fsync, replace = os.fsync, Path.replace

    def synced(descriptor: int) -> None:
        place = Path(os.readlink(f"/proc/self/fd/{descriptor}"))  # noqa: PTH115
        seen.append(("folder" if place.is_dir() else "file", place.name))
        fsync(descriptor)

    def renamed(self: Path, target: Path) -> Path:
        seen.append(("rename", target.name))
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(Path, "replace", renamed)
    return seen


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="the names of descriptors are Linux's")
def test_the_bytes_are_on_the_disk_before_the_name_and_the_name_after_it(
    tmp_path: Path, events: list[tuple[str, str]]
) -> None:
    temporary = f".a.txt.{threading.get_native_id()}.tmp"
    writes: list[Any] = [
        lambda path: write_text(path, "text"),
        lambda path: write_json(path, {"a": 1}),
    ]
    for write in writes:
        events.clear()
        write(tmp_path / "a.txt")
        assert events == [("file", temporary), ("rename", "a.txt"), ("folder", tmp_path.name)]
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.bin"
    for content, fails in ((b"old", False), (b"new", True)):
        try:
            with atomic_write(path) as file:
                file.write(content)
                if fails:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            pass
    assert path.read_bytes() == b"old"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_system_that_cannot_sync_a_folder_is_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answers(number: int) -> None:
        fsync = os.fsync

        def refuse(descriptor: int) -> None:
            if os.fstat(descriptor).st_mode & 0o040000:
                raise OSError(number, os.strerror(number))
            fsync(descriptor)

        monkeypatch.setattr(os, "fsync", refuse)

    answers(errno.EINVAL)
    write_text(tmp_path / "a", "whole")
    assert (tmp_path / "a").read_text() == "whole"
    answers(errno.EIO)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_text(tmp_path / "b", "whole")


def test_threads_do_not_share_a_temporary_file(tmp_path: Path) -> None:
    names: list[str] = []
    both = threading.Barrier(2, timeout=60)

    def write() -> None:
        with whole_file(tmp_path / "a") as temporary:
            names.append(temporary.name)
            both.wait()

    threads = [threading.Thread(target=write) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 2


def test_json_is_strict_unless_it_is_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_json(path, {"é": [1, None, "x"]}, ensure_ascii=False)
    assert read_json(path) == {"é": [1, None, "x"]}
    assert "é" in path.read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"a": math.inf})
    write_json(path, {"a": math.inf, "b": Path("x")}, allow_nan=True, default=str)
    assert json.loads(path.read_text()) == {"a": math.inf, "b": "x"}


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff", b'"text"'])
def test_damage_is_told_with_the_file_and_what_to_do(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json") as caught:
        read_json(path, "delete it")
    assert "delete it" in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        read_json(tmp_path / "none.json", "delete it")


def test_a_digest_is_sha_256(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"content")
    assert file_digest(tmp_path / "a") == hashlib.sha256(b"content").hexdigest()
    with (tmp_path / "a").open("rb") as file:
        file.seek(3)
        assert io.stream_digest(file) == hashlib.sha256(b"tent").hexdigest()
