"""Where two nested values differ: settings, checkpoints, what was logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

_INTEGERS = {1: torch.uint8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
_LONGEST = 120  # characters of a value that are shown


class _Nothing:
    def __repr__(self) -> str:
        return "nothing"


NOTHING = _Nothing()
"""What stands for a value that is there on one side only."""


@dataclass(frozen=True)
class Difference:
    """A place where two values differ.

    Attributes:
        name: Where, such as `state_dict.network.head.weight` or `loops[0]`.
        expected: What is there on the first side.
        found: What is there on the second.
    """

    name: str
    expected: Any
    found: Any

    def change(self) -> str:
        """Say what became of the first value: `0 became 1`; of a tensor, where its first change is."""
        if isinstance(self.expected, Tensor) and isinstance(self.found, Tensor):
            return _tensor_change(self.expected, self.found)
        return f"{_short(self.expected)} became {_short(self.found)}"

    def since_the_run(self) -> str:
        """Say how a setting of a run differs from the command line's: `width: 192 in the run, 256 now`."""
        return f"{self.name}: {_shown(self.expected)} in the run, {_shown(self.found)} now"

    def not_wanted(self) -> str:
        """Say what a setting is in place of what it should be: `seed is 1, not 2`."""
        return f"{self.name} is {_shown(self.expected)}, not {_shown(self.found)}"


def identical(expected: object, found: object) -> bool:
    """Tell whether two values are the same bit for bit, and of the same type; NaN equals itself."""
    if type(expected) is not type(found):
        return False
    if isinstance(expected, Tensor) and isinstance(found, Tensor):
        alike = expected.dtype == found.dtype and expected.shape == found.shape
        return alike and bool((_bits(expected) == _bits(found)).all())
    return bool(expected == found or (expected != expected and found != found))


def equal(expected: object, found: object) -> bool:
    """Tell whether two plain values are equal, whole numbers and others included."""
    return bool(expected == found)


def differences(
    expected: object,
    found: object,
    name: str = "",
    same: Callable[[object, object], bool] = identical,
    within: tuple[type, ...] = (Mapping, list, tuple),
) -> Iterator[Difference]:
    """Yield the places where two nested values differ, in the order of the first.

    Args:
        expected: The first value.
        found: The second.
        name: What both are called.
        same: Compares what is not looked into.
        within: Kinds of values that are looked into.
    """
    kinds = (type(expected), type(found))
    if not isinstance(expected, within) or not isinstance(found, within) or kinds[0] is not kinds[1]:
        if not same(expected, found):
            yield Difference(name, expected, found)
        return
    for one, other, where in _pairs(expected, found, name):
        yield from differences(one, other, where, same, within)


def first_difference(expected: object, found: object, name: str = "") -> Difference | None:
    """Return where two nested values differ first; None if they are identical bit for bit."""
    return next(differences(expected, found, name), None)


def _pairs(expected: Any, found: Any, name: str) -> Iterator[tuple[Any, Any, str]]:  # noqa: ANN401
    if isinstance(expected, Mapping):
        for key in [*expected, *(key for key in found if key not in expected)]:
            yield expected.get(key, NOTHING), found.get(key, NOTHING), f"{name}.{key}" if name else str(key)
        return
    for i in range(max(len(expected), len(found))):
        one, other = (values[i] if i < len(values) else NOTHING for values in (expected, found))
        yield one, other, f"{name}[{i}]"


def _tensor_change(expected: Tensor, found: Tensor) -> str:
    for what in ("dtype", "shape"):
        if getattr(expected, what) != getattr(found, what):
            return f"{what} {getattr(expected, what)} became {getattr(found, what)}"
    differing = (_bits(expected) != _bits(found)).any(1)
    place = int(differing.nonzero()[0, 0])
    index = [int(i) for i in torch.unravel_index(torch.tensor(place), expected.shape)]
    a, b = (tensor.reshape(-1)[place].item() for tensor in (expected, found))
    return f"at {index} {a!r} became {b!r}; {int(differing.sum()):,} of {expected.numel():,} values differ"


def _bits(tensor: Tensor) -> Tensor:
    """Return each value's bits as a row of integers, so that NaN equals itself and 0 is not -0."""
    dense = tensor.to_dense() if tensor.is_sparse else tensor
    values = torch.view_as_real(dense) if dense.is_complex() else dense
    flat = values.detach().contiguous().reshape(-1)
    parts = 2 if dense.is_complex() else 1
    return flat.view(_INTEGERS[flat.element_size()]).reshape(tensor.numel(), parts)


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
