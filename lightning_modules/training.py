"""From a command line to a trained run, through whatever comes between."""

from __future__ import annotations

import gc
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from lightning.pytorch import Callback
from lightning.pytorch.utilities import rank_zero_info

from lightning_modules.callbacks.spike_guard import RollBackError
from lightning_modules.checkpoints.errors import CheckpointWriteError
from lightning_modules.checkpoints.whole import newest_whole, step_of
from lightning_modules.cli import FitCLI, own_error, quiet_lightning
from lightning_modules.resume.choice import Choice, tell_further_processes
from lightning_modules.resume.files import write_text
from lightning_modules.resume.lock import RunLock, RunLockedError
from lightning_modules.resume.manifest import FILE as MANIFEST
from lightning_modules.resume.manifest import write_manifest
from lightning_modules.resume.signals import RESUME_STATUS, StopRequestedError, StopSignals
from lightning_modules.runs import point_latest, start_run_directory

logger = logging.getLogger(__name__)


def fit(args: Sequence[str] | None = None, extra_callbacks: Sequence[Callback] = ()) -> FitCLI:
    """Run a training command line to its end: start a run or continue one, and recover from accidents.

    Args:
        args: The command line; none takes the process's.
        extra_callbacks: Further callbacks, behind those of the configuration.

    Returns:
        The trainer, module and data module as training left them.

    Raises:
        SystemExit: With status 2 if the command line or the run it means is refused, and with
            `RESUME_STATUS` if a signal stopped the run.
    """
    quiet_lightning()
    cli = _parse(args, None, extra_callbacks)
    if cli.config.trainer.fast_dev_run:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        return cli
    folder = cli.choice.folder
    if cli.choice.finished:
        rank_zero_info(
            "%s has reached its target, step %d: nothing to do. Raise --trainer.max_steps to train on, or "
            "start another run with --fresh.",
            folder,
            cli.choice.step,
        )
        _release(cli.choice)
        return cli
    lock = _begin(cli)
    try:
        with StopSignals() as signals:
            while (accident := _train(cli, signals)) is not None:
                logger.warning("%s", _learn_from(accident, cli))
                del accident, cli  # and with them all that the failed step holds in memory
                _free_memory()
                cli = _parse(args, folder, extra_callbacks)
    except StopRequestedError as stop:
        rank_zero_info("%s in %s. The same command continues it.", str(stop).capitalize(), folder)
        sys.exit(RESUME_STATUS)
    except (CheckpointWriteError, MemoryError, RollBackError) as error:
        sys.exit(f"error: {error}")
    finally:
        lock.release()
    rank_zero_info(
        "Trained to step %d. Pictures: %s/samples. Draw more: python scripts/sample.py %s",
        cli.trainer.global_step,
        folder,
        folder,
    )
    return cli


def _parse(args: Sequence[str] | None, continued: Path | None, extra_callbacks: Sequence[Callback]) -> FitCLI:
    try:
        return FitCLI(args, continued, extra_callbacks)
    except (OSError, ValueError, RunLockedError) as error:
        print(f"error: {own_error(error)}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print("\nInterrupted before training: nothing is lost.", file=sys.stderr)
        sys.exit(RESUME_STATUS)


def _begin(cli: FitCLI) -> RunLock:
    """Start the run's directory, or take it up, and hold it."""
    choice = cli.choice
    kept = len(cli.datamodule.train_labels), len(cli.datamodule.held_out_labels)
    rank_zero_info(
        "Data: %d images to train on, %d held out, classes: %s", *kept, ", ".join(cli.model.class_names)
    )
    lock = choice.lock or RunLock(choice.folder)
    if not cli.trainer.is_global_zero:
        return lock
    if choice.folder.is_dir():
        rank_zero_info("Continuing %s at step %d.", choice.folder, choice.step)
    else:
        start_run_directory(choice.folder)
        rank_zero_info("Run directory: %s", choice.folder)
    if choice.lock is None:
        lock.acquire()
    if not (choice.folder / MANIFEST).is_file():
        write_manifest(choice.folder, cli.identity)
    write_text(choice.folder / "config.yaml", cli.parser.dump(cli.config, skip_none=False))
    point_latest(choice.folder)
    tell_further_processes(choice)
    return lock


def _train(cli: FitCLI, signals: StopSignals) -> BaseException | None:
    """Train to the end, or to an accident that can be recovered from, which is returned.

    Raises:
        StopRequestedError: After a signal.
    """
    cli.config_init.checkpoint.signals = signals
    try:
        cli.trainer.fit(
            cli.model, datamodule=cli.datamodule, ckpt_path=cli.choice.checkpoint, weights_only=True
        )
    except RollBackError as error:
        return error
    except (RuntimeError, MemoryError) as error:
        if cli.config_init.checkpoint.step_did_not_fit and cli.trainer.world_size == 1:
            return error
        raise
    return None


def _learn_from(accident: BaseException, cli: FitCLI) -> str:
    """Write down what the run is to do differently, and return what to say about it.

    Raises:
        MemoryError: If a single image does not fit into memory.
        RollBackError: If the run has gone back too often.
    """
    recovery, folder = cli.choice.recovery, cli.choice.folder
    if not isinstance(accident, RollBackError):
        recovery = recovery.halved(cli.datamodule.batch_size)
        recovery.save(folder)
        return (
            f"Out of memory at step {cli.trainer.global_step}. A batch of {cli.datamodule.batch_size} is "
            f"computed in {recovery.split} parts from here on: the same images, the same steps."
        )
    most = cli.config_init.spike_guard.max_roll_backs
    if len(recovery.left_out) >= most:
        raise RollBackError(
            accident.step,
            f"at step {accident.step} {accident}; the run has gone back {most} times already. Lower the "
            f"learning rate, lengthen its warm-up, or look at the data; --spike_guard.max_roll_backs allows "
            f"more.",
        ) from None
    checkpoint = newest_whole(folder / "checkpoints")
    back_to = step_of(checkpoint) if checkpoint else 0
    recovery.without(back_to, accident.step).save(folder)
    return (
        f"At step {accident.step} {accident}. Back to step {back_to}, and on behind the data of the "
        f"{accident.step - back_to + 1} steps between."
    )


def _free_memory() -> None:
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _release(choice: Choice) -> None:
    if choice.lock is not None:
        choice.lock.release()
