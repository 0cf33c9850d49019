"""Speed and memory of one training step: this project's networks and its peers' at equal parameters.

A step is forward, loss, backward, optimizer and average over the weights; data, clipping, guards and logging
are left out. Ours: fused AdamW, the average in one call, freed memory kept between steps, channels-last
convolutions. Peers: AdamW and the average as plain torch has them. The further rows of ours each take one of
these away: `glibc default` gives freed memory back, `contiguous` is without channels-last. `merged tokens` is
our transformer with most of its blocks on 2 x 2 tokens as one, `modulation per block` in the shape of the
published one, `unshuffle 1` our UNet at the images' full resolution, as the peers' are, and `unshuffle 4` at
that of the transformers' patches.

Every network has a process of its own. One runs at a time, in turn (A B C, A B C, ...), each for `--seconds`
and at least a step; a turn's figure is the median of its steps, a row's the median of its turns, and a ratio
the median of the rounds' ratios. Two steps of each are thrown away at the start. The share of matmul is the
step's FLOPs over what float32 products of 2,048 x 2,048 reach in the same round.

  python benchmarks/step_speed.py
  python benchmarks/step_speed.py --only ours-dit,published-dit --rounds 9 --out speed.json

The peers: pip install -e '.[bench]', and
pip install --no-deps denoising-diffusion-pytorch ema-pytorch einops accelerate
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from lists import names
from machine import describe, machine, usable_cores, write
from step_child import MATMUL
from step_networks import DIT, ROWS
from tqdm import tqdm

REFERENCES = ("ours-dit", "ours-unet")


class Child:
    """A process that takes steps when it is told to.

    Args:
        name: Row of the table, or `matmul`.
        size: Side of the images in pixels.
        batch: Images in a step.
        millions: Millions of parameters.
        threads: Threads of torch.
    """

    def __init__(self, name: str, size: int, batch: int, millions: int, threads: int) -> None:
        self.name = name
        script = Path(__file__).with_name("step_child.py")
        paths = [str(script.parents[1]), os.environ.get("PYTHONPATH", "")]
        environment = {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": os.pathsep.join(filter(None, paths))}
        self.process = subprocess.Popen(
            [sys.executable, str(script), name, str(size), str(batch), str(millions)],
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.facts = self.read()

    def read(self) -> dict[str, Any]:
        """Wait for an answer.

        Raises:
            RuntimeError: If the process has ended instead; it has said why on the error output.
        """
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with status {self.process.wait()}")
        facts: dict[str, Any] = json.loads(line)
        return facts

    def turn(self, seconds: float) -> dict[str, Any]:
        """Let it run, and return what it answers."""
        assert self.process.stdin is not None
        print(seconds, file=self.process.stdin, flush=True)
        return self.read()

    def end(self) -> None:
        """End it."""
        self.process.communicate()


def measure(rows: Sequence[str], args: argparse.Namespace) -> dict[str, Any]:
    """Start a process for each row, give them their turns, and end them."""

    def start(name: str) -> Child | None:
        try:
            child = Child(name, args.size, args.batch, args.parameters, args.threads)
        except RuntimeError as error:
            print(f"left out: {error}", file=sys.stderr)
            return None
        ended.callback(child.end)
        return child

    with ExitStack() as ended:
        everybody = (MATMUL, *rows)
        with ThreadPoolExecutor(usable_cores()) as pool:
            started = tqdm(pool.map(start, everybody), "starting", len(everybody), unit="process")
            children = [child for child in started if child is not None]
        turns: dict[str, list[dict[str, Any]]] = {child.name: [] for child in children}
        with tqdm(desc="measuring", total=args.rounds * len(children), unit="turn") as bar:
            for _ in range(args.rounds):
                for child in children:
                    turns[child.name].append(child.turn(args.seconds))
                    bar.update()
    rates = [turn["gflops"] for turn in turns.pop(MATMUL)]
    facts = {child.name: child.facts for child in children}
    return {name: figures(facts[name], turns[name], rates, args.batch) for name in turns} | {MATMUL: rates}


def figures(
    facts: dict[str, Any], turns: list[dict[str, Any]], rates: list[float], batch: int
) -> dict[str, Any]:
    """Return a row's figures, and the seconds of a step in each round."""
    rounds = [statistics.median(turn["steps"]) for turn in turns]
    gflop = facts["gflop_per_image"] * batch
    return facts | {
        "rounds": rounds,
        "steps": sum(len(turn["steps"]) for turn in turns),
        "ms": 1000 * statistics.median(rounds),
        "images_per_second": batch / statistics.median(rounds),
        "share": statistics.median(
            gflop / seconds / rate for seconds, rate in zip(rounds, rates, strict=True)
        ),
        "peak_mb": turns[-1]["peak_mb"],
        "step_mb": turns[-1]["step_mb"],
    }


def times_as_fast(one: dict[str, Any], other: dict[str, Any]) -> list[float]:
    """Return how many times as fast as another a row was in each round."""
    return [b / a for a, b in zip(one["rounds"], other["rounds"], strict=True)]


def table(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Write the rows as Markdown."""
    references = [name for name in REFERENCES if name in rows]
    head = [
        "network",
        "M parameters",
        "GFLOP/image",
        "images/s",
        "ms/step",
        "share of matmul",
        "peak MB (of which steps)",
        *(f"{name} is faster by" for name in references),
    ]
    lines = [head, ["---"] + ["---:"] * (len(head) - 1)]
    for name, row in rows.items():
        lines.append(
            [
                name,
                f"{row['parameters'] / 1e6:.2f}",
                f"{row['gflop_per_image']:.2f}",
                f"{row['images_per_second']:.1f}",
                f"{row['ms']:.0f}",
                f"{row['share']:.0%}",
                f"{row['peak_mb']:.0f} ({row['step_mb']:.0f})",
                *(f"{statistics.median(times_as_fast(rows[one], row)):.2f}" for one in references),
            ]
        )
    return [f"| {' | '.join(line)} |" for line in lines]


def verdicts(rows: dict[str, dict[str, Any]]) -> list[str]:
    """Say how each row of ours compares with the fastest peer."""
    peers = {name: row for name, row in rows.items() if not ROWS[name].own}
    if not peers:
        return []
    fastest = min(peers, key=lambda name: peers[name]["ms"])
    lines = []
    for name, row in rows.items():
        if ROWS[name].own:
            ratios = times_as_fast(row, peers[fastest])
            spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
            memory = row["peak_mb"] / peers[fastest]["peak_mb"]
            lines.append(
                f"{name}: {statistics.median(ratios):.2f} times the images/s of the fastest peer, {fastest} "
                f"(rounds: {spread}), {memory:.2f} times its peak memory."
            )
    return lines


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=32, help="side of the images in pixels (default: 32)")
    parser.add_argument("--batch", type=int, default=32, help="images in a step (default: 32)")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every row (default: 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="least length of a turn (default: 1)")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="threads (default: all cores)")
    parser.add_argument(
        "--parameters", type=int, choices=sorted(DIT), default=10, help="millions, within 5 %% (default: 10)"
    )
    parser.add_argument("--only", type=names, default=list(ROWS), help="rows, by commas")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    args = parser.parse_args(argv)
    unknown = [name for name in args.only if name not in ROWS]
    if unknown:
        parser.error(f"--only: there is no {', '.join(unknown)}; there are: {', '.join(ROWS)}")
    facts = machine()
    rows = measure([name for name in ROWS if name in args.only], args)
    rates = rows.pop(MATMUL)
    print(
        f"{describe(facts)}. {args.size} px, batch {args.batch}, {args.threads} threads, float32. Matmul "
        f"{statistics.median(rates):.0f} GFLOP/s (rounds: {min(rates):.0f} to {max(rates):.0f}).\n"
    )
    print("\n".join([*table(rows), "", *verdicts(rows)]))
    settings = {name: getattr(args, name) for name in ("size", "batch", "rounds", "threads", "parameters")}
    write({"machine": facts, "settings": settings, "matmul_gflops": rates, "rows": rows}, args.out)


if __name__ == "__main__":
    main()
