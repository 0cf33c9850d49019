"""Bars on terminals and lines in logs, and streams that never raise."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from typing import Any

import pytest

from datamodules.utils.progress import LogLines, progress, time_text
from datamodules.utils.terminal import UnfailingStream, guarded_output, is_terminal, unfailing
from tests.helpers.places import REPOSITORY


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("tqdm.std.time", clock)
    return clock


def test_a_log_gets_a_line_every_half_minute(clock):
    log = io.StringIO()
    with progress(total=100_000, desc="decoding images", unit="image", file=log) as bar:
        for _ in range(10):
            clock.now += 7
            bar.update(1000)
        clock.now += 1
    said = log.getvalue().splitlines()
    assert said[0] == "decoding images: 5,000 of 100,000 images, 143 images/s, 11 min left"
    assert len(said) == 2
    assert said[1].startswith("decoding images: 10,000 of 100,000 images")
    assert "\r" not in log.getvalue()


@pytest.mark.parametrize("leave", [True, False])
def test_what_is_soon_done_says_nothing_in_a_log(clock, leave):
    log = io.StringIO()
    for _ in progress(range(20), desc="x", file=log, leave=leave):
        clock.now += 1
    assert log.getvalue() == ""


def test_sizes_stay_readable(clock):
    log = io.StringIO()
    with progress(total=4 * 10**9, desc="cats.tar", unit="B", unit_scale=True, file=log) as bar:
        clock.now += 40
        bar.update(10**9)
    assert log.getvalue() == "cats.tar: 1.00GB of 4.00GB, 25.0MB/s, 2 min left\n"


def test_a_terminal_gets_a_bar(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    with progress(total=4, desc="x", unit="image", file=screen) as bar:
        bar.update(4)
    assert not isinstance(bar, LogLines)
    assert "\rx: 100%|" in screen.getvalue()


@pytest.mark.parametrize(("kind", "terminal"), [("dumb", False), ("xterm", True)])
def test_a_dumb_terminal_is_a_log(monkeypatch, kind, terminal):
    monkeypatch.setenv("TERM", kind)
    screen = io.StringIO()
    screen.isatty = lambda: True  # type: ignore[method-assign]
    assert is_terminal(screen) == terminal


def test_a_terminal_without_a_size_shows_its_bar():
    """As `docker exec -t` makes them."""
    program = (
        "import sys; from datamodules.utils.progress import progress; "
        "list(progress(range(3), desc='counting'))"
    )
    ours, theirs = os.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=REPOSITORY, env=environment, **streams
    ) as child:
        os.close(theirs)
        said = b""
        while b"100%" not in said:
            said += os.read(ours, 4096)
    os.close(ours)
    assert child.returncode == 0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.2, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (3599, "1 h 0 min"),
        (5000, "1 h 23 min"),
        (90000, "1 d 1 h"),
    ],
)
def test_times(seconds, text):
    assert time_text(seconds) == text


class Failing(io.StringIO):
    """A stream that refuses, until it does not."""

    error: Exception | None = None

    def write(self, text: str) -> int:
        if self.error is not None:
            raise self.error
        return super().write(text)

    def flush(self) -> None:
        if self.error is not None:
            raise self.error


ERRORS: list[Any] = [
    *(OSError(number, "refused") for number in (errno.EPIPE, errno.EIO, errno.ENOSPC, errno.EBADF)),
    BlockingIOError(),
    ValueError("I/O operation on closed file."),
]


@pytest.mark.parametrize("error", ERRORS, ids=repr)
def test_a_stream_that_refuses_is_written_to_again_when_it_does_not(error):
    inner = Failing()
    stream = unfailing(inner)
    inner.error = error
    assert stream.write("lost") == 4
    print("lost too", file=stream, flush=True)
    stream.writelines(["and", "this"])
    inner.error = None
    stream.write("there")
    assert inner.getvalue() == "there"


def test_no_stream_at_all(monkeypatch):
    """`sys.stdout` is none where the descriptor was closed."""
    monkeypatch.setattr(sys, "stdout", None)
    monkeypatch.setattr(sys, "stderr", None)
    with guarded_output():
        print("x", flush=True)
        assert not sys.stdout.isatty()
        list(progress(range(3)))
    assert sys.stdout is None


def test_a_closed_stream():
    inner = io.StringIO()
    inner.close()
    stream = UnfailingStream(inner)
    print("x", file=stream, flush=True)
    assert not stream.isatty()


def test_what_an_encoding_lacks_is_written_in_another_way():
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "ascii", write_through=True)
    print("Käse \udcff 😀", file=unfailing(stream))
    assert raw.getvalue() == b"K\\xe4se \\udcff \\U0001f600\n"


def test_a_reader_that_takes_nothing_is_waited_for_once():
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with os.fdopen(writer, "w", buffering=1) as pipe, os.fdopen(reader, "rb", buffering=0) as read:
        stream = UnfailingStream(pipe, patience=0.01)
        size = 0
        while not stream._stalled:
            size += stream.write("x" * 99 + "\n")
        os.set_blocking(writer, True)
        stream.write("lost\n")
        while size > 0:
            size -= len(read.read(min(size, 2**16)))
            if stream._takes_more():
                break
        stream.write("there\n")
        pipe.close()
        assert read.read().endswith(b"there\n")


def test_the_output_is_as_before_behind_the_block():
    before = sys.stdout, sys.stderr
    with guarded_output():
        assert isinstance(sys.stdout, UnfailingStream)
        with guarded_output():
            assert isinstance(sys.stdout._stream, type(before[0]))
        assert isinstance(sys.stdout, UnfailingStream)
    assert (sys.stdout, sys.stderr) == before
