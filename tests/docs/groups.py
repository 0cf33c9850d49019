"""The commands of the pages, by how they are tested. A command in no group fails `test_commands.py`."""

from __future__ import annotations

import re
import shlex

from lightning_modules.cli.names import COMMANDS
from tests.helpers.pages import commands

Command = tuple[str, ...]

SCRIPTS = {name: command.script for name, command in COMMANDS.items()}
"""The file of `scripts/` that is the same as a command."""

GROUPS = {
    # Looked at, not run
    "mention": rf"ninelives ({'|'.join(SCRIPTS)})$|modal (run|volume get)$|.* --config NAME",
    "install": r"pip install ",  # needs the network
    "benchmark": r"python benchmarks/",  # takes minutes to hours; tests/benchmarks runs each, made small
    "service": r"modal token |modal run \S+::tensorboard",  # needs a real account
    # Run in a process
    "devices": r"ninelives fit .*--trainer\.devices [2-9]",
    "server": r"ninelives board|ninelives page .*--(serve|open)|tensorboard |make (tensorboard|page)",
    "prove": r"ninelives prove ",
    "modal": r"modal |mkdir -p runs/",
    "make": r"make ",
    "pytest": r"pytest ",
    "venv": r"python3 -m venv ",
    # Run in the tests' own process
    "here": r"ninelives ",
}
"""The first whose pattern fits has the command."""


def group(command: Command) -> str | None:
    """The name of a command's group."""
    line = shlex.join(command)
    return next((name for name, pattern in GROUPS.items() if re.match(pattern, line)), None)


def plain(command: Command) -> Command:
    """A command without SLURM's `srun`, and a script as the command that is the same."""
    command = command[1:] if command[0] == "srun" else command
    if command[0] == "python" and command[1].startswith("scripts/"):
        names = {f"scripts/{file}.py": name for name, file in SCRIPTS.items()}
        command = ("ninelives", names[command[1]], *command[2:])
    if command == ("ninelives", "fit"):
        command = (*command, "--experiment", "demo")  # not a mention: the demo itself
    return command


def members(name: str) -> list[Command]:
    """The commands of a group, in an order that is the same in every process."""
    found = {plain(command) for command in commands()}
    return sorted(command for command in found if group(command) == name)
