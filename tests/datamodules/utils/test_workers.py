"""Worker processes that die, hang, cannot start, or are left alone."""

from __future__ import annotations

import errno
import faulthandler
import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from datamodules.utils import workers
from datamodules.utils.workers import Workers
from tests.helpers.cache_folders import until
from tests.helpers.recording import MakeFolder, assert_same, first, ready


def in_worker() -> bool:
    return multiprocessing.parent_process() is not None


def squares(task: int) -> tuple[int, np.ndarray]:
    return task * task, np.full((3, 1000), task, np.uint8)


def assert_squares(results: Iterator[tuple[int, np.ndarray]], count: int) -> None:
    for task, (square, array) in enumerate(islice(results, count)):
        assert square == task * task
        np.testing.assert_array_equal(array, squares(task)[1])
        array += 1  # it may be written to


def at_task(number: int, happens: Callable[[], object]) -> Callable[[int], tuple[int, np.ndarray]]:
    """`squares`, and something that happens to the worker that is given a task."""

    def function(task: int) -> tuple[int, np.ndarray]:
        if task == number and in_worker():
            happens()
        return squares(task)

    return function


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("count", [0, 1, 3])
@pytest.mark.parametrize("tasks", [0, 1, 2, 10])
def test_results_come_in_the_order_of_the_tasks(
    count: int, tasks: int, caplog: pytest.LogCaptureFixture
) -> None:
    pool = Workers(squares, count, "--some.option")
    for _ in range(2):
        assert_squares(pool.results(range(tasks)), tasks)
    assert len(pool.processes) == count
    pool.close()
    assert pool.processes == ()
    assert_squares(pool.results(range(tasks)), tasks)
    pool.close()
    assert caplog.text == ""


@pytest.mark.slow
def test_spawned_workers_give_the_same() -> None:
    pool = Workers(squares, 1, "--some.option", method="spawn")
    assert_squares(pool.results(range(5)), 5)
    assert len(pool.processes) == 1
    pool.close()


def test_an_iteration_that_was_left_does_not_disturb_the_next() -> None:
    pool = Workers(squares, 2, "--some.option")
    left = pool.results(range(100, 200))
    assert next(left)[0] == 100**2
    assert_squares(pool.results(range(6)), 6)
    pool.close()


@pytest.mark.parametrize(
    ("happens", "said"),
    [
        (lambda: os.kill(os.getpid(), signal.SIGKILL), "SIGKILL"),
        (lambda: (faulthandler.disable(), os.kill(os.getpid(), signal.SIGSEGV)), "SIGSEGV"),
        (lambda: os._exit(3), "status 3"),
        (lambda: os.kill(os.getpid(), signal.SIGSTOP), "answered"),
        (signal.pause, "answered"),
    ],
    ids=["killed", "crashed", "exited", "stopped", "hangs"],
)
@pytest.mark.parametrize("task", [0, 4])
def test_a_worker_that_fails_is_replaced_by_this_process(
    happens: Callable[[], object], said: str, task: int, caplog: pytest.LogCaptureFixture
) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    pool = Workers(at_task(task, happens), 2, "--some.option", silence=1.0)
    results = pool.results(range(9))
    started = [process.pid for process in pool.processes]
    assert len(started) == 2
    assert_squares(results, 9)
    (warning,) = caplog.messages
    assert said in warning
    assert "--some.option 0" in warning
    assert "\n" not in warning
    assert pool.processes == ()
    assert not any(alive(pid) for pid in started if pid)
    assert_squares(pool.results(range(5)), 5)  # and it stays with this process
    assert len(caplog.messages) == 1


def test_a_worker_killed_in_the_middle_of_a_result(caplog: pytest.LogCaptureFixture) -> None:
    def large(task: int) -> np.ndarray:
        return np.full(3_000_000, task, np.uint8)

    pool = Workers(large, 1, "--some.option")
    results = pool.results(range(4))
    np.testing.assert_array_equal(next(results), large(0))
    pool.processes[0].kill()  # it has more to send than the connection holds
    for task in (1, 2, 3):
        np.testing.assert_array_equal(next(results), large(task))
    assert "--some.option 0" in caplog.text


def test_little_time_is_not_spent_on_a_silent_worker(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(workers, "_HURRIED_SILENCE_S", 0.1)
    pool = Workers(at_task(3, signal.pause), 2, "--some.option", silence=1e9)
    pool.hurry = lambda: True
    assert_squares(pool.results(range(6)), 6)
    assert "--some.option 0" in caplog.text


@pytest.mark.parametrize("error", [errno.EAGAIN, errno.ENOMEM])
def test_processes_that_cannot_be_started(
    error: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    forks: list[int] = []
    fork = os.fork

    def one_and_no_more() -> int:
        if forks:
            raise OSError(error, os.strerror(error))
        forks.append(fork())
        return forks[0]

    monkeypatch.setattr(os, "fork", one_and_no_more)
    pool = Workers(squares, 3, "--some.option", method="fork")
    assert_squares(pool.results(range(5)), 5)
    (warning,) = caplog.messages
    assert os.strerror(error) in warning
    assert not alive(forks[0])


def test_too_few_file_descriptors(caplog: pytest.LogCaptureFixture) -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    pool = Workers(squares, 50, "--some.option")
    used = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    resource.setrlimit(resource.RLIMIT_NOFILE, (used + 12, before[1]))
    try:
        assert_squares(pool.results(range(5)), 5)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert os.strerror(errno.EMFILE) in caplog.text


def test_an_error_of_the_function_is_raised_here(caplog: pytest.LogCaptureFixture) -> None:
    class OwnError(Exception):
        """Which cannot travel."""

        def __init__(self, one: int, two: int) -> None:
            super().__init__("own")

    def function(task: int) -> int:
        if task == 2:
            raise OwnError(1, 2)
        return task

    pool = Workers(function, 2, "--some.option")
    results = pool.results(range(5))
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(OwnError):
        next(results)
    pool.close()
    assert caplog.text == ""


def test_workers_outlive_the_signals_of_their_group(caplog: pytest.LogCaptureFixture) -> None:
    pool = Workers(squares, 2, "--some.option")
    results = pool.results(range(10))
    for process in pool.processes:  # also at once, before a worker can have decided anything
        for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1"):
            os.kill(process.pid or 0, getattr(signal, name))
    assert_squares(results, 10)
    pool.close()
    assert caplog.text == ""


LEFT_ALONE = """
import os, signal, sys
import numpy as np
from datamodules.utils.workers import Workers
one, two = (Workers(lambda task: np.zeros(10**7, np.uint8), 2, "--some.option", method="fork") for _ in "ab")
for pool in (one, two):
    next(pool.results(range(9)))  # each then waits for somebody to take the rest
print(*(process.pid for pool in (one, two) for process in pool.processes), flush=True)
if sys.argv[1] == "killed":
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("how", ["killed", "ends"])
def test_workers_end_with_their_process(how: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEFT_ALONE, how], stdout=subprocess.PIPE, text=True, timeout=60, check=False
    )
    assert done.returncode == (-signal.SIGKILL if how == "killed" else 0)
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 4
    until(lambda: not any(alive(pid) for pid in pids))


def test_loading_needs_no_shared_memory(
    make_folder: MakeFolder, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither torch's nor the one that semaphores lie in."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "no shared memory")

    monkeypatch.setattr("torch.UntypedStorage._share_fd_cpu_", refuse)
    monkeypatch.setattr("torch.UntypedStorage._share_filename_cpu_", refuse)
    monkeypatch.setattr("multiprocessing.synchronize.SemLock.__init__", refuse)
    root = make_folder({"a": 13})
    modules = [ready(root, workers=count, val_fraction=0.3) for count in (0, 2)]
    assert_same(*(first(module.train_dataloader(), 9) for module in modules))
    assert_same(*(list(module.val_dataloader()) for module in modules))
    for module in modules:
        module.teardown()
    assert caplog.text == ""
