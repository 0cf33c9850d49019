"""Where nested values differ, and what is the same."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch

from lightning_modules.utils.differences import differences, equal, first_difference


def change(expected: object, found: object) -> tuple[str, str] | None:
    """The name and the words of the first difference."""
    at = first_difference(expected, found, "x")
    return None if at is None else (at.name, at.change())


def test_nan_equals_itself_and_zero_is_not_minus_zero():
    nan, zero = torch.tensor([math.nan]), torch.tensor([0.0])
    assert change(nan, nan.clone()) is None
    assert change(math.nan, math.nan) is None
    assert change(zero, -zero) is not None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.int64, torch.bool, torch.complex64])
def test_every_dtype_is_compared(dtype):
    one = torch.zeros(3, 2).to(dtype)
    other = one.clone()
    other[2, 1] = 1
    assert change(one, one.clone()) is None
    found = change(one, other)
    assert found is not None
    name, text = found
    assert text.startswith("at [2, 1]")
    assert name == "x"


def test_scalars_and_types_are_told_apart():
    assert change(torch.tensor(1.0), torch.tensor(2.0)) == (
        "x",
        "at [] 1.0 became 2.0; 1 of 1 values differ",
    )
    assert change(1, 1.0) == ("x", "1 became 1.0")
    assert change([1, 2], [1]) == ("x[1]", "2 became nothing")
    assert change((1, 2), [1, 2]) == ("x", "(1, 2) became [1, 2]")


@pytest.mark.parametrize(
    "value",
    [torch.empty(0, 3), torch.eye(3).to_sparse(), torch.tensor(1.0), {}, [], {"a": [None, {"b": ()}]}],
)
def test_what_is_empty_sparse_or_a_scalar_is_compared_too(value: object) -> None:
    assert change(value, value) is None
    assert change({"y": value}, {}) is not None


def test_tensors_of_other_kinds_are_told_by_what_they_are() -> None:
    one = torch.zeros(2)
    for other, words in ((one.double(), "dtype"), (torch.zeros(3), "shape")):
        assert words in str(change(one, other))


def test_all_differences_come_in_the_order_of_the_first() -> None:
    one: dict[str, Any] = {"a": {"b": 1, "c": [1, 2]}, "d": 1}
    other: dict[str, Any] = {"e": 5, "a": {"c": [1, 3], "b": 2}}
    assert [each.name for each in differences(one, other)] == ["a.b", "a.c[1]", "d", "e"]
    assert [each.since_the_run() for each in differences(one, other, within=(Mapping,))] == [
        "a.b: 1 in the run, 2 now",
        "a.c: [1, 2] in the run, [1, 3] now",
        "d: 1 in the run, nothing now",
        "e: nothing in the run, 5 now",
    ]


def test_plain_values_are_equal_across_kinds_of_numbers() -> None:
    assert not list(differences({"a": 1}, {"a": 1.0}, same=equal))
    assert list(differences({"a": 1}, {"a": 1.0}))
