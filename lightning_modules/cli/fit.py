"""From a command line to a trained run, through accidents and roll-backs."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_info, rank_zero_only

from datamodules.errors import DataError
from datamodules.utils.exit_codes import RESUME, stopped_by
from datamodules.utils.io import write_text
from datamodules.utils.text import counted
from lightning_modules.checkpoints.errors import (
    CheckpointWriteError,
    DamagedCheckpointError,
    UnsafeCheckpointError,
    write_error,
    write_errors,
)
from lightning_modules.cli.configuring import RefusedError, configure
from lightning_modules.cli.fit_cli import FitCLI
from lightning_modules.cli.names import command_line
from lightning_modules.cli.process import NOTHING_LOST, error_line, one_line_errors, refuse
from lightning_modules.cli.report import keep_report
from lightning_modules.run.accidents import RollBackError, go_back, split_further
from lightning_modules.run.choice import Choice, tell_further_processes
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.experiment import name_latest
from lightning_modules.run.fitting import CannotCarryOverError, check_fits
from lightning_modules.run.leftovers import clear_leftovers
from lightning_modules.run.lock import RunLock, RunLockedError
from lightning_modules.run.manifest import record_identity
from lightning_modules.run.signals import StopRequestedError, StopSignals
from lightning_modules.utils.allocator import free_memory, keep_freed_memory
from lightning_modules.utils.lightning_internals import quiet_lightning

logger = logging.getLogger(__name__)

_REFUSED = (
    RunLockedError,
    CannotCarryOverError,
    DamagedCheckpointError,
    UnsafeCheckpointError,
    MisconfigurationException,  # Lightning's own, of what it looks at when training begins
    ModuleNotFoundError,
)


class StoppedError(Exception):
    """Training was asked to stop, and is saved.

    Args:
        what: What has happened, such as "stopped at step 12".
        folder: The run.
        fresh: Whether another run was asked for, which would be another one again.
    """

    def __init__(self, what: str, folder: Path, fresh: bool) -> None:
        super().__init__(what, folder, fresh)
        self.what, self.folder, self.fresh = what, folder, fresh

    def __str__(self) -> str:
        return self.said("The same command")

    def said(self, same: str) -> str:
        """Say it, and what continues the run.

        Args:
            same: What is to be repeated.
        """
        again = f"{same} without --fresh" if self.fresh else same
        return f"{self.what.capitalize()} in {self.folder}, and saved. {again} continues it."


def fit(args: Sequence[str] | None = None, extra_callbacks: Sequence[Callback] = ()) -> FitCLI:
    """Run a training command line to its end: start a run or continue one, and recover from accidents.

    Args:
        args: The command line; None takes the process's.
        extra_callbacks: Further callbacks, behind those of the configuration.

    Returns:
        The trainer, module and data module as training left them.

    Raises:
        SystemExit: With status 2 if the command line or the run it means is refused, and with
            `RESUME` if a signal stopped the run.
    """
    with one_line_errors(NOTHING_LOST, stopped_status=RESUME, errors=()):
        try:
            return train(args, extra_callbacks)
        except RefusedError as error:
            refuse(str(error))
        except StoppedError as stop:
            rank_zero_info("%s", stop.said("The same command"))
            sys.exit(RESUME)
        except (CheckpointWriteError, DataError, MemoryError, RollBackError) as error:
            sys.exit(f"error: {error_line(error)}")


def train(args: Sequence[str] | None = None, extra_callbacks: Sequence[Callback] = ()) -> FitCLI:
    """Run a training command line to its end, as `fit` does, for callers that are no commands.

    Args:
        args: The command line; none takes the process's.
        extra_callbacks: Further callbacks, behind those of the configuration.

    Raises:
        RefusedError: If the command line, or the run it means, is refused.
        StoppedError: If a signal stopped the run, which is saved.
        CheckpointWriteError, DataError, MemoryError, RollBackError: If training cannot go on.
    """
    quiet_lightning()
    cli = configure(args, None, extra_callbacks)
    if cli.trainer.strategy.root_device.type == "cpu":  # with a GPU the host's memory is for others
        keep_freed_memory()
    if cli.config.trainer.fast_dev_run:
        _try_out(cli)
        return cli
    folder = cli.choice.folder
    if cli.choice.finished:
        _leave_alone(cli.choice)
        return cli
    lock = cli.choice.lock or RunLock(folder)
    try:
        with StopSignals() as signals, _told_afterwards(lock) as begun:
            _begin(cli, lock)
            begun()
            while (accident := _train(cli, signals)) is not None:
                logger.warning("%s", _learn_from(accident, cli))
                del accident, cli  # and with them all that the failed step holds in memory
                free_memory()
                cli = configure(args, folder, extra_callbacks)
    except _REFUSED as error:
        raise RefusedError(str(error)) from error
    except StopRequestedError as stop:
        raise StoppedError(str(stop), folder, cli.request.fresh) from stop
    _say_what_was_trained(cli)
    return cli


@contextmanager
def _told_afterwards(lock: RunLock) -> Iterator[Callable[[], None]]:
    """Release a run at the end of a block, and write its page, if it has been begun there.

    Yields:
        What is to be called when it has begun.
    """
    begun: list[bool] = []
    try:
        yield lambda: begun.append(True)
    finally:
        lock.release()
        if begun:
            rank_zero_only(keep_report)(lock.folder)


def _begin(cli: FitCLI, lock: RunLock) -> None:
    """Start the run's directory, or take it up, and hold it.

    Raises:
        RunLockedError: If another process has begun it since this one chose it.
        CannotCarryOverError: If its weights do not fit the command line's network.
        DamagedCheckpointError, UnsafeCheckpointError: If its checkpoint is not what training saves.
        CheckpointWriteError: If the file system refuses.
    """
    choice = cli.choice
    kept = len(cli.datamodule.train_labels), len(cli.datamodule.val_labels)
    rank_zero_info(
        "Data: %s images to train on, %s held out, %s",
        *(f"{n:,}" for n in kept),
        counted(cli.model.class_names),
    )
    if not cli.trainer.is_global_zero:
        return
    if choice.checkpoint is not None:
        check_fits(choice.checkpoint, cli.model)  # before anything of the run is written
    if choice.lock is not None:
        rank_zero_info("Continuing %s at step %d.", choice.folder, choice.step)
    else:
        _start(choice.folder, lock)
        rank_zero_info("Run directory: %s", choice.folder)
    clear_leftovers(choice.folder)
    cli.data_index.keep(choice.folder)
    record_identity(choice.folder, cli.identity, choice.step)
    config = RunDirectory(choice.folder).config
    with write_errors(config):
        write_text(config, cli.parser.dump(cli.config, skip_none=False))
    if choice.checkpoint is not None:
        name_latest(choice.folder)
    tell_further_processes(choice)


def _start(folder: Path, lock: RunLock) -> None:
    try:
        RunDirectory(folder).start()
        lock.acquire()
    except FileExistsError:
        raise RunLockedError(
            f"another process began {folder} in the same second. The same command continues that run when it "
            f"is free; --fresh starts another."
        ) from None
    except OSError as error:
        raise write_error(folder, error) from error


def _train(cli: FitCLI, signals: StopSignals) -> BaseException | None:
    """Train to the end, or to an accident that can be recovered from, which is returned.

    Raises:
        StopRequestedError: After a signal, or on several devices after a bad step.
    """
    if signals.received is not None and cli.trainer.world_size == 1:
        raise StopRequestedError(f"stopped at step {cli.choice.step}")
    _listen(cli, signals)
    rank_zero_info("%s", _network(cli))
    try:
        cli.trainer.fit(
            cli.model, datamodule=cli.datamodule, ckpt_path=cli.choice.checkpoint, weights_only=True
        )
    except RollBackError as error:
        if cli.trainer.world_size > 1:  # the processes cannot start again by themselves
            if cli.trainer.is_global_zero:
                logger.warning("%s", _learn_from(error, cli))
            raise StopRequestedError(f"stopped at step {error.step}, to go back") from error
        return error
    except (RuntimeError, MemoryError) as error:
        if cli.config_init.checkpoint.step_did_not_fit and cli.trainer.world_size == 1:
            return error
        raise
    return None


def _network(cli: FitCLI) -> str:
    """Say in a line what is trained, and on what."""
    parameters = sum(parameter.numel() for parameter in cli.model.parameters())
    trainer = cli.trainer
    many = f" x {trainer.world_size}" if trainer.world_size > 1 else ""
    where = f"{trainer.strategy.root_device.type}{many}, precision {trainer.precision}"
    return f"Network: {type(cli.model).__name__}, {parameters / 1e6:,.3g} M parameters, on {where}"


def _try_out(cli: FitCLI) -> None:
    """Train and validate for the batches of a fast run, which leaves nothing."""
    with StopSignals() as signals:
        _listen(cli, signals)
        try:
            cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        except StopRequestedError:
            sys.exit(stopped_by(signals.received or signal.SIGTERM))


def _listen(cli: FitCLI, signals: StopSignals) -> None:
    cli.config_init.checkpoint.signals = signals
    cli.datamodule.stop_requested = signals.requested


def _say_what_was_trained(cli: FitCLI) -> None:
    folder, step = cli.choice.folder, cli.trainer.global_step
    if not step:
        rank_zero_info("Nothing was trained: --trainer.max_steps is %d.", cli.trainer.max_steps)
        return
    run = RunDirectory(folder)
    made = {"Pictures": run.samples, "Report": run.report}
    where = "".join(f" {what}: {path}." for what, path in made.items() if path.exists())
    rank_zero_info("Trained to step %d.%s Sample more:\n%s", step, where, command_line("sample", folder))


def _learn_from(accident: BaseException, cli: FitCLI) -> str:
    """Write down what the run is to do differently, and return what to say about it.

    Raises:
        MemoryError: If a single image does not fit into memory.
        RollBackError: If the run has gone back too often.
    """
    recovery, folder = cli.choice.recovery, cli.choice.folder
    if isinstance(accident, RollBackError):
        return go_back(recovery, folder, accident, cli.config_init.spike_guard.max_roll_backs)
    return split_further(recovery, folder, cli.datamodule.batch_size, cli.trainer.global_step)


def _leave_alone(choice: Choice) -> None:
    """Say that a run has reached its target, and release it; its files are not touched."""
    rank_zero_info(
        "%s has reached its target, step %d: nothing to do. Raise --trainer.max_steps to train on, or start "
        "another run with --fresh.",
        choice.folder,
        choice.step,
    )
    if choice.lock is not None:
        clear_leftovers(choice.folder)  # of a process that was killed after the last checkpoint
        choice.lock.release()
