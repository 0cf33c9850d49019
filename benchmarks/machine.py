"""What every benchmark says of the machine that it ran on, and where its figures go."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from datamodules.utils.io import write_json


def cpu_name() -> str:
    """Return the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def machine() -> dict[str, str | int]:
    """Describe the machine and the versions, without importing torch."""
    return {
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "torch": version("torch"),
        "lightning": version("lightning"),
    }


def describe(facts: dict[str, str | int]) -> str:
    """Return the machine in a line."""
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def write(results: Mapping[str, object], out: Path | None) -> None:
    """Write JSON, if a place is given: whole or not at all, also numbers that are not finite."""
    if out is not None:
        write_json(out, results, allow_nan=True)
