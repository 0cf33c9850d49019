from __future__ import annotations

from pathlib import Path

from lightning.pytorch import Trainer

from lightning_modules.utils.lightning_internals import is_fast_dev_run


def run_folder(trainer: Trainer) -> Path | None:
    """Return the run directory where this process writes to it; None elsewhere, or if nothing is kept.

    It is the first logger's. `trainer.log_dir` is too, but asks all processes, and the first would wait for
    ever for others that do not.
    """
    if not trainer.is_global_zero or is_fast_dev_run(trainer):
        return None
    for run_logger in trainer.loggers:
        folder = getattr(run_logger, "log_dir", None) or run_logger.save_dir
        return Path(folder) if folder is not None else None
    return None
