"""The command `ninelives`: it imports nothing heavy, which its commands do when they have work to do."""

from __future__ import annotations

import difflib
import importlib
import importlib.metadata
import os
import sys
from collections.abc import Sequence

from datamodules.utils.exit_codes import REFUSED
from datamodules.utils.system import refuse_unsupported
from lightning_modules.cli.names import COMMANDS, NAME
from lightning_modules.cli.parsing.scripts import no_such
from lightning_modules.cli.process import one_line_errors, refuse, run_command
from lightning_modules.cli.start import forget_empty_numbers, no_number, quiet_when_stopped

HELP = f"""usage: {NAME} COMMAND [OPTIONS]

Train a small diffusion model on your own folder of images, and never lose a run.

commands ({NAME} COMMAND --help tells the options of one):
{{commands}}

options:
  --help                        this text
  --version                     the installed version
  --print-completion SHELL      what makes a shell complete commands and options: bash, zsh, fish, tcsh
  --install-completion [SHELL]  set that up for your shell

To train on Modal's GPUs, in a clone of the project: modal run modal_entry.py::fit --help
"""


_OPTIONS = ("--help", "--version", "--print-completion", "--install-completion")


def main() -> None:
    """Run the command that this process was started for.

    Raises:
        SystemExit: As the command does; with status 2 if there is no such command.
    """
    sys.excepthook = quiet_when_stopped
    forget_empty_numbers(os.environ)
    refuse_unsupported()
    run_command(lambda: run(sys.argv[1:]))


def run(args: Sequence[str]) -> None:
    """Run a command.

    Args:
        args: The command and its command line.

    Raises:
        SystemExit: As the command does; with status 2 if there is no such command.
    """
    trouble = no_number(os.environ)
    if trouble:
        refuse(trouble)
    name, *others = args or ["--help"]
    if name in COMMANDS:
        importlib.import_module(COMMANDS[name].module).main(others)
    elif name in ("--help", "-h"):
        print(help_text(), end="")
    elif name == "--version":
        print(f"{NAME} {importlib.metadata.version(NAME)}")
    elif name in ("--print-completion", "--install-completion"):
        _complete(name, others)
    else:
        refuse(_unknown(name))


def help_text() -> str:
    """Return what `ninelives --help` says."""
    width = max(map(len, COMMANDS)) + 2
    commands = "\n".join(f"  {name:<{width}}{command.summary}" for name, command in COMMANDS.items())
    return HELP.format(commands=commands)


def _unknown(name: str) -> str:
    if name == "modal":
        return "training on Modal needs a clone of the project: modal run modal_entry.py::fit ... in it."
    if name.startswith("-"):
        near = difflib.get_close_matches(name, _OPTIONS, n=1)
        hint = f" Did you mean {near[0]}?" if near else ""
        return f"{name} is not an option.{hint} All options: {NAME} --help"
    return f"{no_such(name, COMMANDS, 'command')}. All commands: {NAME} --help"


def _complete(option: str, given: Sequence[str]) -> None:
    from lightning_modules.cli import completion

    with one_line_errors(refused_status=REFUSED):
        if option == "--print-completion":
            print(completion.script(completion.chosen_shell(given)), end="")
        else:
            print(completion.install(completion.chosen_shell(given)))
