"""The project's commands, run in a container on what is on the Volumes."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from datamodules.utils.exit_codes import REFUSED
from lightning_modules.cli.commands import evaluate, sample
from lightning_modules.cloud.failures import leaving_the_container
from lightning_modules.cloud.paths import RUNS
from lightning_modules.cloud.wording import for_the_user, output_for_the_user
from lightning_modules.cost.settings import ModalSettings

COMMANDS = {"sample": sample.main, "evaluate": evaluate.main}


def remote_arguments(args: Sequence[str], folder: Path) -> tuple[list[str], Path]:
    """Return a command line in the container, and where its files go on this machine.

    Args:
        args: The user's command line, which begins with the run.
        folder: Where the files go without `--out`, under the run's name.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out", type=Path)
    known, options = parser.parse_known_args(args[1:])
    run = on_volume(PurePosixPath(args[0]))
    return [run, *options], known.out or folder / PurePosixPath(run).relative_to(RUNS)


def files_of_command(
    name: str, args: Sequence[str], place: str, settings: ModalSettings
) -> tuple[dict[str, bytes], int, str]:
    """Run a command that writes into `--out`, as far as it gets.

    Args:
        name: The command.
        args: Its command line without `--out`.
        place: Where its files will be on the user's machine, for what it says.
        settings: The names of the Volumes, for what it says.

    Returns:
        The files by name, the exit status, and what the command said last where that is not in the log.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = {folder: place}
        status, said = 0, ""
        with output_for_the_user(settings, names), leaving_the_container():
            try:
                COMMANDS[name]([*args, "--out", folder])
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else REFUSED
                said = for_the_user(stop.code, settings, names) if isinstance(stop.code, str) else ""
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}, status, said


def on_volume(run: PurePosixPath) -> str:
    """Return where a run that is named as on this machine, `runs/cats`, is in a container."""
    parts = run.parts
    return str(PurePosixPath(RUNS, *(parts[1:] if parts[:1] == ("runs",) else parts)))
