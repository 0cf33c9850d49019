"""The project's scripts, run in a container on what is on the Volumes."""

from __future__ import annotations

import argparse
import importlib.util
import tempfile
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from types import ModuleType

from lightning_modules.cloud.paths import RUNS

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


def files_of_script(name: str, args: Sequence[str]) -> tuple[dict[str, bytes], str | None]:
    """Run a script that writes into `--out`, and return the files by name, and the error it ended with."""
    error = None
    with tempfile.TemporaryDirectory() as folder:
        try:
            load_script(name).main([*args, "--out", folder])
        except SystemExit as stop:
            error = str(stop.code) if stop.code else None
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}, error


def on_volume(run: PurePosixPath) -> str:
    """Return where a run that is named as on this machine, `runs/cats`, is in a container."""
    parts = run.parts
    return str(PurePosixPath(RUNS, *(parts[1:] if parts[:1] == ("runs",) else parts)))
