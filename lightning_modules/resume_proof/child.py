"""One training process of the proof, forked from a process that has imported everything, or a new one."""

from __future__ import annotations

import faulthandler
import json
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

from datamodules.utils.stop_signals import STOPPING
from lightning_modules.resume_proof.kills import Moment


@dataclass(frozen=True)
class AttemptSettings:
    """What a training process is to do.

    Attributes:
        args: Its command line, that of `ninelives fit`.
        log: File for what it prints.
        file_size_limit: Largest file that the system lets it write, in bytes.
        moment: Where in the writing of a checkpoint it is to kill itself.
        moment_from: The micro-batch from which on.
        output: File for its standard output alone, where that is to be apart.
    """

    args: tuple[str, ...]
    log: str
    file_size_limit: int | None = None
    moment: Moment | None = None
    moment_from: int = 0
    output: str | None = None


@dataclass(frozen=True)
class Child:
    """A training process, seen from the one that watches it.

    Attributes:
        pid: The process; its session has the same number.
        ended: File descriptor that is ready to be read when the process has ended.
        reports: File descriptor of the pipe that it reports through.
        status: Gives its exit status, -N if it died of signal N, or None while it lives.
    """

    pid: int
    ended: int
    reports: int
    status: Callable[[], int | None]


def fork_child(settings: AttemptSettings) -> Child:
    """Fork a training process from multiprocessing's fork server, in a fraction of a second.

    The server is a process that has imported torch and Lightning and computed nothing; it is started on
    first use and ends with this process.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["lightning_modules.cli.fit", "lightning_modules.resume_proof.recorder"])
    reports, pipe = os.pipe()
    with Connection(pipe, readable=False) as connection:
        method = multiprocessing.get_start_method()
        process = context.Process(target=_live_forked, args=(settings, connection, method))
        process.start()
    assert process.pid is not None
    return Child(process.pid, process.sentinel, reports, lambda: process.exitcode)


def start_child(settings: AttemptSettings) -> Child:
    """Start a training process with an interpreter of its own, as `ninelives fit` does."""
    reports, pipe = os.pipe()
    command = [sys.executable, "-m", __name__, str(pipe), json.dumps(asdict(settings))]
    process = subprocess.Popen(command, pass_fds=[pipe], stdin=subprocess.DEVNULL, start_new_session=True)
    os.close(pipe)
    return Child(process.pid, _end_of(process), reports, process.poll)


def _end_of(process: subprocess.Popen[bytes]) -> int:
    """Return a descriptor that can be read from once a process has ended."""
    if hasattr(os, "pidfd_open"):
        return os.pidfd_open(process.pid)
    ended, ending = os.pipe()  # macOS

    def wait() -> None:
        process.wait()
        os.close(ending)

    threading.Thread(target=wait, name="end-of-child", daemon=True).start()
    return ended


def live(settings: AttemptSettings, pipe: int) -> None:
    """Train as ordered, in this process."""
    for descriptor, path in ((1, settings.output or settings.log), (2, settings.log)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644), descriptor)
    faulthandler.enable(2)  # a process that hangs is asked for its stacks with SIGABRT
    for number in STOPPING:  # also where the proof itself runs in the background, with SIGINT ignored
        signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
    sys.argv = ["ninelives"]
    os.write(pipe, b"alive\n")
    try:
        _train(settings, pipe)
    except KeyboardInterrupt:  # what an interpreter makes of one that nobody has caught
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # past training there is nothing to interrupt


def _train(settings: AttemptSettings, pipe: int) -> None:
    import logging

    from lightning_modules.cli.fit import fit
    from lightning_modules.resume_proof.recorder import ErrorReports, KillTimer, Recorder, Reporter

    if settings.file_size_limit is not None:
        limit = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (settings.file_size_limit, limit[1]))
    reporter = Reporter(pipe)
    logging.getLogger("lightning_modules").addHandler(ErrorReports(reporter))
    timer = KillTimer(reporter, settings.moment, settings.moment_from)
    timer.start()
    fit(settings.args, [Recorder(reporter, timer)])


def _live_forked(settings: AttemptSettings, connection: Connection, method: str) -> None:
    os.setsid()
    multiprocessing.set_start_method(
        method, force=True
    )  # of loader workers: what it is without a fork server
    live(settings, connection.fileno())


def _main() -> None:
    pipe, text = sys.argv[1:]
    fields = json.loads(text)
    moment = Moment(fields["moment"]) if fields["moment"] else None
    settings = AttemptSettings(**{**fields, "args": tuple(fields["args"]), "moment": moment})
    if not Path(settings.log).parent.is_dir():
        raise FileNotFoundError(settings.log)
    live(settings, int(pipe))


if __name__ == "__main__":
    _main()
