"""All that this project uses of Lightning beyond its declared interface, one small function each.

Some of it is public and only undeclared, so that a type checker does not know it; some is private. The tests
of this module say what must still be so after an upgrade of Lightning.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lightning.pytorch import Callback, LightningModule, Trainer

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from lightning.pytorch.callbacks import WeightAveraging
    from lightning.pytorch.loggers import Logger, TensorBoardLogger
    from torch.optim.swa_utils import AveragedModel
    from torch.utils.tensorboard import SummaryWriter

    from datamodules.image_folder import ImageFolderDataModule

T = TypeVar("T")

_NEWS_TO_NOBODY = re.compile(
    r"litlogger|[GTH]PU available: |Seed set to |Found current_model_state|Restor(ing|ed all) states"
    r"|`Trainer.fit` stopped: `max_steps="
)
_TALKERS = ("pytorch.utilities.rank_zero", "fabric.utilities.rank_zero", "fabric.utilities.seed")


# What connectors set on a Trainer, which does not declare it.


def callbacks_of(trainer: Trainer, kind: type[T]) -> list[T]:
    """Return a Trainer's callbacks of a kind, in their order."""
    return [callback for callback in cast(Any, trainer).callbacks if isinstance(callback, kind)]


def callback_of(trainer: Trainer, kind: type[T]) -> T | None:
    """Return a Trainer's first callback of a kind, or none."""
    return next(iter(callbacks_of(trainer, kind)), None)


def set_callbacks(trainer: Trainer, callbacks: Iterable[Callback]) -> None:
    """Replace a Trainer's callbacks."""
    cast(Any, trainer).callbacks = list(callbacks)


def is_fast_dev_run(trainer: Trainer) -> bool:
    """Tell whether a Trainer only tries a few batches, and is to write nothing."""
    return bool(cast(Any, trainer).fast_dev_run)


def log_interval(trainer: Trainer) -> int:
    """Return the number of optimizer steps between two logs of a Trainer."""
    return int(cast(Any, trainer).log_every_n_steps)


def data_module(trainer: Trainer) -> ImageFolderDataModule:
    """Return the data module that a Trainer was given.

    Raises:
        ValueError: If it was given none.
    """
    found = cast("ImageFolderDataModule | None", getattr(trainer, "datamodule", None))
    if found is None:
        raise ValueError("the Trainer has no data module: call trainer.fit(module, datamodule=...)")
    return found


# What is private.


def trainer_of(module: LightningModule) -> Trainer | None:
    """Return the Trainer of a module, or none; the public property raises an error then."""
    return module._trainer


def replace_signal_handlers(trainer: Trainer, listen: Callable[[], None]) -> None:
    """Call `listen` where a Trainer would put its own signal handlers in place, at the start of a fit."""
    cast(Any, trainer)._signal_connector.register_signal_handlers = listen


def average_of(callback: WeightAveraging) -> AveragedModel | None:
    """Return the model that holds a callback's average; none before `setup`."""
    return callback._average_model


def make_average_on(callback: WeightAveraging, device: torch.device) -> torch.device | str | int:
    """Let a callback make its average on a device, unless it was given one, and return where it will be."""
    callback._device = callback._device or device
    return callback._device


def step_of_average(callback: WeightAveraging) -> int:
    """Return the number of optimizer steps at a callback's last update."""
    return callback._latest_update_step


def swap_average(callback: WeightAveraging, module: LightningModule) -> None:
    """Exchange the weights of a module and those of a callback's average."""
    callback._swap_models(module)


def writer_of(logger: TensorBoardLogger, make: Callable[[dict[str, Any]], SummaryWriter]) -> SummaryWriter:
    """Return a logger's writer, which `make` makes of the logger's options if it has no writer yet."""
    if logger._experiment is None:
        logger._experiment = make(logger._kwargs)
    return logger._experiment


def set_logger_folder(logger: Logger, old: str, new: Path) -> None:
    """Replace a part of the folder that a logger of Lightning's, which has written nothing, will write to."""
    for name in ("_root_dir", "_save_dir"):
        place = getattr(logger, name, None)
        if isinstance(place, str) and old in place:
            setattr(logger, name, place.replace(old, str(new)))


def set_position(trainer: Trainer, checkpoint: dict[str, Any]) -> None:
    """Let a checkpoint say that a Trainer stands between the checkpoint's step and the next."""
    state = fit_loop_state(checkpoint["global_step"], trainer.accumulate_grad_batches)
    checkpoint["loops"]["fit_loop"] = state


def fit_loop_state(step: int, accumulation: int) -> dict[str, Any]:
    """Return the state of Lightning's fit loop between two optimizer steps of a run of one endless epoch.

    What Lightning saves is the state of the hook that it saves in, counted in micro-batches of the
    accumulation of the time. This is the same position for every hook, and in micro-batches of the
    accumulation there is now, which running out of memory may have changed.

    Args:
        step: Optimizer steps taken.
        accumulation: Micro-batches per step.

    Returns:
        What `trainer.fit_loop.load_state_dict` takes. In Lightning's terms the last micro-batch's work and
        its hooks are done and only its `completed` is to be counted, which the loop does by itself
        when it starts; it then neither repeats nor expects a validation.
    """
    batches = step * accumulation
    done = max(batches - 1, 0)
    micro = {"ready": batches, "started": batches, "processed": batches, "completed": done}
    steps = {"ready": step, "completed": step}
    cleared = {"ready": step, "started": step, "completed": step}
    nothing = {"ready": 0, "started": 0, "processed": 0, "completed": 0}
    epoch = {"ready": 1, "started": 1, "processed": 0, "completed": 0} if step else nothing
    validation = {"total": nothing, "current": nothing, "is_last_batch": False}
    return {
        "state_dict": {},
        "epoch_progress": {"total": epoch, "current": epoch},
        "epoch_loop.state_dict": {"_batches_that_stepped": max(step - 1, 0)},
        "epoch_loop.batch_progress": {"total": micro, "current": micro, "is_last_batch": False},
        "epoch_loop.scheduler_progress": {
            "total": {"ready": 0, "completed": 0},
            "current": {"ready": 0, "completed": 0},
        },
        "epoch_loop.automatic_optimization.state_dict": {},
        "epoch_loop.automatic_optimization.optim_progress": {
            "optimizer": {
                "step": {"total": steps, "current": steps},
                "zero_grad": {"total": cleared, "current": cleared},
            }
        },
        "epoch_loop.manual_optimization.state_dict": {},
        "epoch_loop.manual_optimization.optim_step_progress": {
            "total": {"ready": 0, "completed": 0},
            "current": {"ready": 0, "completed": 0},
        },
        "epoch_loop.val_loop.state_dict": {},
        "epoch_loop.val_loop.batch_progress": validation,
    }


# What Lightning says.


def quiet_lightning() -> None:
    """Silence what Lightning says at every start and nobody can act on, or what is said here in a line."""
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
    warnings.filterwarnings("ignore", r"The number of training batches \(\d+\) is smaller than the logging")
    for name in _TALKERS:
        logging.getLogger(f"lightning.{name}").addFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return _NEWS_TO_NOBODY.search(record.getMessage()) is None
