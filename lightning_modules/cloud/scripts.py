"""The project's scripts, run in a container on what is on the Volumes."""

from __future__ import annotations

import argparse
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType

from datamodules.utils.exit_codes import REFUSED
from lightning_modules.cloud.failures import leaving_the_container
from lightning_modules.cloud.paths import RUNS
from lightning_modules.cloud.wording import for_the_user, output_for_the_user
from lightning_modules.cost.settings import ModalSettings

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"


def load_script(name: str) -> ModuleType:
    """Return a file of `scripts/` as a module."""
    spec = importlib.util.spec_from_file_location(f"script_{name}", SCRIPTS / f"{name}.py")
    if spec is None or spec.loader is None:
        raise ImportError(f"there is no script {name}")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def remote_arguments(args: Sequence[str], folder: Path) -> tuple[list[str], Path]:
    """Return a script's command line in the container, and where its files go on this machine.

    Args:
        args: The user's command line, which begins with the run.
        folder: Where the files go without `--out`, under the run's name.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out", type=Path)
    known, options = parser.parse_known_args(args[1:])
    run = on_volume(PurePosixPath(args[0]))
    return [run, *options], known.out or folder / PurePosixPath(run).relative_to(RUNS)


def files_of_script(
    name: str, args: Sequence[str], place: str, settings: ModalSettings
) -> tuple[dict[str, bytes], int, str]:
    """Run a script that writes into `--out`, as far as it gets.

    Args:
        name: The script.
        args: Its command line without `--out`.
        place: Where its files will be on the user's machine, for what it says.
        settings: The names of the Volumes, for what it says.

    Returns:
        The files by name, the exit status, and what the script said last where that is not in the log.
    """
    with tempfile.TemporaryDirectory() as folder:
        names = {folder: place}
        sys.argv = [f"scripts/{name}.py"]  # what its parser calls itself
        status, said = 0, ""
        with output_for_the_user(settings, names), leaving_the_container():
            try:
                load_script(name).main([*args, "--out", folder])
            except SystemExit as stop:
                status = stop.code if isinstance(stop.code, int) else 0 if stop.code is None else REFUSED
                said = for_the_user(stop.code, settings, names) if isinstance(stop.code, str) else ""
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}, status, said


def on_volume(run: PurePosixPath) -> str:
    """Return where a run that is named as on this machine, `runs/cats`, is in a container."""
    parts = run.parts
    return str(PurePosixPath(RUNS, *(parts[1:] if parts[:1] == ("runs",) else parts)))
