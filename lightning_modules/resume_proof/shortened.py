"""A user's own configuration, made short enough to be trained again and again."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

OWN = ("run", "fresh", "fast-dev-run", "trainer.default_root_dir")
"""Options of which run to train and where, which a proof decides by itself."""
SCALED = (
    "trainer.val_check_interval",
    "trainer.log_every_n_steps",
    "sample_grid.every_n_steps",
    "checkpoint.every_n_steps",
    "learning_rate.warm_up",
    "learning_rate.cool_down",
    "learning_rate.cool_down_start",
)
"""Lengths that shrink with the run. 0 stays 0, and what was there at all is 1 at least."""


def shortened(config: Mapping[str, Any], steps: int, given: Collection[str]) -> dict[str, int]:
    """Return the options that shorten a run, with what they are set to.

    Args:
        config: The resolved configuration of the full run.
        steps: Length of the short run in optimizer steps.
        given: Options that the command line names: they are for the short run already.

    Raises:
        ValueError: If the run saves no checkpoints, or an option is for the proof itself to set.
    """
    if own := [name for name in OWN if name in given]:
        raise ValueError(f"--{own[0]} is not for a proof, which trains runs of its own.")
    full = config["trainer"]["max_steps"]
    scale = min(1.0, steps / full) if full > 0 else 1.0
    options = {"trainer.max_steps": steps}
    for name in SCALED:
        section, key = name.split(".")
        value = config[section][key]
        if name not in given and type(value) is int and value > 0:
            options[name] = max(1, int(value * scale))
    if not config["checkpoint"]["every_n_steps"]:
        raise ValueError("the run saves no checkpoints: set --checkpoint.every_n_steps")
    return options


def named_options(args: Collection[str]) -> set[str]:
    """Return the names of the options of a command line, without their dashes."""
    return {arg[2:].partition("=")[0] for arg in args if arg.startswith("--")}
