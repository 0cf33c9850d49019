"""Freed memory stays with the process between steps, within bounds, and goes back when asked to."""

from __future__ import annotations

import ctypes
import json
import os
import subprocess
import sys
from statistics import median
from types import SimpleNamespace
from typing import Any

import pytest

from lightning_modules.utils import allocator
from tests.helpers.places import HELPERS

CHILD = HELPERS / "allocator_child.py"
PADDING = 64 * 2**20


def train(*batch_sizes: int, kept: bool) -> dict[str, Any]:
    """Pages first touched in each step, resident bytes at its end and at most, of a process that trains."""
    result = subprocess.run(
        [sys.executable, str(CHILD), *map(str, batch_sizes)],
        env=os.environ | ({} if kept else {allocator.SWITCH: "0"}),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    figures = json.loads(result.stdout)
    assert figures["kept"] == kept
    return figures


@pytest.mark.slow
def test_a_step_touches_hardly_any_page_that_the_steps_before_did_not() -> None:
    # At 272 images an activation of 32 channels is over 32 MB: glibc then always asks the system anew.
    usual, kept = (train(*[272] * 6, kept=kept) for kept in (False, True))
    # The first steps make the gradients and the optimizer's state, and meet the largest demand. Now and then
    # a later one still needs a little more, since what was freed lies in other pieces: hence the median.
    assert median(kept["faults"][2:]) * 20 < median(usual["faults"][2:])
    assert max(kept["resident"]) < 1.35 * usual["peak"]  # what is kept is what was in use at once, and gaps


@pytest.mark.slow
def test_memory_does_not_grow_with_steps_of_many_sizes_and_goes_back_when_asked_to() -> None:
    sizes = [16 - step * 7 % 5 for step in range(24)]
    figures = train(*sizes, kept=True)
    resident = figures["resident"]
    assert max(resident[8:]) < 1.05 * max(resident[:8])
    assert figures["resident_when_freed"] < max(resident) - PADDING


@pytest.mark.parametrize("library", [SimpleNamespace(), OSError(), TypeError()])
def test_nothing_is_set_where_the_c_library_is_another(library: object, monkeypatch) -> None:
    def load(_name: object) -> object:
        if isinstance(library, Exception):
            raise library
        return library

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert not allocator.keep_freed_memory()
    allocator.free_memory()
