"""Comparing two runs bit for bit: what they have saved, logged and trained on."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from tensorboard.backend.event_processing.event_accumulator import (
    EventAccumulator,
)
from torch import Tensor

from lightning_modules.logs.metrics_file import read_metrics
from lightning_modules.run.directory import RunDirectory

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
_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@dataclass(frozen=True)
class Difference:
    """The first difference within a part of two runs.

    Attributes:
        part: What was compared, such as "weights".
        name: Where in it, such as `state_dict.network.head.weight`.
        text: Index and values.
    """

    part: str
    name: str
    text: str

    def __str__(self) -> str:
        return f"{self.part}: {self.name}: {self.text}"


@dataclass(frozen=True)
class Comparison:
    """What was compared under a name.

    Attributes:
        part: What, such as "weights".
        values: Number of values.
        difference: The first difference; None if all are identical.
    """

    part: str
    values: int
    difference: Difference | None


def compare_checkpoints(expected: Path, found: Path) -> list[Comparison]:
    """Compare all that two checkpoints hold, by parts, but Lightning's count of validations."""
    one, other = (_load(path) for path in (expected, found))
    averaged = RAW in one
    parts: dict[str, dict[str, tuple[Any, Any]]] = {}
    for key in sorted({*one, *other}):
        part = PARTS.get(key, "everything else in the checkpoint")
        if key == AVERAGED and not averaged:
            part = "weights"
        parts.setdefault(part, {})[key] = (one.get(key, _MISSING), other.get(key, _MISSING))
    return [_compare_part(part, entries) for part, entries in parts.items()]


def compare_batches(expected: Sequence[str], found: Mapping[int, str]) -> Comparison:
    """Compare the order of the data: a hash of images and labels per micro-batch, counted over the run."""
    part = "batch order"
    for number in sorted({*range(len(expected)), *found}):
        wanted = expected[number] if number < len(expected) else "none"
        got = found.get(number, "none")
        if wanted != got:
            difference = Difference(part, f"micro-batch {number}", f"{wanted} became {got}")
            return Comparison(part, len(expected), difference)
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


def first_difference(expected: object, found: object, name: str) -> tuple[str, str] | None:
    """Return where two nested values differ first, and how; None if they are identical bit for bit."""
    if type(expected) is not type(found):
        return name, f"{_short(expected)} became {_short(found)}"
    if isinstance(expected, Tensor) and isinstance(found, Tensor):
        text = _tensor_difference(expected, found)
        return (name, text) if text else None
    if isinstance(expected, Mapping) and isinstance(found, Mapping):
        pairs: Iterator[tuple[Any, Any, str]] = (
            (expected.get(key, _MISSING), found.get(key, _MISSING), f"{name}.{key}" if name else str(key))
            for key in [*expected, *(key for key in found if key not in expected)]
        )
    elif isinstance(expected, list | tuple) and isinstance(found, list | tuple):
        longest = range(max(len(expected), len(found)))
        pairs = (
            (
                expected[i] if i < len(expected) else _MISSING,
                found[i] if i < len(found) else _MISSING,
                f"{name}[{i}]",
            )
            for i in longest
        )
    else:
        same = expected == found or (expected != expected and found != found)
        return None if same else (name, f"{_short(expected)} became {_short(found)}")
    return next((at for a, b, where in pairs if (at := first_difference(a, b, where))), None)


def _load(path: Path) -> dict[str, Any]:
    checkpoint: dict[str, Any] = torch.load(path, "cpu", weights_only=True)
    for loop in checkpoint.get("loops", {}).values():
        for key in [key for key in loop if "val_loop" in key]:
            del loop[key]  # how often a validation ran, in this process or in those before
    return checkpoint


class _Missing:
    def __repr__(self) -> str:
        return "nothing"


_MISSING = _Missing()


def _compare_part(part: str, entries: Mapping[str, tuple[Any, Any]]) -> Comparison:
    values = sum(_count(one) for one, _ in entries.values())
    for name, (one, other) in entries.items():
        if at := first_difference(one, other, name):
            return Comparison(part, values, Difference(part, *at))
    return Comparison(part, values, None)


def _tensor_difference(expected: Tensor, found: Tensor) -> str | None:
    for what in ("dtype", "shape"):
        if getattr(expected, what) != getattr(found, what):
            return f"{what} {getattr(expected, what)} became {getattr(found, what)}"
    differing = (_bits(expected) != _bits(found)).any(1)
    count = int(differing.sum())
    if not count:
        return None
    place = int(differing.nonzero()[0, 0])
    index = [int(i) for i in torch.unravel_index(torch.tensor(place), expected.shape)]
    a, b = (tensor.reshape(-1)[place].item() for tensor in (expected, found))
    return f"at {index} {a!r} became {b!r}; {count:,} of {expected.numel():,} values differ"


def _bits(tensor: Tensor) -> Tensor:
    """Return each value's bits as a row of integers, so that NaN equals itself and 0 is not -0."""
    values = torch.view_as_real(tensor) if tensor.is_complex() else tensor
    flat = values.detach().contiguous().reshape(-1)
    return flat.view(_INTEGERS[flat.element_size()]).reshape(tensor.numel(), -1)


def _count(value: object) -> int:
    if isinstance(value, Tensor):
        return value.numel()
    if isinstance(value, Mapping):
        return sum(_count(inner) for inner in value.values())
    if isinstance(value, list | tuple):
        return sum(_count(inner) for inner in value)
    return 1


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


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
