r"""One change at a time: train variants of a config for as many images, and measure what they draw.

Each variant is a command line of `scripts/fit.py` on top of a common one. All are trained in a process of
their own, on the same part of the images, and drawn from with the same noise; the held-out part is the
reference that samples are compared with. What is done is not done again, so that variants can be added.

    python benchmarks/ablation.py --data cats64 --out ablation --common "--config demo" \
        --variant "base:" --variant "lr 2e-3:--model.init_args.optimizer.learning_rate 2e-3"
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lists import integers
from machine import describe, machine, write

from datamodules.utils.io import write_json
from lightning_modules.cli.parsing.parser import resolve_config
from lightning_modules.evaluation.report import Report, cell
from lightning_modules.evaluation.run_evaluation import evaluate_run
from lightning_modules.evaluation.setup import Setup, Variant
from lightning_modules.metrics.feature_networks.table import load_features
from lightning_modules.metrics.figure import Figure
from lightning_modules.run.finding import find_checkpoint
from lightning_modules.sampling.stored import run_sampling

FIT = Path(__file__).resolve().parents[1] / "scripts" / "fit.py"
COLUMNS = ("kid", "frechet", "precision", "recall", "coverage")


def main(args: Sequence[str] | None = None) -> None:
    """Train what is not trained yet, evaluate what is not evaluated, and print the table."""
    options = parse(args)
    options.out.mkdir(parents=True, exist_ok=True)
    network = load_features(options.features)
    results = []
    for seed in options.seeds:
        for name, change in options.variant:
            plain = re.sub(r"[^\w.=-]+", "-", name)
            folder = options.out / f"{plain}-seed{seed}"
            stored = folder / "result.json"
            if not stored.is_file():
                trained = train(folder, change, seed, options)
                setup = Setup(network, folder / "evaluation", options.n, batch_size=100)
                write_json(stored, {"name": name, "seed": seed} | trained | measure(folder, setup))
            results.append(json.loads(stored.read_text()))
            print(line(results[-1]), flush=True)
    facts = machine()
    print(f"\n{describe(facts)}\n{options.common}\n{table(results)}")
    write({"machine": facts, "common": options.common, "results": results}, options.out / "ablation.json")


def train(folder: Path, change: str, seed: int, options: argparse.Namespace) -> dict[str, Any]:
    """Train a variant; a cooldown over the last `--cool-down` of the steps unless it sets another."""
    common, own = shlex.split(options.common), shlex.split(change)
    batch = batch_size([*common, *own])
    steps, val = options.images // batch, str(options.val)
    args = [  # what comes later goes before what came earlier
        *common,
        *("--data.root", str(options.data), "--data.class_labels", "false", "--data.val_fraction", val),
        *("--trainer.max_steps", str(steps), "--trainer.limit_val_batches", "0"),
        *("--learning_rate.cool_down", str(round(options.cool_down * steps))),
        *("--sample_grid.every_n_steps", str(steps), "--checkpoint.every_n_steps", str(steps)),
        *own,
        *("--seed_everything", str(seed), "--trainer.default_root_dir", str(folder), "--experiment", "run"),
    ]
    start = time.perf_counter()
    done = subprocess.run([sys.executable, str(FIT), *args], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"error: {folder.name} failed:\n{done.stderr[-3000:]}")
    return {"seconds": time.perf_counter() - start, "steps": steps, "batch": batch}


def batch_size(args: Sequence[str]) -> int:
    """Return the batch size that a command line asks for, or its config's."""
    if "--data.batch_size" in args:
        return int(args[args.index("--data.batch_size") + 1])
    config = args[args.index("--config") + 1] if "--config" in args else "demo"
    return int(yaml.safe_load(resolve_config(config).read_text())["data"]["batch_size"])


def measure(folder: Path, setup: Setup) -> dict[str, Any]:
    """Evaluate averaged weights with the run's own sampling, and their error by noise level."""
    checkpoint = find_checkpoint(folder / "run")
    sampling = run_sampling(checkpoint)
    start = time.perf_counter()
    report: Report = evaluate_run([Variant(checkpoint, "ema", sampling)], setup)
    row = report.rows[0]
    bands = next(iter(report.bands.values()))
    return {
        "images_per_second": images_per_second(checkpoint.parent.parent),
        "figures": {key: dataclasses.asdict(figure) for key, figure in row.figures.items()},
        "floor": {key: dataclasses.asdict(figure) for key, figure in report.floor.items()},
        "val": [band.val for band in bands],
        "train": [band.train for band in bands],
        "nfe": sampling.nfe,
        "evaluation_seconds": time.perf_counter() - start,
    }


def images_per_second(run: Path) -> float:
    """Return the median of the throughput that a run logged."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run)).Reload()
    rates = sorted(event.value for event in events.Scalars("throughput/images_per_second"))
    return float(rates[len(rates) // 2])


def line(result: dict[str, Any]) -> str:
    """Return a variant's figures on a line."""
    figures = {key: Figure(**result["figures"][key]) for key in COLUMNS}
    cells = " | ".join(cell(figures[key]) for key in COLUMNS)
    bands = " ".join(f"{error:.4f}" for error in result["val"])
    return f"| {result['name']} | {result['seed']} | {result['images_per_second']:.0f} | {cells} | {bands} |"


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return all variants as a Markdown table."""
    head = f"| variant | seed | images/s | {' | '.join(COLUMNS)} | held-out error by band of sigma |"
    return "\n".join([head, "|---" * (len(COLUMNS) + 4) + "|", *map(line, results)])


def variant(text: str) -> tuple[str, str]:
    name, _, change = text.partition(":")
    return name, change


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of images")
    add("--images", type=int, default=16000, help="images each variant is trained on (default 16,000)")
    add("--common", default="--config demo", help="options of all variants")
    add("--variant", type=variant, action="append", required=True, help="NAME:OPTIONS, once or more")
    add("--seeds", type=integers, default=[0], help="with commas")
    add("--cool-down", type=float, default=0.3, help="share of the steps (default 0.3)")
    add("--val", type=float, default=0.5, help="share of the images that is held out (default 0.5)")
    add("--n", type=int, default=1500, help="images drawn and compared (default 1,500)")
    add("--features", default="auto", help="feature network, as evaluate.py takes it")
    add("--out", type=Path, required=True, help="folder of the runs and figures")
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
