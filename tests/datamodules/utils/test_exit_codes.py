"""Exit statuses: one table, which what starts commands can import or run without torch."""

from __future__ import annotations

import ast
import os
import re
import runpy
import signal
from pathlib import Path

import pytest

from datamodules.utils import exit_codes
from tests.helpers.places import REPOSITORY

SOURCES = [
    *(
        path
        for folder in ("lightning_modules", "datamodules", "scripts")
        for path in (REPOSITORY / folder).rglob("*.py")
    ),
    REPOSITORY / "modal_entry.py",
]
ENDS = {"sys.exit", "os._exit", "SystemExit"}


def test_the_statuses_are_those_that_others_know() -> None:
    assert exit_codes.RESUME == os.EX_TEMPFAIL == 75
    assert exit_codes.REFUSED == 2  # argparse's
    assert exit_codes.stopped_by(signal.SIGINT) == 130
    table = runpy.run_path(exit_codes.__file__)
    assert {name: value for name, value in table.items() if name.isupper()} == {
        name: value for name, value in vars(exit_codes).items() if name.isupper()
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_command_ends_with_a_number_of_its_own(path: Path) -> None:
    calls = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ENDS
    ]
    numbers = [
        ast.unparse(call)
        for call in calls
        for inner in ast.walk(call)
        if isinstance(inner, ast.Constant) and type(inner.value) is int and inner.value
    ]
    assert not numbers


@pytest.mark.parametrize("page", ["runs-and-resuming.md", "modal.md", "many-devices.md"])
def test_the_pages_name_the_status_of_a_stopped_run(page: str) -> None:
    text = (REPOSITORY / "docs" / page).read_text(encoding="utf-8")
    assert set(map(int, re.findall(r"status (\d+)", text))) >= {exit_codes.RESUME}
