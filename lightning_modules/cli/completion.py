"""Completion of commands and options in a shell: a script, written once, so that TAB costs no import."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
from collections.abc import Sequence
from pathlib import Path

import shtab

from datamodules.utils.io import atomic_write
from lightning_modules.cli.names import COMMANDS, NAME
from lightning_modules.cli.parsing.argparse_internals import of_type, with_option
from lightning_modules.cli.parsing.help import FLAGS, OPTIONS, configs
from lightning_modules.cli.parsing.scripts import no_such, path

SHELLS = ("bash", "zsh", "fish", "tcsh")
_START_FILES = {"bash": ".bashrc", "zsh": ".zshrc", "tcsh": ".tcshrc"}
_BEFORE = {"zsh": "autoload -Uz compinit && compinit; "}
"""What a shell must have done before it takes a script."""


def chosen_shell(given: Sequence[str]) -> str:
    """Return the shell that a command line names, or the user's own.

    Raises:
        ValueError: If there is no completion for it, or nobody says which it is.
    """
    name = given[0] if given else Path(os.environ.get("SHELL", "")).name
    if not name:
        raise ValueError(f"the environment does not say which shell is yours: name it, {', '.join(SHELLS)}")
    if name not in SHELLS:
        raise ValueError(no_such(name, SHELLS, "completion for"))
    return name


def script(shell: str) -> str:
    """Return what makes a shell complete the commands, their options, and the names that these take."""
    parser = argparse.ArgumentParser(NAME)
    parser.add_argument("--version", action="store_true", help="the installed version")
    for option in ("--print-completion", "--install-completion"):
        parser.add_argument(option, choices=SHELLS, help="completion in a shell")
    commands = parser.add_subparsers()
    for name, command in COMMANDS.items():
        parents = [] if name == "fit" else [_parser_of(name)]
        added = commands.add_parser(name, parents=parents, add_help=name == "fit", help=command.summary)
        if name == "fit":
            _add_fit(added)
        for action in with_option(added, "--config"):
            action.choices = tuple(configs())
        for action in of_type(added, path):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    return shtab.complete(parser, shell).rstrip() + "\n"


def install(shell: str) -> str:
    """Write the script of a shell below the home directory, and have the shell read it when it starts.

    Returns:
        What was done, for the user.
    """
    path = _place_of(shell)
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(script(shell).encode())
    if shell not in _START_FILES:
        return f"{path}, read by every new {shell}"
    start = Path.home() / _START_FILES[shell]
    quoted = shlex.quote(str(path))
    line = f"[ ! -f {quoted} ] || {{ {_BEFORE.get(shell, '')}source {quoted}; }}"
    line = f"if ( -f {quoted} ) source {quoted}" if shell == "tcsh" else line
    lines = start.read_text().splitlines() if start.is_file() else []
    if line not in lines:
        with start.open("a") as file:
            file.write(f"\n# Completion of {NAME}\n{line}\n")
    return f"{path}, read by {start} in every new shell"


def _place_of(shell: str) -> Path:
    """Return where the script of a shell goes: fish has a folder for such, others have none that all read."""
    if shell == "fish":
        home = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
        return home / "fish" / "completions" / f"{NAME}.fish"
    home = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return home / NAME / f"completion.{shell}"


def _parser_of(command: str) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = importlib.import_module(COMMANDS[command].module).make_parser()
    return parser


def _add_fit(parser: argparse.ArgumentParser) -> None:
    """Add the options of training, of which there are some hundred."""
    from datamodules.sources.table import SOURCES
    from lightning_modules.cli.configuring import known_options
    from lightning_modules.models import MODELS

    texts = {entry.option: entry.text.replace("%", "%%") for entries in OPTIONS.values() for entry in entries}
    choices = {"config": tuple(configs()), "model": tuple(MODELS), "data.source": tuple(SOURCES)}
    for name in sorted({*known_options(), "config", "model"} - {"help"}):
        if name in FLAGS:
            parser.add_argument(f"--{name}", action="store_true", help=texts.get(name))
        else:
            added = parser.add_argument(f"--{name}", choices=choices.get(name), help=texts.get(name))
            if name.endswith((".root", "_dir")):
                added.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
