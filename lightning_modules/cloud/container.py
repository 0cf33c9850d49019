"""What happens in the container: look around, train, commit, and leave in the way that Modal understands."""

from __future__ import annotations

import logging
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Protocol

from lightning_modules.cloud.cost import Ledger
from lightning_modules.cloud.job import Job, Outcome
from lightning_modules.cloud.paths import DATA, RUNS
from lightning_modules.cloud.prices import gpu_of_device, usd_per_second
from lightning_modules.preflight import Preflight, PreflightError, process_age

if TYPE_CHECKING:
    from lightning_modules.callbacks.spending import Spending

logger = logging.getLogger(__name__)

RESUME_STATUS, REFUSED_STATUS = 75, 2


class Volume(Protocol):
    """What is needed of a Modal Volume."""

    def commit(self) -> None:
        """Publish what this container has written."""

    def reload(self) -> None:
        """Take over what other containers have published."""


def train_in_container(
    job: Job, data: Volume, runs: Volume, hand_over: Callable[[], str], cancellation: type[BaseException]
) -> Outcome:
    """Train a run, as far as this container gets.

    Args:
        job: The run.
        data: The data Volume, mounted at `/data`.
        runs: The runs Volume, mounted at `/runs`.
        hand_over: Starts another container for the job, and returns the id of its call.
        cancellation: What Modal raises in a function whose call is cancelled.

    Returns:
        How it ended, if it ended as it should.

    Raises:
        KeyboardInterrupt: After a preemption: Modal starts the job again and counts no failure.
        BaseException: `cancellation` after a cancelled call, and every error of training, for Modal to
            count and to try again. Everything whole has been committed before.
    """
    started = time.time() - process_age()
    preflight = Preflight()
    try:
        data.reload()
        runs.reload()
        preflight.imports()
        preflight.cuda(expected=bool(job.settings.gpus))
        preflight.writable(Path(RUNS))
        preflight.writable(Path(DATA))
        _find_data(preflight, job)
    except PreflightError as error:
        print(f"{preflight.block('container start')}\nerror: {error}", file=sys.stderr, flush=True)
        if error.lasting:
            return Outcome("refused", str(error))
        raise
    ledger = Ledger(*_rate(job), started)
    with _cancellations() as cancelled:
        try:
            outcome = _fit(job, preflight, ledger, data, runs, hand_over)
        except KeyboardInterrupt:
            if cancelled:
                raise cancellation("The call was cancelled; the run is saved.") from None
            raise
        finally:
            _commit(runs)
    print(ledger.line(), flush=True)
    return outcome


def _fit(
    job: Job, preflight: Preflight, ledger: Ledger, data: Volume, runs: Volume, hand_over: Callable[[], str]
) -> Outcome:
    from lightning_modules.callbacks.container_start import ContainerStart
    from lightning_modules.callbacks.spending import Spending
    from lightning_modules.callbacks.volume_commit import VolumeCommit
    from lightning_modules.training import fit

    logging.basicConfig(level=logging.INFO, format="%(message)s")
    folder = None if job.trial or job.run is None else Path(RUNS) / job.experiment / job.run
    spending = Spending(ledger, job.settings.max_usd, job.settings.handover)
    callbacks = [ContainerStart(preflight, lambda: _commit(data)), spending, VolumeCommit(runs.commit)]
    try:
        cli = fit(_command_line(job), callbacks)
        reached = f"{folder} has reached step {max(cli.trainer.global_step, job.max_steps)}"
        outcome = Outcome("finished", f"{reached}." if folder else "One batch went through.")
    except SystemExit as stop:
        outcome = _meaning(stop, spending, folder)
    if folder is not None and folder.is_dir() and outcome.status != "refused":
        ledger.open(folder)
        if outcome.status != "finished" or spending.ran:
            ledger.write(folder)
    if outcome.status == "stopped" and spending.stopped == "time":
        runs.commit()  # or the next container would not find what this one has done
        return Outcome("handed over", outcome.message, hand_over())
    return outcome


def _meaning(stop: SystemExit, spending: Spending, folder: Path | None) -> Outcome:
    """Say what it means that training has exited.

    Raises:
        KeyboardInterrupt: It was interrupted.
        RuntimeError: It failed.
    """
    if stop.code == RESUME_STATUS:
        if spending.stopped is None:
            raise KeyboardInterrupt from None
        return Outcome("stopped", f"{folder} was stopped at a checkpoint ({spending.stopped}).")
    if stop.code == REFUSED_STATUS:
        return Outcome("refused", "the run was refused; the reason stands above.")
    raise RuntimeError(str(stop.code)) from None


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
    """Turn Modal's SIGUSR1, which would raise in the middle of a step, into a wish to stop after it.

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
