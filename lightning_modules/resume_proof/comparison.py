"""Comparing two runs bit for bit: what they have saved, logged and trained on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor

from lightning_modules.checkpoints.opening import load_data
from lightning_modules.logs.metrics_table import read_metrics
from lightning_modules.run.directory import RunDirectory
from lightning_modules.utils.differences import NOTHING, first_difference

RAW, AVERAGED = "current_model_state", "state_dict"
PARTS = {
    RAW: "weights",
    AVERAGED: "averaged weights",
    "optimizer_states": "optimizer and learning rate",
    "callbacks": "callback state",
    "loops": "position",
    "global_step": "position",
    "epoch": "position",
}
"""What the entries of a checkpoint are called in a certificate."""
TIMED = "throughput/"
"""Logged values that tell of the clock, not of the training."""


@dataclass(frozen=True)
class Comparison:
    """What was compared under a name.

    Attributes:
        part: What, such as "weights".
        values: Number of values.
        difference: Where the first difference is, and what it is; None if all are identical.
    """

    part: str
    values: int
    difference: str | None


def compare_checkpoints(expected: Path, found: Path) -> list[Comparison]:
    """Compare all that two checkpoints hold, by parts, but Lightning's count of validations."""
    one, other = (_load(path) for path in (expected, found))
    averaged = RAW in one
    parts: dict[str, dict[str, tuple[Any, Any]]] = {}
    for key in sorted({*one, *other}):
        part = PARTS.get(key, "everything else in the checkpoint")
        if key == AVERAGED and not averaged:
            part = "weights"
        parts.setdefault(part, {})[key] = (one.get(key, NOTHING), other.get(key, NOTHING))
    return [_compare_part(part, entries) for part, entries in parts.items()]


def compare_batches(expected: Sequence[str], found: Mapping[int, str]) -> Comparison:
    """Compare the order of the data: a hash of images and labels per micro-batch, counted over the run."""
    part = "batch order"
    for number in sorted({*range(len(expected)), *found}):
        wanted = expected[number] if number < len(expected) else "none"
        got = found.get(number, "none")
        if wanted != got:
            return Comparison(part, len(expected), f"micro-batch {number}: {wanted} became {got}")
    return Comparison(part, len(expected), None)


def compare_logs(expected: Path, found: Path) -> list[Comparison]:
    """Compare what two run directories have logged: step axes, and values but of the clock."""
    one, other = _logged(expected), _logged(found)
    axes, values = "steps on TensorBoard's axis", "values in TensorBoard"
    axis = {tag: (_steps(one.get(tag, [])), _steps(other.get(tag, []))) for tag in sorted({*one, *other})}
    untimed = {
        tag: (dict(one.get(tag, [])), dict(other.get(tag, []))) for tag in axis if not tag.startswith(TIMED)
    }
    return [_compare_part(axes, axis), _compare_part(values, untimed)]


def _load(path: Path) -> dict[str, Any]:
    checkpoint = load_data(path, mmap=False)
    for loop in checkpoint.get("loops", {}).values():
        for key in [key for key in loop if "val_loop" in key]:
            del loop[key]  # how often a validation ran, in this process or in those before
    return checkpoint


def _compare_part(part: str, entries: Mapping[str, tuple[Any, Any]]) -> Comparison:
    values = sum(_count(one) for one, _ in entries.values())
    for name, (one, other) in entries.items():
        if at := first_difference(one, other, name):
            return Comparison(part, values, f"{at.name}: {at.change()}")
    return Comparison(part, values, None)


def _count(value: object) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, Mapping):
        return sum(_count(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return sum(_count(inner) for inner in value)
    return 1


def _steps(points: Sequence[tuple[int, object]]) -> list[int]:
    return [step for step, _ in points]


def _logged(folder: Path) -> dict[str, list[tuple[int, object]]]:
    """Return step and value of scalars and pictures (by a hash), as TensorBoard and the table show them."""
    # It tells of every start of a process, which is what it is read for.
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()
    points: dict[str, list[tuple[int, object]]] = {}
    for tag in events.Tags()["scalars"]:
        points[tag] = [(event.step, event.value) for event in events.Scalars(tag)]
    for tag in events.Tags()["images"]:
        hashes = [(e.step, hashlib.sha256(e.encoded_image_string).hexdigest()) for e in events.Images(tag)]
        points[f"pictures {tag}"] = list(hashes)
    table = RunDirectory(folder).metrics
    for tag, scalars in read_metrics(table).items():
        points[f"{tag} in {table.name}"] = [(step, repr(value)) for step, value in scalars]
    return points
