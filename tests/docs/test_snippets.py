"""The Python of the README and of `docs/` runs as it stands there, but for the lengths."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.helpers.command_line import LIGHTNING_WARNINGS
from tests.helpers.pages import Block, blocks

pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:The number of training batches:UserWarning"),  # they are short here
]

SHORT = {"max_steps=1000": "max_steps=2", "val_check_interval=200": "val_check_interval=1"}
SNIPPETS = [
    block
    for block in blocks()
    if block.language == "python"
    and not block.title
    and block.page != "extending.md"  # see test_extending.py
]


def shortened(code: str) -> str:
    """A snippet whose trainings are short."""
    for long, short in SHORT.items():
        code = code.replace(long, short)
    return code


@pytest.mark.parametrize("block", SNIPPETS, ids=str)
def test_a_snippet_runs(block: Block, here: Path) -> None:
    exec(compile(shortened(block.text), str(block), "exec"), {"__name__": "__main__"})
