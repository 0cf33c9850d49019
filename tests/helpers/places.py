"""Where the repository's parts are."""

from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "scripts"
CONFIGS = REPOSITORY / "configs"
BENCHMARKS = REPOSITORY / "benchmarks"
HELPERS = Path(__file__).parent
CHILD = HELPERS / "child.py"
"""A process that trains; see its docstring."""
