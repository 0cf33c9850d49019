"""Trainer flags that Lightning takes and that would end a run of this project later, or change nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

_LEAST = {
    "log_every_n_steps": 1,
    "check_val_every_n_epoch": 1,
    "num_sanity_val_steps": -1,
    "accumulate_grad_batches": 1,
    "gradient_clip_val": 0,
    "min_steps": 0,
}
_PRECISIONS = ("32-true", "32", "16-mixed", "16", "bf16-mixed", "bf16", "None")
_OTHER_PROCESSES = ("ddp_spawn", "ddp_fork", "ddp_notebook")
_MOST_CPU_PROCESSES = max(os.cpu_count() or 1, 8)
_CALLBACKS = {
    "BatchSizeFinder": "chooses another batch at each start, so that a run could not continue: give "
    "--data.batch_size; what does not fit into memory is computed in parts",
    "GradientAccumulationScheduler": "changes the steps that a run continues by: give "
    "--trainer.accumulate_grad_batches",
    "LearningRateFinder": "does not know where the learning rate stands here: try some with "
    "--model.optimizer.learning_rate",
    "StochasticWeightAveraging": "is not needed, and would change the learning rate: weights are averaged, "
    "see --ema.decay",
}
"""Callbacks of Lightning's that cannot work here, and what to do without them."""


class _Rule(NamedTuple):
    """What a flag must be, so that "--trainer.FLAG WANTED" is a sentence."""

    flag: str
    fits: bool
    wanted: str


def check_trainer(flags: Mapping[str, Any]) -> None:
    """Refuse flags of the Trainer that cannot work here.

    Args:
        flags: The `trainer` section of the configuration.

    Raises:
        ValueError: With the option, what it may be and what was given.
    """
    callbacks = flags["callbacks"] or []
    for callback in callbacks if isinstance(callbacks, list) else [callbacks]:
        name = str(callback["class_path"]).rpartition(".")[2]
        if name in _CALLBACKS:
            raise ValueError(f"--trainer.callbacks: {name} {_CALLBACKS[name]}.")
    for name, fits, wanted in (*_of_the_length(flags), *_of_the_steps(flags), *_of_the_processes(flags)):
        if not fits:
            told = flags[name] is None or str(flags[name]) in wanted
            raise ValueError(f"--trainer.{name} {wanted}{'' if told else f', not {flags[name]!r}'}.")


def _of_the_length(flags: Mapping[str, Any]) -> Iterator[_Rule]:
    steps, trial = flags["max_steps"], flags["fast_dev_run"]
    endless = steps < 0 and flags["max_time"] is None and not trial
    yield _Rule("max_epochs", flags["max_epochs"] is None, "counts epochs; a run counts --trainer.max_steps")
    yield _Rule("max_steps", steps >= -1, "must be a number of steps, or -1 with --trainer.max_time")
    yield _Rule("max_steps", not endless, "says how long to train: give it, or --trainer.max_time")
    yield _Rule("max_steps", steps != 0 or trial, "is 0: there is nothing to train. Give a number of steps")
    least = flags["min_steps"]
    wanted = f"must be at most --trainer.max_steps, which is {steps}"
    yield _Rule("min_steps", least is None or steps < 0 or least <= steps, wanted)


def _of_the_steps(flags: Mapping[str, Any]) -> Iterator[_Rule]:
    for name, least in _LEAST.items():
        yield _Rule(name, flags[name] is None or flags[name] >= least, f"must be at least {least}")
    yield _Rule("val_check_interval", flags["val_check_interval"] != 0, "must be at least 1 micro-batch")
    wanted = "must be a whole number of micro-batches (training is one long epoch), or a time: 00:00:10:00"
    yield _Rule("val_check_interval", not isinstance(flags["val_check_interval"], float), wanted)
    wanted = "must be 0 (no batch is repeated here: train on a folder of a few images instead)"
    yield _Rule("overfit_batches", not flags["overfit_batches"], wanted)
    yield _Rule("limit_train_batches", flags["limit_train_batches"] != 0, "must be above 0")
    wanted = "must be 32-true, bf16-mixed or 16-mixed (weights are kept in 32 bits)"
    yield _Rule("precision", str(flags["precision"]) in _PRECISIONS, wanted)


def _of_the_processes(flags: Mapping[str, Any]) -> Iterator[_Rule]:
    wanted = "must be auto or ddp (other processes cannot find the run that they are to continue)"
    yield _Rule("strategy", flags["strategy"] not in _OTHER_PROCESSES, wanted)
    devices = str(flags["devices"])
    fits = flags["accelerator"] != "cpu" or not devices.isdigit() or int(devices) <= _MOST_CPU_PROCESSES
    yield _Rule("devices", fits, f"must be, on a CPU, a number of processes up to {_MOST_CPU_PROCESSES} here")
    folder = flags["default_root_dir"]
    yield _Rule("default_root_dir", folder != "", "must be a folder for the runs, such as runs")
    if folder and not flags["fast_dev_run"]:
        yield _Rule("default_root_dir", _can_be_written(Path(folder)), "must be a folder that can be written")


def _can_be_written(folder: Path) -> bool:
    """Tell whether a folder can be written to or made, and leave it to the first write if that is unclear."""
    there = next((path for path in (folder, *folder.absolute().parents) if path.exists()), folder)
    return there.is_dir() and os.access(there, os.W_OK | os.X_OK)
