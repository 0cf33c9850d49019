"""Wall time of `scripts/fit.py --fast-dev-run` and `--help` against the bare import of torch and Lightning.

Whole processes, from start to exit, one after the other in rounds. A first round is thrown away: in it the
images are decoded into the cache, and files come into memory.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from machine import describe, machine, write

REPOSITORY = Path(__file__).resolve().parents[1]
BARE = "import torch, lightning.pytorch"


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked to."""
    options = parse(args)
    with tempfile.TemporaryDirectory() as folder:
        root = options.data or draw(Path(folder))
        times = measure(commands(root), options.rounds, options.warm_up, Path(folder))
    medians = {name: statistics.median(values) for name, values in times.items()}
    facts = machine()
    print(describe(facts))
    ratios = {name: median / medians["bare import"] for name, median in medians.items()}
    for name, median in medians.items():
        spread = f"{min(times[name]):.2f} to {max(times[name]):.2f}"
        print(f"{name:16} {median:6.2f} s ({spread})   ratio to the bare import {ratios[name]:.2f}")
    write({"machine": facts, "seconds": times, "medians": medians, "ratios": ratios}, options.out)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument(
        "--warm-up", type=int, default=1, help="rounds before that are thrown away (default 1)"
    )
    parser.add_argument(
        "--data", type=Path, help="image folder (default: 60 rendered cats, drawn beforehand)"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(args)


def draw(folder: Path) -> Path:
    """Draw a small data set with a process of its own, so that this one stays small."""
    code = (
        "from datamodules.sources.rendered_cats import RenderedCats; "
        f"RenderedCats(60, folder={str(folder)!r}).prepare()"
    )
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
    (root,) = folder.glob("rendered-cats-*")
    return root


def commands(root: Path) -> dict[str, list[str]]:
    script = str(REPOSITORY / "scripts" / "fit.py")
    return {
        "bare import": [sys.executable, "-c", BARE],
        "--help": [sys.executable, script, "--help"],
        "--fast-dev-run": [sys.executable, script, "--fast-dev-run", "--data.root", str(root.resolve())],
    }


def measure(todo: dict[str, list[str]], rounds: int, warm_up: int, folder: Path) -> dict[str, list[float]]:
    """Run the commands in turn and return their wall times in seconds, without those of the first rounds."""
    times: dict[str, list[float]] = {name: [] for name in todo}
    for number in range(warm_up + rounds):
        for name, command in todo.items():
            started = time.perf_counter()
            result = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
            elapsed = time.perf_counter() - started
            if result.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{result.stderr}")
            if number >= warm_up:
                times[name].append(elapsed)
    return times


if __name__ == "__main__":
    main()
