"""What stands before every script: the look at system and interpreter. It needs nothing but Python itself."""

from __future__ import annotations

import importlib.util
import os
import runpy
import shlex
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
UTILS = ROOT / "datamodules" / "utils"
NEEDED = ("lightning_modules", "datamodules", "tqdm", "torch", "lightning")
OLDEST = (3, 11)


def check() -> None:
    """Say which system and interpreter a script needs, if not these: before it imports what they have.

    Raises:
        SystemExit: With status 2 if the system is not meant, or this interpreter lacks the project.
    """
    # By their paths: this interpreter may not have the packages, and the system is what to say first.
    start = runpy.run_path(str(ROOT / "lightning_modules" / "cli" / "start.py"))
    sys.excepthook = start["quiet_when_stopped"]
    start["forget_empty_numbers"](os.environ)
    system, exit_codes = (runpy.run_path(str(UTILS / f"{name}.py")) for name in ("system", "exit_codes"))
    trouble = system["unsupported"]() or what_is_missing() or start["no_number"](os.environ)
    if trouble:
        print(f"error: {trouble}", file=sys.stderr)
        sys.exit(exit_codes["REFUSED"])


def launch(main: Callable[[], Any]) -> None:
    """Run a script's `main` as the whole of this process.

    Args:
        main: The command, which takes the process's command line.

    Raises:
        SystemExit: As the command does.
    """
    from lightning_modules.cli.process import run_command

    run_command(main)


def what_is_missing(needed: tuple[str, ...] = NEEDED, root: Path = ROOT) -> str | None:
    """Return what keeps this interpreter from running the project, and what to do; none if nothing does.

    Args:
        needed: Packages that must be there.
        root: The repository.
    """
    missing = next((name for name in needed if importlib.util.find_spec(name) is None), None)
    if sys.version_info < OLDEST:
        trouble = f"{sys.executable} is Python {sys.version.split()[0]}, older than 3.11"
    elif missing is not None:
        trouble = f"{sys.executable} has no {missing}"
    else:
        return None
    for folder in (".venv", "venv"):
        other = root / folder / "bin" / "python"
        if other.is_file() and str(other) != sys.executable:
            return f"{trouble}. Use the project's own: {shlex.join([str(_from_here(other)), *sys.argv])}"
    install = shlex.join(["python3", "-m", "pip", "install", "-e", str(_from_here(root))])
    return f"{trouble}. Run `make fit` once in {root}, which installs everything into .venv, or `{install}`."


def _from_here(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path
