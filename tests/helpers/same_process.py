"""A process that tests share, left as it was."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def same_process() -> Iterator[None]:
    """What runs in this process leaves its environment and generators as they were."""
    environment, state = dict(os.environ), torch.get_rng_state()
    yield
    torch.set_rng_state(state)
    for name in set(os.environ) - set(environment):
        if name.startswith("PL_"):
            del os.environ[name]
