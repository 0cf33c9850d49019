"""Benchmarks, and code beside them, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.helpers.places import BENCHMARKS


def started(*args: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python where benchmarks import each other, with a cache of its own, and wait for its end."""
    paths = [str(BENCHMARKS), str(BENCHMARKS.parent), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "XDG_CACHE_HOME": str(cwd / "xdg")}
    command = [sys.executable, *args]
    return subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=500, check=False
    )


def python(*args: str | Path, cwd: Path) -> str:
    """Return what Python printed, which must have succeeded."""
    result = started(*args, cwd=cwd)
    assert result.returncode == 0, result.stderr
    return result.stdout
