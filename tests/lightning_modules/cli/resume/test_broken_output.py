"""Real processes whose output fails: what is trained is saved, whatever becomes of what is said."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios

import pytest

from datamodules.utils.exit_codes import RESUME
from tests.helpers.places import REPOSITORY
from tests.helpers.resuming import CHILD, latest


def read_until(descriptor: int, word: bytes) -> bytes:
    found = b""
    while word not in found:
        more = os.read(descriptor, 65536)
        assert more, found
        found += more
    return found


def start(
    what: str, step: int, args: list[str], redirection: str = "", **settings: object
) -> subprocess.Popen:
    """`child.py` as a shell starts it, with a redirection such as `>&-`."""
    command = [
        "sh",
        "-c",
        f'exec "$@" {redirection}',
        "sh",
        sys.executable,
        str(CHILD),
        what,
        str(step),
        *args,
    ]
    return subprocess.Popen(command, **{"stdin": subprocess.PIPE, **settings})


@pytest.fixture
def bars(args: list[str]) -> list[str]:
    """The command line of a run that says all that it can."""
    return [*args, "--progress_bar.refresh_rate", "1", "--trainer.max_steps", "8"]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, None], ids=["Ctrl-C", "head -1"])
def test_a_pipe_whose_reader_has_gone(bars, tmp_path, number):
    """As `fit.py 2>&1 | tee log`, where Ctrl-C ends `tee` first, and as `fit.py | head -1`."""
    reader, writer = os.pipe()
    with start("pause", 3, bars, stdout=writer, stderr=writer) as process:
        os.close(writer)
        read_until(reader, b"paused")
        os.close(reader)
        if number:
            process.send_signal(number)
        process.stdin.close()
        status = process.wait(300)
    assert (status, latest(tmp_path).checkpoint()["global_step"]) == ((RESUME, 4) if number else (0, 8))


@pytest.mark.slow
def test_a_terminal_that_is_closed(bars, tmp_path):
    """The system sends SIGHUP to what runs in it, and every write fails from then on."""
    terminal, other = os.openpty()

    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(other, termios.TIOCSCTTY, 0)

    streams = {"stdin": other, "stdout": other, "stderr": other}
    with start("pause", 3, bars, preexec_fn=take_terminal, pass_fds=[other], **streams) as process:
        os.close(other)
        read_until(terminal, b"paused")
        os.close(terminal)
        status = process.wait(300)
    assert status == RESUME
    assert latest(tmp_path).checkpoint()["global_step"] == 4


@pytest.mark.slow
@pytest.mark.parametrize("redirection", [">/dev/full 2>&1", "<&- >&- 2>&-"])
@pytest.mark.parametrize("what", ["SIGTERM", "none"])
def test_output_that_fails_from_the_beginning(bars, tmp_path, redirection, what):
    status, step = (0, 8) if what == "none" else (RESUME, 4)
    with start(what, 3, bars, redirection) as process:
        assert process.wait(300) == status
    assert latest(tmp_path).checkpoint()["global_step"] == step


@pytest.mark.slow
def test_a_terminal_that_stands_still(bars, tmp_path):
    """As after Ctrl-S, or where a connection hangs: the output is full and nobody reads."""
    reader, writer = os.pipe()
    with start("pause", 3, bars, stdout=writer, stderr=writer) as process:
        read_until(reader, b"paused")
        os.set_blocking(writer, False)
        fill(writer)
        os.set_blocking(writer, True)
        os.close(writer)
        process.send_signal(signal.SIGTERM)
        process.stdin.close()
        status = process.wait(300)
    os.close(reader)
    assert status == RESUME
    assert latest(tmp_path).checkpoint()["global_step"] == 4


def fill(descriptor: int) -> None:
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except BlockingIOError:
        pass


def test_files_of_a_process_without_output_are_whole(tmp_path):
    """A file that is opened where standard error was closed would get what is written to that."""
    program = (
        "import os, sys; from datamodules.utils.terminal import guard_output; guard_output();"
        f"file = open({str(tmp_path / 'file')!r}, 'w'); os.write(2, b'message'); os.write(1, b'message');"
        "print('x'); file.write('content'); sys.exit(7)"
    )
    run = ["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", sys.executable, "-c", program]
    assert subprocess.run(run, check=False, cwd=REPOSITORY).returncode == 7
    assert (tmp_path / "file").read_text() == "content"
