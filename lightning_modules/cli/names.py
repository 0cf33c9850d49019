"""The commands, and how one of them is typed: as `ninelives fit`, or as a script of a clone."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple

NAME = "ninelives"


class Command(NamedTuple):
    """A command.

    Attributes:
        summary: What it does, for the list of commands.
        script: Its file in a clone's `scripts/`, without the ending.
        module: The module with its `main`, which takes the command line, and its `make_parser`.
    """

    summary: str
    script: str
    module: str


_HERE = "lightning_modules.cli.commands"

COMMANDS = {
    "fit": Command("train a model, or continue a run", "fit", f"{_HERE}.fit"),
    "sample": Command("sample images from a run", "sample", f"{_HERE}.sample"),
    "evaluate": Command(
        "measure the quality of a run's samples, or of any images",
        "evaluate",
        f"{_HERE}.evaluate",
    ),
    "export": Command(
        "write a run's weights as safetensors, ONNX, or a folder to publish", "export", f"{_HERE}.export"
    ),
    "page": Command("write a web page that samples from a run in the browser", "page", f"{_HERE}.page"),
    "inspect": Command(
        "check a folder of images before training on it",
        "inspect_data",
        f"{_HERE}.inspect",
    ),
    "prove": Command(
        "kill a run again and again, and compare it with an undisturbed one",
        "prove_resume",
        "lightning_modules.resume_proof.command",
    ),
    "report": Command("write a page that tells of a run", "report", f"{_HERE}.report"),
    "board": Command("show the runs in TensorBoard", "board", f"{_HERE}.board"),
}

_TYPED = re.compile(rf"\b{NAME} ({'|'.join(COMMANDS)})\b")


def program(command: str) -> str:
    """Return what a command calls itself: `ninelives sample`, or `sample.py` where a script was started."""
    return f"{NAME} {command}" if _script() is None else f"{COMMANDS[command].script}.py"


def as_typed(text: str) -> str:
    """Return a text that names commands as `ninelives sample` with the names that they have here."""
    return _TYPED.sub(lambda found: program(found[1]), text)


def command_line(command: str, *args: object) -> str:
    """Return a line for a shell that runs a command, in the way in which the present one was started.

    Args:
        command: The command's name.
        args: Its arguments.
    """
    return shlex.join([*start_of(command), *map(_argument, args)])


def _argument(value: object) -> str:
    """Return an argument; a path that looks like an option does so no longer."""
    return f"./{value}" if isinstance(value, Path) and str(value).startswith("-") else str(value)


def start_of(command: str) -> list[str]:
    """Return the first words of a command line, up to its arguments."""
    script = _script()
    if script is None:
        return [_installed(), command]
    return [_interpreter(), str(_from_here(script.with_stem(COMMANDS[command].script)))]


def _script() -> Path | None:
    """Return the script of a clone that this process was started with; none if it was not."""
    started = Path(sys.argv[0] or NAME).absolute()  # empty in an interactive interpreter
    return started if started.with_name("_launch.py").is_file() else None


def _installed() -> str:
    """Return how the installed command can be started from here: by its name where the shell finds it."""
    started = Path(sys.argv[0])
    if started.name != NAME or shutil.which(NAME) == str(started.absolute()):
        return NAME
    return str(_from_here(started.absolute()))


def _interpreter() -> str:
    for name in ("python", "python3"):
        if shutil.which(name) == sys.executable:
            return name
    return str(_from_here(Path(sys.executable)))


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
