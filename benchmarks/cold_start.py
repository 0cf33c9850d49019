"""Seconds from the start of a container's process to its first training step, by phase.

A container does: start Python and Modal's client, import what training needs (each import by itself), look at
device and volumes, read the configuration and build the model, open the data set (decode it the first time),
restore the checkpoint, and take a step. The same code runs here, in a process of its own each time, without a
container: what Modal adds before (finding a machine, pulling the image) is not in it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from machine import describe, machine, write

REPOSITORY = Path(__file__).resolve().parents[1]
START = """
import json, sys
from pathlib import Path
from lightning_modules.cloud.preflight import Preflight, process_age
age = {"python": process_age()}
import modal
age["modal client"] = process_age()
preflight = Preflight()
preflight.imports()
age["imports"] = process_age()
preflight.cuda(expected=False)
age["device"] = process_age()
from lightning_modules.cloud.container_start import ContainerStart
from lightning_modules.cli.fit import fit
start = ContainerStart(preflight, lambda: None)
fit(sys.argv[2:], [start])
ready = next(check for check in preflight.checks if check.name == "ready to train")
age["configuration, model, data, checkpoint"] = ready.values["age"]
age["first step"] = start.first_step_seconds
imports = {check.name: check.seconds for check in preflight.checks if check.name.startswith("import ")}
Path(sys.argv[1]).write_text(json.dumps({"age": age, "imports": imports}))
"""


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked to."""
    options = parse(args)
    with tempfile.TemporaryDirectory() as folder:
        rounds = [measure(Path(folder), number, options.config) for number in range(options.rounds)]
    phases = {name: [one["phases"][name] for one in rounds] for name in rounds[0]["phases"]}
    imports = {name: [one["imports"][name] for one in rounds] for name in rounds[0]["imports"]}
    facts = machine()
    print(describe(facts))
    print(f"{'phase':42} {'first':>8} {'later, median':>14}")
    for name, seconds in [*phases.items(), *imports.items()]:
        later = statistics.median(seconds[1:] or seconds)
        print(f"{'  ' if name in imports else ''}{name:40} {seconds[0]:8.2f} {later:14.2f}")
    total = [sum(one["phases"].values()) for one in rounds]
    print(f"{'process start to first step':42} {total[0]:8.2f} {statistics.median(total[1:] or total):14.2f}")
    write({"machine": facts, "phases": phases, "imports": imports, "total": total}, options.out)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="demo", help="config to start (default demo)")
    parser.add_argument("--rounds", type=int, default=4, help="processes; the first one decodes (default 4)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(args)


def measure(folder: Path, number: int, config: str) -> dict[str, dict[str, float]]:
    """Start a process that trains a step further than the one before, and return its phases in seconds."""
    out = folder / f"{number}.json"
    options = {
        "trainer.max_steps": number + 1,
        "trainer.default_root_dir": folder / "runs",
        "trainer.enable_progress_bar": False,
        "learning_rate.warm_up": 0,
        "learning_rate.cool_down": 0,
        "sample_grid.every_n_steps": 0,
    }
    command_line = [f"--{name}={value}" for name, value in options.items()]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "XDG_CACHE_HOME": str(folder / "cache")}
    command = [sys.executable, "-c", START, str(out), "--config", config, *command_line]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(f"the start failed:\n{result.stderr}")
    found = json.loads(out.read_text())
    ages = {"": 0.0, **found["age"]}
    phases = {
        name: age - before for (name, age), before in zip(list(ages.items())[1:], ages.values(), strict=False)
    }
    return {"phases": phases, "imports": found["imports"]}


if __name__ == "__main__":
    main()
