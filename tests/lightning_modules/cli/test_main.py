"""The command `ninelives`: what it says by itself, what it leads to, and what it imports for that."""

from __future__ import annotations

import importlib.metadata
import json
import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

from lightning_modules.cli import main
from lightning_modules.cli.names import COMMANDS
from lightning_modules.cli.parsing.help import short_help

HEAVY = ("torch", "lightning", "jsonargparse", "numpy", "PIL", "tensorboard", "torchmetrics", "modal")
IMPORTED = """
import json, sys
sys.argv = json.loads(sys.argv[1])
from lightning_modules.cli.main import main
try:
    main()
finally:
    print(json.dumps(sorted(sys.modules)), file=sys.__stderr__)
"""


def run(*args: str, **environment: str) -> tuple[int, str, str]:
    """Run the command in a process: its status, what it printed, and what it said or had imported."""
    line = json.dumps(["ninelives", *args])
    command = [sys.executable, "-c", IMPORTED, line]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=os.environ | environment
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize(
    "args", [["--help"], [], *([name, "--help"] for name in COMMANDS)], ids=lambda args: " ".join(args)
)
def test_help_imports_nothing_heavy(args: Sequence[str]) -> None:
    status, said, imported = run(*args)
    assert status == 0, imported
    assert f"usage: ninelives {args[0] if args and args[0] in COMMANDS else ''}" in said
    assert not set(HEAVY) & set(json.loads(imported))


def test_help_lists_the_commands(capsys: pytest.CaptureFixture[str]) -> None:
    main.run(["--help"])
    said = capsys.readouterr().out
    assert all(f"\n  {name} " in said for name in COMMANDS)
    main.run(["fit", "--help"])
    assert capsys.readouterr().out == short_help()


def test_the_version_is_that_of_the_installation(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{name} 1.2")
    main.run(["--version"])
    assert capsys.readouterr().out == "ninelives ninelives 1.2\n"


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["fitt"], " fit?"),
        (["--versoin"], " --version?"),
        (["modal"], "modal_entry.py"),
        (["--print-completion", "bsh"], " bash?"),
        (["sample", "runs", "--smapler", "heun"], "ninelives sample --help"),
        (["board", "nowhere"], "nowhere"),
    ],
)
def test_a_mistake_is_a_line_with_status_2(
    args: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main.run(args)
    said = capsys.readouterr().err
    assert stopped.value.code == 2
    assert named in said
    assert said.startswith("error: ")
    assert said.count("\n") == 1


@pytest.mark.parametrize(("value", "status"), [("", 0), (" ", 0), ("0", 0), ("x", 2)])
def test_a_variable_that_holds_no_number_is_told_in_a_line(value: str, status: int) -> None:
    found, _, said = run("--help", RANK=value)
    assert found == status
    assert ("RANK" in said.partition("\n")[0]) == bool(status)
