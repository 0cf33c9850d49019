"""Trainer flags that Lightning takes and that would end a run of this project later, or change nothing."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

_PRECISIONS = ("32-true", "32", "16-mixed", "16", "bf16-mixed", "bf16", "None")
_STRATEGIES = ("ddp_spawn", "ddp_fork", "ddp_notebook")
_MOST_CPU_PROCESSES = 8


def check_trainer(flags: Mapping[str, Any]) -> None:
    """Refuse flags of the Trainer that cannot work here.

    Args:
        flags: The `trainer` section of the configuration.

    Raises:
        ValueError: With the option, what it may be and what was given.
    """
    steps, time = flags["max_steps"], flags["max_time"]
    trial = flags["fast_dev_run"]
    endless = steps < 0 and time is None and not trial
    cores = os.cpu_count() or 1
    rules = (
        (
            "max_epochs",
            flags["max_epochs"] is None,
            "counts epochs, and a run counts steps: --trainer.max_steps",
        ),
        ("max_steps", not endless, "says how long to train: give it, or --trainer.max_time"),
        ("max_steps", steps != 0 or trial, "is 0: there is nothing to train. Give a number of steps"),
        (
            "max_steps",
            steps >= -1,
            f"is a number of steps, or -1 for no end beside --trainer.max_time, not {steps}",
        ),
        ("log_every_n_steps", _at_least(flags, "log_every_n_steps", 1), "must be at least 1"),
        ("val_check_interval", flags["val_check_interval"] not in (0, 0.0), "must be at least 1 micro-batch"),
        ("check_val_every_n_epoch", _at_least(flags, "check_val_every_n_epoch", 1), "must be at least 1"),
        ("limit_train_batches", flags["limit_train_batches"] not in (0, 0.0), "must be above 0"),
        (
            "num_sanity_val_steps",
            _at_least(flags, "num_sanity_val_steps", -1),
            "must be at least 0, or -1 for all",
        ),
        ("accumulate_grad_batches", _at_least(flags, "accumulate_grad_batches", 1), "must be at least 1"),
        (
            "gradient_clip_val",
            _at_least(flags, "gradient_clip_val", 0),
            "must be at least 0, which is no clipping",
        ),
        ("min_steps", _at_least(flags, "min_steps", 0), "must be at least 0"),
        (
            "min_steps",
            flags["min_steps"] is None or steps < 0 or flags["min_steps"] <= steps,
            f"must be at most --trainer.max_steps, which is {steps}",
        ),
        (
            "precision",
            str(flags["precision"]) in _PRECISIONS,
            "must be 32-true, bf16-mixed or 16-mixed (weights are kept in 32 bits)",
        ),
        (
            "strategy",
            flags["strategy"] not in _STRATEGIES,
            "must be auto or ddp (other processes cannot find the run that they are to continue)",
        ),
        (
            "devices",
            flags["accelerator"] != "cpu" or _number(flags["devices"]) <= max(cores, _MOST_CPU_PROCESSES),
            f"must be, on a CPU, a number of processes up to {max(cores, _MOST_CPU_PROCESSES)} here",
        ),
        ("default_root_dir", flags["default_root_dir"] != "", "must be a folder for the runs, such as runs"),
    )
    for name, fits, wanted in rules:
        if not fits:
            given = "" if str(flags[name]) in wanted or flags[name] is None else f", not {flags[name]!r}"
            raise ValueError(f"--trainer.{name} {wanted}{given}.")


def _at_least(flags: Mapping[str, Any], name: str, least: float) -> bool:
    return flags[name] is None or bool(flags[name] >= least)


def _number(devices: Any) -> int:  # noqa: ANN401
    return int(devices) if str(devices).lstrip("-").isdigit() else 1
