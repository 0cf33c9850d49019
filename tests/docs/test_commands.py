"""Every command of the README and of `docs/` works: it is run here, shrunk, or the table below says why not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from tests.helpers.command_line import DIT, LIGHTNING_WARNINGS, UNET, load_script, shrunk
from tests.helpers.pages import commands
from tests.helpers.places import CONFIGS

pytestmark = LIGHTNING_WARNINGS

Command = tuple[str, ...]

SCRIPTS = {
    "fit": "fit",
    "sample": "sample",
    "evaluate": "evaluate",
    "export": "export",
    "inspect": "inspect_data",
    "prove": "prove_resume",
    "board": "board",
}
"""The file of `scripts/` that is the same as a command."""

SMALL = {
    "sample": ["--n", "2", "--batch-size", "2"],
    "evaluate": ["--n", "8", "--batch-size", "8", "--features", "random", "--no-plots"],
}
"""What makes a command small; it stands behind what the page says."""

HERE = {"step=00001300.ckpt": "step=00000002.ckpt"}
"""What the pages name of a demo that was trained to its end, and what the tests' shorter one has for it."""

ELSEWHERE = {
    r"ninelives (board|prove)\b": "tests/docs/test_processes.py",
    r"tensorboard |make |modal |pytest |python benchmarks/|python3 -m venv |mkdir ": "tests/docs/test_processes.py",
    r"pip ": "tests/docs/test_processes.py",
}
"""Commands that another file of this folder tests."""


def as_ninelives(command: Command) -> Command | None:
    """The command as `ninelives NAME ...`, if it is one of this project's; SLURM's `srun` is left out."""
    if command[0] == "srun":
        command = command[1:]
    if command[0] == "python" and command[1].startswith("scripts/"):
        script = Path(command[1]).stem
        (name,) = (name for name, file in SCRIPTS.items() if file == script)
        return ("ninelives", name, *command[2:])
    return command if command[0] == "ninelives" else None


def is_elsewhere(command: Command) -> bool:
    return any(re.match(pattern, shlex.join(command) + " ") for pattern in ELSEWHERE)


RUN_HERE = sorted(
    {
        mine
        for command in commands()
        if (mine := as_ninelives(command))
        and not is_elsewhere(mine)
        and not re.search(r"\b[A-Z]{3,}\b", str(mine))
    }
)


def test_every_command_is_tested_somewhere() -> None:
    for command, where in commands().items():
        mine = as_ninelives(command) or command
        placeholder = re.search(r"\b[A-Z]{3,}\b", " ".join(mine[1:])) and mine[0] == "ninelives"
        assert mine in RUN_HERE or is_elsewhere(mine) or placeholder, f"{where}: {shlex.join(command)}"


def is_unet(args: list[str]) -> bool:
    """Whether a command trains a UNet."""
    if "--model" in args:
        return args[args.index("--model") + 1] == "UNetDiffusion"
    config = args[args.index("--config") + 1] if "--config" in args else "demo"
    return yaml.safe_load((CONFIGS / f"{config}.yaml").read_text())["model"]["class_path"] == "UNetDiffusion"


def small(name: str, args: list[str], here: Path) -> list[str]:
    """A command's arguments, made small."""
    if name != "fit":
        return [*args, *SMALL.get(name, [])]
    every = ["--evaluation.every_n_steps", "2"] if "--evaluation.every_n_steps" in args else []
    return [*shrunk(here / "my_images", here), *(UNET if is_unet(args) else DIT), *args, *every]


@pytest.mark.parametrize("command", RUN_HERE, ids=shlex.join)
def test_a_command_works(command: Command, here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if len(command) < 3 and command[1] not in ("fit", "--help"):  # a mention
        assert command[1] in SCRIPTS
        return
    name, *args = command[1:]
    for old, new in HERE.items():
        args = [word.replace(old, new) for word in args]
    if name == "--help":
        pytest.skip("the command is not there yet")
    main: Callable[[list[str]], object] = load_script(SCRIPTS[name]).main
    try:
        main(small(name, args, here))
    except SystemExit as stopped:
        assert stopped.code in (None, 0), capsys.readouterr().err
