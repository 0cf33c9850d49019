"""Processes that do tasks in order, and whose death, silence or absence never ends or stalls their user."""

from __future__ import annotations

import io
import logging
import multiprocessing
import os
import pickle
import signal
import socket
import struct
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Iterable
from multiprocessing import resource_tracker
from multiprocessing.context import BaseContext
from multiprocessing.process import BaseProcess
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

if TYPE_CHECKING:
    import numpy.typing as npt

from datamodules.utils.stop_signals import STOPPING

_log = logging.getLogger(__name__)

Task = TypeVar("Task")
Result = TypeVar("Result")

SILENCE_S = 300.0
"""Seconds without a byte from a worker that owes a result, after which it is taken for stuck."""

_HURRIED_SILENCE_S = 5.0
_LOOK_S = 0.5  # how often a wait looks at the clock and at `hurry`

_HEAD = struct.Struct("!?QI")  # whether it is a result; bytes of pickle; number of buffers behind it
_LENGTH = struct.Struct("!Q")

_main_ends: weakref.WeakSet[socket.socket] = weakref.WeakSet()


class _TroubleError(Exception):
    """A worker is of no use any more; the message says why, as the predicate of a sentence."""


class _Worker(NamedTuple):
    process: BaseProcess
    connection: socket.socket


class Workers(Generic[Task, Result]):
    """Do tasks in other processes, and in this one where those fail.

    Tasks and results travel through sockets: there is no shared memory, semaphore or lock to run out of, to
    be without, or to be held by the dead. A worker that cannot be started, dies, or is silent for too long is
    warned of once; all workers are then ended, and this process does what is left to do, and what they owed.
    What a function gives must therefore depend on its task alone.

    The processes start with the first task and stay until `close`, garbage collection or the end of this
    process, also of its sudden one.

    Args:
        function: Called with a task, in a worker or here. It must travel to another process, as must its
            results.
        count: Number of workers; with 0 everything is done here.
        option: The option that sets their number, for the warning.
        method: How processes are started, "fork" or "spawn"; none takes the system's usual way.
        prepare: Called in each worker at its start.
        silence: Seconds after which a worker is taken for stuck.

    Attributes:
        hurry: Asked while waiting: true means that there is little time, and silence is not borne for long.
    """

    def __init__(
        self,
        function: Callable[[Task], Result],
        count: int,
        option: str,
        method: str | None = None,
        prepare: Callable[[], object] | None = None,
        silence: float = SILENCE_S,
    ) -> None:
        self.hurry: Callable[[], bool] = _never
        self._function, self._count, self._option, self._prepare = function, count, option, prepare
        self._silence, self._method = silence, method
        self._context: BaseContext = multiprocessing.get_context(method)
        self._workers: list[_Worker] = []
        self._under_way: deque[tuple[Task, int | None]] = deque()
        self._failed = False
        # Before `multiprocessing` waits at exit for children, which ignore what it sends them.
        self._finalize = Finalize(self, _end, args=(self._workers,), exitpriority=10)

    def __reduce__(self) -> tuple[type[Workers[Task, Result]], tuple[object, ...]]:
        """Travel without the processes."""
        options = self._function, self._count, self._option, self._method, self._prepare, self._silence
        return Workers, options

    @property
    def processes(self) -> tuple[BaseProcess, ...]:
        """The workers that there are now."""
        return tuple(worker.process for worker in self._workers)

    def results(self, tasks: Iterable[Task]) -> Generator[Result, None, None]:
        """The results in the order of the tasks; each worker is given its next task ahead of time.

        The workers start at once. An iteration that is not over ends with the start of another.

        Raises:
            Exception: What the function raises here, where a task is done again that failed in a worker.
        """
        if self._under_way:  # pending results must not be taken for those of the next tasks
            _end(self._workers)
        self._under_way = deque()
        if self._count and not self._failed and not self._workers:
            self._start()
        return self._in_order(tasks, self._under_way)

    def _in_order(
        self, tasks: Iterable[Task], under_way: deque[tuple[Task, int | None]]
    ) -> Generator[Result, None, None]:
        for number, task in enumerate(tasks):
            done = [self._take(*under_way.popleft())] if len(under_way) == max(1, self._count) else []
            under_way.append((task, self._give(number % max(1, self._count), task)))
            yield from done  # while the worker is at its next task
        while under_way:
            yield self._take(*under_way.popleft())

    def close(self) -> None:
        """End the workers now; the next iteration starts others."""
        _end(self._workers)

    def _start(self) -> None:
        # What comes between a worker's birth and its own decision about signals waits, and is dropped then.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        try:
            if self._context.get_start_method() != "fork":
                resource_tracker.ensure_running()  # which lets some through again
                signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
            for _ in range(self._count):
                self._workers.append(self._start_one())
        except (OSError, RuntimeError, MemoryError, AssertionError) as error:
            self._give_up(f"cannot be started ({error})")
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _start_one(self) -> _Worker:
        mine, theirs = socket.socketpair()
        try:
            process = self._context.Process(  # type: ignore[attr-defined]
                target=_serve, args=(theirs, self._function, self._prepare), daemon=True
            )
            _main_ends.add(mine)
            process.start()
        except BaseException:
            mine.close()
            raise
        finally:
            theirs.close()  # so that the end of the worker is the end of the connection
        mine.settimeout(_LOOK_S)
        return _Worker(process, mine)

    def _give(self, at: int, task: Task) -> int | None:
        """Hand a task to a worker; return which, or none if it is to be done here."""
        if not self._workers:
            return None
        worker = self._workers[at]
        try:
            _send(worker.connection, True, task)
        except OSError:
            self._give_up(_fate(worker.process))
            return None
        return at

    def _take(self, task: Task, at: int | None) -> Result:
        if at is not None and self._workers:
            worker = self._workers[at]
            try:
                good, found = _receive(worker.connection, self._patience())
                if good:
                    return found
            except _TroubleError as trouble:
                self._give_up(str(trouble))
            except OSError:
                self._give_up(_fate(worker.process))
        return self._function(task)

    def _patience(self) -> Callable[[float], None]:
        def wait(silent_for: float) -> None:
            if silent_for >= (_HURRIED_SILENCE_S if self.hurry() else self._silence):
                raise _TroubleError(f"has not answered for {silent_for:.0f} s")

        return wait

    def _give_up(self, trouble: str) -> None:
        self._failed = True
        _end(self._workers)
        _log.warning(
            "a worker process %s; its work is done without workers from here on, as with %s 0, and slower",
            trouble,
            self._option,
        )


def _never() -> bool:
    return False


def _end(workers: list[_Worker]) -> None:
    """End workers at once: they hold nothing that is worth saving, and ignore what is more polite."""
    ended, workers[:] = workers[:], []
    for worker in ended:
        worker.connection.close()
        worker.process.kill()
    for worker in ended:
        worker.process.join(_HURRIED_SILENCE_S)  # one that waits for a dead disk cannot be ended


def _fate(process: BaseProcess) -> str:
    process.join(_HURRIED_SILENCE_S)
    status = process.exitcode
    if status is None:
        return "closed its connection"
    if status >= 0:
        return f"ended with status {status}"
    hint = ", often for want of memory" if -status == signal.SIGKILL else ""
    return f"was ended by {signal.Signals(-status).name}{hint}"


def _serve(
    connection: socket.socket,
    function: Callable[[Any], object],
    prepare: Callable[[], object] | None,
) -> None:
    """What a worker does until its connection ends, which the main process's death does too."""
    # A whole process group or container may get them. The main process decides when to stop, and needs its
    # workers until then.
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
    connection.settimeout(None)
    if prepare is not None:
        prepare()
    try:
        while True:
            _, task = _receive(connection)
            try:
                good, found = True, function(task)
            except Exception:  # the main process does the task again, and sees for itself
                good, found = False, None
            _send(connection, good, found)
    except OSError:
        return


class _Pickler(pickle.Pickler):
    """Sends tensors as the arrays that share their memory; torch's own way is shared memory, or a copy."""

    def reducer_override(self, content: Any) -> Any:  # noqa: ANN401
        kind = type(content)
        if kind.__module__ == "torch" and kind.__name__ == "Tensor":  # torch is imported where there is one
            return _tensor_of, (content.numpy(),)
        return NotImplemented


def _tensor_of(array: npt.NDArray[Any]) -> object:
    import torch

    return torch.from_numpy(array)


def _send(connection: socket.socket, good: bool, content: object) -> None:
    """Send an object; the memory of its arrays and tensors is sent as it lies there."""
    buffers: list[pickle.PickleBuffer] = []
    written = io.BytesIO()
    _Pickler(written, protocol=5, buffer_callback=buffers.append).dump(content)
    text = written.getvalue()
    views = [buffer.raw() for buffer in buffers]
    lengths = b"".join(_LENGTH.pack(view.nbytes) for view in views)
    connection.sendall(_HEAD.pack(good, len(text), len(views)) + lengths + text)
    for view in views:
        connection.sendall(view)


def _receive(connection: socket.socket, wait: Callable[[float], None] | None = None) -> tuple[bool, Any]:
    """Receive an object.

    Args:
        connection: From where.
        wait: Told, every now and then, for how many seconds nothing has come.

    Raises:
        OSError: The connection has ended.
    """

    def read(length: int) -> bytearray:
        buffer = bytearray(length)
        _fill(connection, memoryview(buffer), wait)
        return buffer

    good, size, count = _HEAD.unpack(read(_HEAD.size))
    lengths = [_LENGTH.unpack(read(_LENGTH.size))[0] for _ in range(count)]
    text = read(size)
    return good, pickle.loads(text, buffers=[read(length) for length in lengths])


def _fill(connection: socket.socket, view: memoryview, wait: Callable[[float], None] | None) -> None:
    last = time.monotonic()
    while view:
        try:
            count = connection.recv_into(view)
        except TimeoutError:
            if wait is not None:
                wait(time.monotonic() - last)
            continue
        if not count:
            raise ConnectionResetError("the connection has ended")
        view, last = view[count:], time.monotonic()


def _close_main_ends() -> None:
    """In a forked process: let go of the ends that are the main process's, whose death is to be noticed."""
    for connection in list(_main_ends):
        connection.close()


os.register_at_fork(after_in_child=_close_main_ends)
