"""Averages of any length after the run, out of those in its checkpoints (Karras et al. 2024, section 3.2)."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from datamodules.utils.progress import progress
from lightning_modules.checkpoints.opening import open_checkpoint
from lightning_modules.checkpoints.whole import fault
from lightning_modules.ema.profiles import Fit, Profile, exponent_of, fit

KEY = "power_averages"
"""Entry of a checkpoint: `{length: {"began": step, "weights": {name: tensor}}}`."""
MAX_ERROR = 0.1
"""Largest error of the fit with which a reconstruction counts as what was asked for."""
_MAX_STAND_IN = 1e-3
"""Largest share of an average that began late which is the weights it began with, for it to be used."""

_log = logging.getLogger(__name__)


class Reconstruction(NamedTuple):
    """An average that was put together from others."""

    weights: dict[str, Tensor]
    """Parameters by name."""

    step: int
    """The step that it is seen from."""

    error: float
    """Error of the fit: see `Fit.error`."""

    averages: int
    """Number of averages it was put together from."""

    checkpoints: int
    """Number of checkpoints that these are in."""


class _Kept(NamedTuple):
    path: Path
    name: str
    profile: Profile


def reconstruct(checkpoints: Sequence[Path], length: float, step: int | None = None) -> Reconstruction:
    """Put an average of any length together from those that a run's checkpoints hold.

    One checkpoint is open at a time. Damaged ones are skipped with a warning, and so are averages
    that began so late that the weights they began with are still a part of them.

    Args:
        checkpoints: Checkpoints of one run.
        length: Relative length sigma_rel.
        step: The step the average is seen from; None: the last checkpoint's. Later ones are not used.

    Raises:
        ValueError: If there are no averages, or they cannot express this length: with what they can.
    """
    exponent_of(length)
    kept, last = _kept_in(checkpoints, step)
    seen_from = last if step is None else step
    if not kept:
        raise ValueError(
            "there are no averages to reconstruct another from: train with --ema.lengths [0.05,0.1], and "
            "--checkpoint.keep_every_n_steps so that several checkpoints stay"
        )
    found = fit([each.profile for each in kept], Profile(length, seen_from))
    if found.error > MAX_ERROR:
        lengths = ", ".join(f"{value:g}" for value in sorted({each.profile.length for each in kept}))
        steps = sorted({each.profile.step for each in kept})
        raise ValueError(
            f"an average of length {length:g} at step {seen_from} cannot be made of those of length "
            f"{lengths} at {_counted(len(steps), 'step')} from {steps[0]} to {steps[-1]}: the error of the "
            f"fit is {found.error:.0%}, above {MAX_ERROR:.0%}. Ask for a length nearer to these, or keep "
            f"more checkpoints"
        )
    used = [each for each, factor in zip(kept, found.factors, strict=True) if factor]
    weights = _combine(kept, found)
    return Reconstruction(weights, seen_from, found.error, len(used), len({each.path for each in used}))


def described(found: Reconstruction) -> str:
    """Say in words what an average was put together from, and how well."""
    averages, checkpoints = _counted(found.averages, "average"), _counted(found.checkpoints, "checkpoint")
    return f"reconstructed from {averages} of {checkpoints}, error of the fit {found.error:.2%}"


def is_from_the_beginning(length: float, began: int, step: int) -> bool:
    """Tell whether what an average began with has become too small a part of it to matter."""
    return began == 0 or bool((began / step) ** (exponent_of(length) + 1) <= _MAX_STAND_IN)


def _kept_in(checkpoints: Sequence[Path], until: int | None) -> tuple[list[_Kept], int]:
    """Return the averages that can be used, and the last step among the checkpoints."""
    kept, last = [], 0
    with progress(checkpoints, desc="looking for averages", unit="checkpoint", delay=1.0) as bar:
        for path in bar:
            reason = fault(path)
            if reason is not None:
                _log.warning("%s is skipped: %s.", path, reason)
                continue
            stored = open_checkpoint(path)
            step = int(stored["global_step"])
            if step == 0 or (until is not None and step > until):
                continue
            last = max(last, step)
            averages: Mapping[str, Any] = stored.get(KEY, {})
            for name, average in averages.items():
                if is_from_the_beginning(float(name), average["began"], step):
                    kept.append(_Kept(path, name, Profile(float(name), step)))
                else:
                    _log.warning(
                        "%s: the average of length %s began at step %d and is skipped.",
                        path,
                        name,
                        average["began"],
                    )
    return kept, last


def _combine(kept: Sequence[_Kept], found: Fit) -> dict[str, Tensor]:
    by_path: dict[Path, list[tuple[str, float]]] = {}
    for each, factor in zip(kept, found.factors, strict=True):
        if factor:
            by_path.setdefault(each.path, []).append((each.name, factor))
    total: dict[str, Tensor] = {}
    dtypes: dict[str, torch.dtype] = {}
    with progress(by_path.items(), desc="reconstructing", unit="checkpoint", delay=1.0) as bar:
        for path, parts in bar:
            averages = open_checkpoint(path)[KEY]
            for name, factor in parts:
                for parameter, value in averages[name]["weights"].items():
                    dtypes[parameter] = value.dtype
                    wide = value.to(torch.promote_types(value.dtype, torch.float32))
                    if parameter in total:
                        total[parameter].add_(wide, alpha=factor)
                    else:
                        total[parameter] = wide * factor
    return {parameter: value.to(dtypes[parameter]) for parameter, value in total.items()}


def _counted(count: int, what: str) -> str:
    return f"{count} {what}" + ("" if count == 1 else "s")
