"""Whether a run's checkpoint can be loaded into the model of a command line, before anything is written."""

from __future__ import annotations

import dataclasses
import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from datamodules.errors import printable
from lightning_modules.checkpoints.errors import DamagedCheckpointError
from lightning_modules.checkpoints.opening import open_checkpoint
from lightning_modules.module import DiffusionModule
from lightning_modules.networks.config import NetworkConfig
from lightning_modules.utils.differences import differences

logger = logging.getLogger(__name__)

_OF_TRAINING = ("model", "state_dict", "callbacks", "loops", "optimizer_states")
_NO_SHAPE = (
    "class_names",
    "compile",
    "cond_dropout",
    "network.dropout",
    "noise_levels",
    "optimizer",
    "preconditioner",
    "seed",
    "weighting",
)
"""Hyper-parameters that change no weight's shape."""
_PLAIN = (bool, int, float, str, list, tuple, type(None))
_FEW = 3


class CannotCarryOverError(ValueError):
    """A run's weights cannot be carried over to the model of a command line."""


def check_fits(checkpoint: Path, model: DiffusionModule) -> None:
    """Refuse a checkpoint that cannot be trained on with a model, or that would mean something else in it.

    Raises:
        CannotCarryOverError: If the weights do not fit, with the settings that differ, or labels would move.
        DamagedCheckpointError: If training has not saved it.
        UnsafeCheckpointError: If it holds more than data.
        OSError: If it cannot be read.
    """
    stored = open_checkpoint(checkpoint)
    for name in _OF_TRAINING:
        if name not in stored:
            raise DamagedCheckpointError(
                f"{checkpoint} is not a whole checkpoint of a model of this project (it has no '{name}')"
            )
    kind, own = stored["model"], type(model).__name__
    if kind != own:
        raise _refusal(checkpoint, [f"model: {kind} in the run, {own} now"])
    there: Mapping[str, Any] = stored.get("hyper_parameters", {})
    if differing := _misfits(stored["state_dict"], model.state_dict()):
        raise _refusal(checkpoint, _settings(there, model) or differing)
    _check_classes(checkpoint, tuple(there.get("class_names", ())), model.class_names)


def _misfits(there: Mapping[str, Tensor], here: Mapping[str, Tensor]) -> list[str]:
    """Return the first few weights that are not alike in both."""
    one, other = ({name: tuple(each.shape) for name, each in side.items()} for side in (there, here))
    found = differences(one, other, within=(Mapping,))
    return [each.since_the_run() for each in itertools.islice(found, _FEW)]


def _settings(there: Mapping[str, Any], model: DiffusionModule) -> list[str]:
    """Return the settings of the network that differ."""
    there, here = _flat(there), _flat(model.hparams)
    differing = [
        f"{name}: {there[name]} in the run, {here[name]} now"
        for name in sorted(there.keys() & here.keys())
        if name not in _NO_SHAPE
        and isinstance(here[name], _PLAIN)
        and _plain(there[name]) != _plain(here[name])
    ]
    classes = tuple(there.get("class_names", ()))
    if len(classes) != len(model.class_names):
        differing.append(f"classes: {len(classes)} in the run, {len(model.class_names)} now")
    return differing


def _flat(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Name the options of the network one by one, which a run's checkpoint has a mapping of."""
    of_network = settings.get("network", {})
    options = dataclasses.asdict(of_network) if isinstance(of_network, NetworkConfig) else of_network
    return {**settings, **{f"network.{name}": value for name, value in options.items()}}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _check_classes(checkpoint: Path, there: Sequence[str], here: Sequence[str]) -> None:
    """Refuse classes that have moved: the run's labels would mean others. A new name is no new class."""
    if len(there) < 2 or tuple(there) == tuple(here):
        return
    places = {name: number for number, name in enumerate(there)}
    moved = [name for number, name in enumerate(here) if places.get(name, number) != number]
    if moved:
        names = ", ".join(map(printable, moved[:_FEW]))
        raise _refusal(checkpoint, [f"classes have other numbers than in the run: {names}"])
    renamed = [f"{old} is now {new}" for old, new in zip(there, here, strict=True) if old != new]
    logger.warning("Classes have other names than in the run: %s.", printable("; ".join(renamed[:_FEW])))


def _refusal(checkpoint: Path, differing: Sequence[str]) -> CannotCarryOverError:
    return CannotCarryOverError(
        f"the weights of {checkpoint} cannot be carried over to this command line's network: "
        f"{'; '.join(differing)}. Start another run with --fresh, or set that back."
    )
