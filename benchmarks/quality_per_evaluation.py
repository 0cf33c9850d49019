r"""Quality against the number of network evaluations: what quality_per_minute.py trained draws again.

Each contestant draws the same N at every number of evaluations per image, from its one training, and all are
scored as there. A guided step of ours evaluates the network twice, and so counts.

  python benchmarks/quality_per_evaluation.py compared --nfe ours-dit:4,6,8,14 --nfe diffusers:15,25,50

What is drawn and scored is kept in OUT/<contestant>/seed=<s>/ and not done again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from contestants.child import draw, labels_of
from contestants.registry import PEERS, make
from contestants.scoring import Scores
from contestants.task import Task
from lists import integers
from machine import describe, machine, write

from lightning_modules.evaluation.report import cell
from lightning_modules.metrics.figure import Figure

Budgets = tuple[str, list[int]]


def main(args: Sequence[str] | None = None) -> None:
    """Draw and score what is not there yet, and print the table."""
    options = parse(args)
    torch.set_num_threads(options.threads)
    print(describe(machine()), flush=True)
    scores: Scores | None = None
    results = []
    for contestant, budgets in options.nfe:
        place = options.out / contestant / f"seed={options.seed}"
        if not (place / "training.json").is_file():
            sys.exit(f"error: nothing was trained in {place}: quality_per_minute.py --out {options.out}")
        for nfe in budgets:
            stored = place / f"nfe={nfe}-n={options.n}.json"
            if not stored.is_file():
                scores = scores or Scores(options.out / "data", options.n, options.features)
                write(evaluate(scores, place, nfe, options), stored)
            results.append(json.loads(stored.read_text()) | {"contestant": contestant})
    print(f"\n{table(results)}\n\n{verdict(results)}")


def evaluate(scores: Scores, place: Path, nfe: int, options: argparse.Namespace) -> dict[str, Any]:
    """Sample with so many evaluations, and return the figures with those of floor and ceiling."""
    where = {"folder": str(place), "data": str(options.out / "data"), "threads": options.threads}
    task = dataclasses.replace(Task.load(place / "task.json"), n=options.n, nfe=nfe, **where)
    contestant = make(task)
    try:
        facts = contestant.load()
    except ValueError as error:
        sys.exit(f"error: {place.parent.name}, {nfe} evaluations: {error}")
    images, seconds = draw(task, contestant, labels_of(task))
    figures = scores.measure(images, f"{place.parent.name} at {facts['nfe']}")
    return facts | figures | scores.bounds() | {"seconds_per_1000": 1000 * seconds / options.n}


def table(results: Sequence[dict[str, Any]]) -> str:
    """Return everything as a Markdown table."""
    lines = ["| contestant | NFE | Fréchet | KID | coverage | recall | s per 1,000 samples | sampler |"]
    lines.append("|---" * 8 + "|")
    for one in results:
        how = f"{one['seconds_per_1000']:.0f} | {one['sampler']}"
        lines.append(f"| {one['contestant']} | {one['nfe']} | {cells(one['figures'])} | {how} |")
    bounds = [f"| {title} | | {cells(results[0][title])} | | |" for title in ("floor", "ceiling")]
    return "\n".join([*lines, *bounds])


def cells(figures: dict[str, Any]) -> str:
    return " | ".join(cell(Figure(**figures[name])) for name in ("frechet", "kid", "coverage", "recall"))


def verdict(results: Sequence[dict[str, Any]]) -> str:
    """Say from how many evaluations on each of ours is at least as good as each peer at its best."""
    kid = {(one["contestant"], one["nfe"]): one["figures"]["kid"]["value"] for one in results}
    peers = sorted({name for name, _ in kid if name in PEERS})
    lines = []
    for own in sorted({name for name, _ in kid if name not in PEERS}):
        for peer in peers:
            best, at = min((value, nfe) for (name, nfe), value in kid.items() if name == peer)
            enough = [nfe for (name, nfe), value in kid.items() if name == own and value <= best]
            least = f"from {min(enough)} evaluations on" if enough else "with none of these numbers"
            lines.append(f"{own} is at {peer}'s best KID ({best:.3g}, at {at} evaluations) or below {least}.")
    return "\n".join(lines)


def budgets(text: str) -> Budgets:
    name, colon, numbers = text.partition(":")
    if not colon:
        raise argparse.ArgumentTypeError(f"'{text}' is not CONTESTANT:NFE,NFE,...")
    return name, integers(numbers)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("out", type=Path, help="what quality_per_minute.py was given as --out")
    add("--nfe", type=budgets, action="append", required=True, help="CONTESTANT:NFE,NFE,..., once or more")
    add("--seed", type=int, default=0, help="which of its trainings (default 0)")
    add("--n", type=int, default=300, help="samples at each number (default 300)")
    add("--threads", type=int, default=2, help="threads of torch (default 2)")
    add("--features", default="auto", help="feature network, as evaluate.py takes it")
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
