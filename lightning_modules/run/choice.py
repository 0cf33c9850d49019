"""Which run directory a command line means, and whether it continues what is there."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lightning_modules.checkpoints.names import step_of
from lightning_modules.checkpoints.whole import checkpoints_in, newest_whole
from lightning_modules.run.data_index import DataIndex
from lightning_modules.run.directory import LATEST, RunDirectory
from lightning_modules.run.experiment import newest_run, next_run_directory, runs_of
from lightning_modules.run.lock import RunLock
from lightning_modules.run.manifest import FINGERPRINT, mismatches, read_identity, remarks
from lightning_modules.run.names import check_folder_name
from lightning_modules.run.recovery import Recovery

logger = logging.getLogger(__name__)

RUN_VARIABLE = "NINELIVES_RUN"
CHECKPOINT_VARIABLE = "NINELIVES_CHECKPOINT"
"""Environment of the processes that Lightning starts for further devices: the first process's choice."""


class MismatchError(ValueError):
    """A run's identity is not the command line's."""


@dataclass(frozen=True)
class RunRequest:
    """What a command line says about the run it means.

    Attributes:
        experiment: Directory of the experiment.
        max_steps: The target in optimizer steps, negative if not set.
        run: Name of the run, where one is given.
        fresh: Whether to start a run in any case.
        allow_mismatch: Whether to continue a run of another identity.
    """

    experiment: Path
    max_steps: int
    run: str | None = None
    fresh: bool = False
    allow_mismatch: bool = False


@dataclass(frozen=True)
class Choice:
    """The run that is to be trained.

    Attributes:
        folder: Its directory, which may not exist yet.
        checkpoint: The checkpoint to continue from; None starts at the first step.
        recovery: What it has learned from its accidents.
        finished: Whether it has reached its target already.
        lock: The lock that is held on it, where it existed.
    """

    folder: Path
    checkpoint: Path | None = None
    recovery: Recovery = field(default_factory=Recovery)
    finished: bool = False
    lock: RunLock | None = None

    @property
    def step(self) -> int:
        """Optimizer steps taken so far."""
        return step_of(self.checkpoint) if self.checkpoint else 0


def choose_run(request: RunRequest, identity: Mapping[str, Any], data: DataIndex | None = None) -> Choice:
    """Return the run to train: the experiment's newest, unless the command line names another.

    Nothing is started yet. A run of another identity is refused while it is unfinished and has something to
    lose; where it is finished another run is started, and one that has no checkpoint yet is skipped.

    Args:
        request: What the command line says.
        identity: What decides the weights of the run it means.
        data: The images it would train on, so that a refusal can say what is new in them.

    Raises:
        RunLockedError: If another process trains in it.
        MismatchError: If its identity is not the command line's, with the differences.
        ValueError: If its name is not one, or its files are damaged.
    """
    inherited = _inherited()
    if inherited is not None:
        return inherited
    named = _named(request)
    for folder in [named] if named else [] if request.fresh else _candidates(request.experiment):
        if not folder.is_dir():
            continue
        lock = RunLock(folder)
        lock.acquire()
        try:
            choice = _look_into(folder, request.max_steps, lock)
            wanted = _is_wanted(choice, request, identity, data)
        except BaseException:
            lock.release()
            raise
        if wanted:
            return choice
        lock.release()
        if choice.checkpoint is not None:
            break
    return Choice(named or next_run_directory(request.experiment))


def continue_run(folder: Path, max_steps: int) -> Choice:
    """Return the choice of a run that this process trains already, as it stands now."""
    return _look_into(folder, max_steps, None)


def tell_further_processes(choice: Choice) -> None:
    """Leave the choice in the environment, for the processes that train on further devices."""
    os.environ[RUN_VARIABLE] = str(choice.folder)
    os.environ[CHECKPOINT_VARIABLE] = str(choice.checkpoint or "")


def _inherited() -> Choice | None:
    """Return the first process's choice in a process that Lightning started for a further device."""
    if os.environ.get("LOCAL_RANK", "0") == "0" or RUN_VARIABLE not in os.environ:
        return None
    folder, checkpoint = Path(os.environ[RUN_VARIABLE]), os.environ[CHECKPOINT_VARIABLE]
    return Choice(folder, Path(checkpoint) if checkpoint else None, Recovery.load(folder))


def _candidates(experiment: Path) -> list[Path]:
    """Return the runs that an experiment may mean: those begun since its newest, last first, and that."""
    newest = newest_run(experiment)
    if newest is None:
        return []
    later = [run for run in runs_of(experiment) if run.name > newest.name]
    begun = [run for run in later if not checkpoints_in(RunDirectory(run).checkpoints)]
    return [*reversed(begun), newest]


def _named(request: RunRequest) -> Path | None:
    """Return the directory of the run that is named; `latest` names the newest, whose own name it is not."""
    if not request.run:
        return None
    if request.run != LATEST:
        check_folder_name("--run", request.run)
        return request.experiment / request.run
    newest = newest_run(request.experiment)
    if newest is None:
        raise ValueError(
            f"--run latest: there is no run in {request.experiment} yet. Leave it out to start one."
        )
    return newest


def _look_into(folder: Path, max_steps: int, lock: RunLock | None) -> Choice:
    checkpoint = newest_whole(RunDirectory(folder).checkpoints)
    finished = checkpoint is not None and 0 <= max_steps <= step_of(checkpoint)
    return Choice(folder, checkpoint, Recovery.load(folder), finished, lock)


def _is_wanted(
    choice: Choice, request: RunRequest, identity: Mapping[str, Any], data: DataIndex | None
) -> bool:
    """Tell whether a run is the one that is wanted, or refuse to decide.

    Raises:
        MismatchError: If it is another one that has something to lose, with the differences.
    """
    recorded = read_identity(choice.folder)
    if recorded is None and choice.checkpoint is not None:
        logger.warning(
            "There is no %s to compare with: this command line is taken to be the run's.",
            RunDirectory(choice.folder).manifest,
        )
    different = mismatches(recorded, identity) if recorded is not None else []
    if recorded is None or not different:
        return True
    if data is not None:
        before = DataIndex.load(choice.folder, str(recorded.get(FINGERPRINT)))
        different = [data.changed_since(before) if FINGERPRINT in line else line for line in different]
    lines = "\n  ".join(different)
    if request.allow_mismatch:
        logger.warning("Continuing %s although it differs:\n  %s", choice.folder, lines)
        for remark in remarks(recorded, identity, choice.step):
            logger.warning("%s", remark)
        return True
    if not request.run and (choice.finished or choice.checkpoint is None):
        if choice.finished:
            logger.warning(
                "%s is finished, and differs from what is asked for:\n  %s\nAnother run begins; "
                "--experiment NAME keeps the two apart.",
                choice.folder,
                lines,
            )
        return False
    raise MismatchError(
        f"{choice.folder} at step {choice.step} is another run than this command line asks for:\n  {lines}\n"
        f"Start another run with --fresh, continue this one all the same with --allow-mismatch, or give this "
        f"one another name with --experiment."
    )
