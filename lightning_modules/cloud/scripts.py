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


def remote_sample(args: Sequence[str], here: Path) -> tuple[list[str], Path]:
    """Return the container's command line of `sample.py`, and where its pictures go on this machine.

    Args:
        args: The user's command line, which begins with the run.
        here: Where the user is.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--out", type=Path)
    known, options = parser.parse_known_args(args[1:])
    run = on_volume(PurePosixPath(args[0]))
    return [run, *options], known.out or here / "drawn" / PurePosixPath(run).relative_to(RUNS)


def run_sample(args: Sequence[str]) -> dict[str, bytes]:
    """Draw images, and return the files by name."""
    with tempfile.TemporaryDirectory() as folder:
        load_script("sample").main([*args, "--out", folder])
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def on_volume(run: PurePosixPath) -> str:
    """Return where a run that is named as on this machine, `runs/cats`, is in a container."""
    parts = run.parts
    return str(PurePosixPath(RUNS, *(parts[1:] if parts[:1] == ("runs",) else parts)))
