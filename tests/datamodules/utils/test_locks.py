"""Locks, and work that goes on where there are none."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from datamodules.sources.download import download
from datamodules.utils.io import whole_file
from datamodules.utils.locks import lock, open_to_lock, try_lock


@pytest.fixture
def descriptors(tmp_path: Path) -> Iterator[tuple[int, int]]:
    """One file, opened twice: as two processes do it, to the system."""
    pair = open_to_lock(tmp_path / "lock"), open_to_lock(tmp_path / "lock")
    yield pair
    for descriptor in pair:
        os.close(descriptor)


def test_a_lock_is_held_by_one(descriptors: tuple[int, int], tmp_path: Path) -> None:
    one, other = descriptors
    assert try_lock(one)
    assert not try_lock(other)
    told = threading.Event()
    waiting = threading.Thread(target=lock, args=(other, tmp_path / "lock", None, told.set))
    waiting.start()
    assert told.wait(60)
    assert waiting.is_alive()
    fcntl.flock(one, fcntl.LOCK_UN)
    waiting.join(60)
    assert not waiting.is_alive()
    assert not try_lock(one)


def test_without_locks_it_is_said_where_it_matters(
    descriptors: tuple[int, int], tmp_path: Path, no_locks: None, caplog: pytest.LogCaptureFixture
) -> None:
    assert not lock(descriptors[0], tmp_path / "lock")
    assert caplog.text == ""
    assert not lock(descriptors[0], tmp_path / "lock", "each for itself")
    assert f"({os.strerror(errno.ENOLCK)}): each for itself" in caplog.text


class Silent(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def test_without_locks_a_download_goes_on(
    tmp_path: Path, no_locks: None, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "set.tar").write_bytes(b"images")
    handler = partial(Silent, directory=str(tmp_path / "served"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_address[1]}/set.tar"
            download(url, tmp_path / "here" / "set.tar", hashlib.sha256(b"images").hexdigest())
        finally:
            server.shutdown()
            thread.join()
    assert (tmp_path / "here" / "set.tar").read_bytes() == b"images"
    assert os.strerror(errno.ENOLCK) in caplog.text


def test_without_locks_files_are_written_whole(tmp_path: Path, no_locks: None) -> None:
    with whole_file(tmp_path / "a.txt") as temporary:
        temporary.write_text("whole")
    assert [path.name for path in tmp_path.iterdir()] == ["a.txt"]
