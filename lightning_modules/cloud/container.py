"""What happens in the container: look around, train, commit, and leave in the way that Modal understands."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from datamodules.utils.exit_codes import REFUSED, RESUME
from datamodules.utils.io import write_text
from lightning_modules.cloud.failures import (
    Failures,
    TrainingFailedError,
    leaving_the_container,
    one_line,
    without_traceback,
)
from lightning_modules.cloud.job import Job, JobResult
from lightning_modules.cloud.paths import DATA, RUNS
from lightning_modules.cloud.preflight import Preflight, PreflightError, process_age
from lightning_modules.cloud.wording import output_for_the_user
from lightning_modules.cost.cost import Ledger
from lightning_modules.cost.prices import gpu_of_device, usd_per_second

if TYPE_CHECKING:
    from lightning_modules.cloud.spending import Spending

logger = logging.getLogger(__name__)


class Volume(Protocol):
    """What is needed of a Modal Volume."""

    def commit(self) -> None:
        """Publish what this container has written."""

    def reload(self) -> None:
        """Take over what other containers have published."""


@dataclass(frozen=True)
class Host:
    """What Modal gives a container.

    Attributes:
        data: The data Volume, mounted at `/data`.
        runs: The runs Volume, mounted at `/runs`.
        hand_over: Starts another container for the job, and returns the id of its call.
        cancellation: What Modal raises in a function whose call is canceled.
        call: The id of the call that runs here, the same when it is tried again.
    """

    data: Volume
    runs: Volume
    hand_over: Callable[[], str]
    cancellation: type[BaseException]
    call: str


def train_in_container(job: Job, host: Host) -> JobResult:
    """Train a run, as far as this container gets.

    Why a run is refused or has failed is told here, in the log, and nowhere else: the user's terminal shows
    it, and where nobody follows the run `modal app logs` does.

    Args:
        job: The run.
        host: Its surroundings.

    Returns:
        How it ended, if it ended as it should.

    Raises:
        KeyboardInterrupt: After a preemption: Modal starts the job again and counts no failure.
        BaseException: `cancellation` after a canceled call, and an error of training, for Modal to count
            and to try again, once more if it comes at the same step. Everything whole has been committed.
    """
    started = time.time() - process_age()
    preflight = Preflight()
    with output_for_the_user(job.settings), leaving_the_container():
        try:
            host.data.reload()
            host.runs.reload()
            preflight.imports()
            preflight.cuda(expected=bool(job.settings.gpus))
            preflight.writable(Path(RUNS))
            preflight.writable(Path(DATA))
            _find_data(preflight, job)
        except PreflightError as error:
            return _not_ready(error)
        ledger = Ledger(*_rate(job), started)
        with _cancellations() as canceled:
            try:
                outcome = _fit(job, preflight, ledger, host)
            except KeyboardInterrupt:
                if canceled:
                    raise host.cancellation("The call was canceled; the run is saved.") from None
                raise
            finally:
                _commit(host.runs)
        print(ledger.line(), flush=True)
        return outcome


def _not_ready(error: PreflightError) -> JobResult:
    """Tell what is not there.

    Raises:
        PreflightError: If it may be there in another container.
    """
    if not error.lasting:
        raise without_traceback(error)
    _tell(error)
    return JobResult("refused", str(error))


def _tell(error: BaseException) -> None:
    print(f"error: {one_line(error)}", file=sys.stderr, flush=True)


def _fit(job: Job, preflight: Preflight, ledger: Ledger, host: Host) -> JobResult:
    from lightning_modules.cli.fit import fit
    from lightning_modules.cloud.container_start import ContainerStart
    from lightning_modules.cloud.spending import Spending
    from lightning_modules.cloud.volume_commit import VolumeCommit

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    run = f"{job.experiment}/{job.run}"
    folder = None if job.trial or job.run is None else Path(RUNS) / run
    failures = Failures(Path(RUNS) / ".failures", host.call)
    spending = Spending(ledger, job.settings.max_usd, job.settings.handover)
    start = ContainerStart(preflight, lambda: _commit(host.data))
    try:
        cli = fit(_command_line(job), [start, spending, VolumeCommit(host.runs.commit)])
        step = max(cli.trainer.global_step, job.max_steps)
        outcome = JobResult(
            "finished", f"{run} has reached step {step}." if folder else "One batch went through."
        )
    except SystemExit as stop:
        outcome = _meaning(stop, job, spending, failures)
    except Exception as error:
        outcome = _failed(error, job, spending, failures)
    failures.forget()
    if folder is not None and folder.is_dir() and outcome.status != "refused":
        ledger.open(folder)
        if outcome.status != "finished" or spending.ran:
            ledger.write(folder)
    if outcome.status == "stopped" and spending.stopped == "time":
        host.runs.commit()  # or the next container would not find what this one has done
        return JobResult("handed over", outcome.message, host.hand_over())
    return outcome


def _meaning(stop: SystemExit, job: Job, spending: Spending, failures: Failures) -> JobResult:
    """Say what it means that training has exited.

    Raises:
        KeyboardInterrupt: It was interrupted.
        TrainingFailedError: It failed, and another attempt may not.
    """
    from lightning_modules.run.accidents import RollBackError

    if stop.code == RESUME:
        if spending.stopped is None:
            raise KeyboardInterrupt from None
        stopped = f"{job.experiment}/{job.run} was stopped at a checkpoint"
        if spending.stopped == "time":
            return JobResult("stopped", f"{stopped}: its container's time is up. Another one goes on.")
        more = "The same command with a larger --max-usd continues it."
        return JobResult("stopped", f"{stopped}: its budget of ${job.settings.max_usd} is used up. {more}")
    if stop.code == REFUSED:  # training has said why
        return JobResult("refused", "The run was refused.")
    error = TrainingFailedError(str(stop.code).removeprefix("error: "))
    if isinstance(stop.__context__, MemoryError | RollBackError):  # it would end there again
        _tell(error)
        return JobResult("failed", str(error))
    return _failed(error, job, spending, failures)


def _failed(error: Exception, job: Job, spending: Spending, failures: Failures) -> JobResult:
    """Tell an error that another attempt would meet again.

    Raises:
        Exception: The error, where another attempt may do better: Modal prints it, and tries again.
    """
    if isinstance(error, PreflightError):
        return _not_ready(error)
    said = isinstance(error, TrainingFailedError)
    if job.trial and not said:
        traceback.print_exception(error)
    elif not failures.again(error, spending.step) and not job.trial:
        raise without_traceback(error) if said else error
    _tell(error)
    return JobResult("failed", one_line(error))


def _command_line(job: Job) -> list[str]:
    """Return the command line of the job, with its configuration in a file named like the experiment."""
    config = Path(tempfile.mkdtemp(prefix="ninelives-")) / f"{job.experiment}.yaml"
    config.write_text(job.config)
    run = [] if job.run is None else ["--run", job.run]
    return ["--config", str(config), *run, *(["--allow-mismatch"] if job.allow_mismatch else [])]


def _find_data(preflight: Preflight, job: Job) -> None:
    def look() -> tuple[str, dict[str, float]]:
        if job.data is not None and not Path(job.data).is_dir():
            there = ", ".join(sorted(path.name for path in Path(DATA).iterdir())) or "nothing"
            raise FileNotFoundError(
                f"no {job.data} on the data Volume, which has {there}. Upload it first: "
                f"modal run modal_entry.py::upload_data FOLDER"
            )
        return job.data or "from the data source", {}

    preflight.run("data folder", look)
    for place, text in job.files.items():
        write_text(Path(place), text)


def _rate(job: Job) -> tuple[float, str]:
    """Return the container's price in USD per second, and what it computes on."""
    import torch

    gpu = None
    if job.settings.gpus and torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(0)
        gpu = gpu_of_device(properties.name, properties.total_memory / 2**30, job.settings.gpus)
    settings = job.settings
    return usd_per_second(gpu, settings.cpu, settings.memory, bool(settings.region)), gpu or "CPU"


def _commit(volume: Volume) -> None:
    """Commit, and say so where that fails: Modal commits once more when the container ends."""
    try:
        volume.commit()
    except Exception as error:
        logger.error("Commit failed (%s: %s).", type(error).__name__, error)


@contextmanager
def _cancellations() -> Iterator[list[int]]:
    """Turn Modal's SIGUSR1, which would raise in the middle of a step, into a request to stop after it.

    Yields:
        A list that is empty as long as there was none.
    """
    received: list[int] = []

    def handle(number: int, frame: FrameType | None) -> None:
        received.append(number)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGUSR1, handle)
    try:
        yield received
    finally:
        signal.signal(signal.SIGUSR1, before)
