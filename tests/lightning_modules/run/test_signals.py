"""Which signals are taken, which are left alone, and which are a second request."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import subprocess
import sys
import time

import pytest

from datamodules.utils.exit_codes import RESUME
from datamodules.utils.stop_signals import STOPPING
from lightning_modules.run import signals
from lightning_modules.run.signals import (
    AGAIN_AFTER,
    Interrupted,
    Interruptions,
    SignalHandlers,
    StopRequest,
    StopSignals,
)
from tests.helpers.places import REPOSITORY


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize("number", STOPPING, ids=lambda n: n.name)
def test_who_insists(number):
    clock = Clock()
    request = StopRequest(clock)
    assert not request.note(number)
    assert request.received is number
    clock.now += 0.9 * AGAIN_AFTER
    assert not request.note(number)
    clock.now += 0.1 * AGAIN_AFTER
    assert request.note(number) == (number in (signal.SIGINT, signal.SIGTERM))


@pytest.mark.parametrize(
    ("first", "then"),
    [("SIGUSR1", "SIGTERM"), ("SIGHUP", "SIGTERM"), ("SIGTERM", "SIGINT"), ("SIGINT", "SIGHUP")],
)
def test_a_warning_and_the_end_that_it_warns_of_are_one_request(first, then):
    """A batch system sends SIGUSR1 before its SIGTERM, a service manager SIGHUP with it."""
    clock = Clock()
    request = StopRequest(clock)
    request.note(signal.Signals[first])
    clock.now += 60
    assert not request.note(signal.Signals[then])
    assert request.received is signal.Signals[first]


def test_the_handlers_are_put_back():
    before = [signal.getsignal(number) for number in STOPPING]
    with Interruptions() as outer:
        with StopSignals() as inner:
            assert all(signal.getsignal(number) == inner._handle for number in STOPPING)
        assert all(signal.getsignal(number) == outer._handle for number in STOPPING)
    assert [signal.getsignal(number) for number in STOPPING] == before


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP], ids=lambda n: n.name)
def test_what_somebody_else_handles_is_theirs(number):
    """A cloud's container has its own meaning for SIGUSR1."""
    heard = []
    before = signal.signal(number, lambda *_: heard.append(number))
    try:
        with StopSignals() as ours:
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(number, before)
    assert heard == [number]
    assert ours.received is signal.SIGINT


def test_an_interruption_is_raised_once(monkeypatch):
    dead = []
    monkeypatch.setattr(signals, "die_of", dead.append)
    with Interruptions() as handlers:
        handlers.request = StopRequest(clock := Clock())
        with pytest.raises(Interrupted) as stopped:
            signal.raise_signal(signal.SIGTERM)
        assert stopped.value.number == signal.SIGTERM
        signal.raise_signal(signal.SIGTERM)
        assert dead == []
        clock.now += AGAIN_AFTER
        signal.raise_signal(signal.SIGTERM)
    assert dead == [signal.SIGTERM]


def test_a_child_of_a_fork_dies_of_sigterm_alone(monkeypatch):
    """A loader worker, between its fork and its own handlers."""
    dead = []
    monkeypatch.setattr(signals, "die_of", dead.append)
    with StopSignals() as handlers:
        handlers._owner = 1
        for number in STOPPING:
            signal.raise_signal(number)
        assert handlers.received is None
    assert dead == [signal.SIGTERM]


def test_quit_and_pause_keep_their_meaning():
    before = signal.getsignal(signal.SIGQUIT), signal.getsignal(signal.SIGTSTP)
    with StopSignals():
        assert (signal.getsignal(signal.SIGQUIT), signal.getsignal(signal.SIGTSTP)) == before


def test_without_standard_error_nothing_is_written_to_its_number(monkeypatch):
    """The number may be that of a checkpoint."""
    written = []
    monkeypatch.setattr(sys, "__stderr__", None)
    monkeypatch.setattr(os, "write", lambda *what: written.append(what))
    with StopSignals() as handlers:
        signal.raise_signal(signal.SIGTERM)
    assert handlers.received is signal.SIGTERM
    assert written == []


def test_handlers_say_what_they_do():
    with pytest.raises(NotImplementedError):
        SignalHandlers().take(signal.SIGINT, None)


WORKERS = """
import os, signal, sys
from datamodules.utils.stop_signals import STOPPING
from datamodules.utils.workers import Workers

def works(_):
    return os.getpid()

if __name__ == "__main__":
    for number in STOPPING:
        signal.signal(number, lambda *_: None)
    workers = Workers(works, 2, "--workers", method=sys.argv[1])
    results = workers.results(range(8))
    for number in STOPPING:
        os.killpg(0, number)  # while the processes are being started
    there = {process.pid for process in workers.processes}
    first = set(results)
    for number in STOPPING:
        os.killpg(0, number)
    again = set(workers.results(range(8)))
    print(first == again == there, len(there), signal.pthread_sigmask(signal.SIG_BLOCK, ()))
"""


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_outlive_every_signal_that_their_group_gets(tmp_path, method):
    (tmp_path / "workers.py").write_text(WORKERS)
    run = subprocess.run(
        [sys.executable, str(tmp_path / "workers.py"), method],
        capture_output=True,
        text=True,
        start_new_session=True,
        timeout=60,
        check=False,
        cwd=REPOSITORY,
    )
    assert (run.returncode, run.stdout, run.stderr) == (0, "True 2 set()\n", "")


def test_a_request_that_something_has_swallowed_is_not_forgotten():
    with Interruptions():
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGHUP)
        with StopSignals() as inner:
            assert inner.received is signal.SIGHUP
        with pytest.raises(Interrupted), Interruptions():
            pytest.fail("entered")
    with StopSignals() as another:
        assert another.received is None


IMPORTED = """
import signal
try:
    signal.raise_signal({number})
    went_on = True
except:
    went_on = False
"""


@pytest.mark.parametrize("number", STOPPING, ids=lambda n: n.name)
def test_an_import_ends_before_it_is_interrupted(tmp_path, monkeypatch, number):
    """Libraries swallow exceptions while they are imported, and those in C++ abort."""
    monkeypatch.syspath_prepend(tmp_path)
    name = f"imported_during_{number.name.lower()}"
    (tmp_path / f"{name}.py").write_text(IMPORTED.format(number=int(number)))
    with pytest.raises(Interrupted) as stopped:
        _import_and_wait(name)
    assert stopped.value.number == number
    assert sys.modules[name].went_on


def _import_and_wait(name: str) -> None:
    with Interruptions():
        importlib.import_module(name)
        time.sleep(60)  # which the reminder ends
    pytest.fail("not reminded")


def test_without_a_thread_an_import_is_interrupted(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(StopRequest, "remind", lambda _: False)
    (tmp_path / "imported_without_a_thread.py").write_text(IMPORTED.format(number=int(signal.SIGINT)))
    with Interruptions():
        assert not importlib.import_module("imported_without_a_thread").went_on


def test_a_reminder_insists_on_nothing():
    clock = Clock()
    request = StopRequest(clock)
    request.note(signal.SIGINT)
    clock.now += 60
    request.reminded = True
    assert not request.note(signal.SIGINT)
    assert request.note(signal.SIGINT)


def test_an_import_that_takes_long_is_left(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(signals, "IMPORT_PATIENCE", 0.0)
    (tmp_path / "imported_for_long.py").write_text(IMPORTED.format(number=int(signal.SIGTERM)))
    left = []
    with Interruptions(left.append):
        assert not importlib.import_module("imported_for_long").went_on
    assert left == [signal.SIGTERM]


LEFT = """
from datamodules.utils.exit_codes import RESUME
from lightning_modules.cli.process import one_line_errors, run_command

def main():
    with one_line_errors("nothing was begun", stopped_status=RESUME):
        import endless

run_command(main)
"""


def test_a_command_that_is_stopped_while_it_imports_ends_soon(tmp_path):
    (tmp_path / "command.py").write_text(LEFT)
    endless = "import signal\nsignal.raise_signal(signal.SIGHUP)\nwhile True:\n    signal.pause()\n"
    (tmp_path / "endless.py").write_text(endless)
    run = subprocess.run(
        [sys.executable, str(tmp_path / "command.py")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert (run.returncode, run.stdout, run.stderr) == (RESUME, "", "\nnothing was begun\n")
