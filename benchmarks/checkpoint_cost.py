"""How long a checkpoint holds training up, and how long a resume takes to read one.

A stand-in for a run is trained on the CPU: a stack of linear layers of the asked number of parameters, with
AdamW's two moments and an exponential moving average, so that a checkpoint holds four float32 numbers for
each. In every round each way of saving writes it once, in a random order, between `--steps` undisturbed steps
and as many steps after it. The stall is the time of the save call. The time lost is the call and the steps
after it, until the checkpoint is whole, less what as many undisturbed steps took: it holds what an
asynchronous save takes from the steps that run meanwhile, and its waiting if these are too few.

The share of step time at every-100-steps saving is the median time lost over that of 100 undisturbed steps.
The stand-in's steps are short: a real model of as many parameters computes more with each, and loses a
smaller share. A resume verifies the newest checkpoint, then verifies and loads it; what follows, which
restores a Trainer, is left out. Files are read from the page cache. The first round is thrown away.
"""

from __future__ import annotations

import argparse
import gc
import os
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.cloud_io import _atomic_save
from machine import describe, machine, write
from torch import nn
from tqdm import tqdm

from lightning_modules.checkpoints.checkpoint_io import WholeCheckpointIO
from lightning_modules.checkpoints.names import path_of
from lightning_modules.checkpoints.retention import delete_checkpoints
from lightning_modules.checkpoints.whole import newest_whole

WIDTH, EVERY = 1024, 100
Way = Callable[[dict[str, object], Path], None]


class StandIn:
    """A run to save: weights, moments, average.

    Args:
        parameters: About how many, in layers of 1024 x 1024.
        batch_size: Rows per step.
    """

    def __init__(self, parameters: int, batch_size: int) -> None:
        layers = max(1, round(parameters / WIDTH**2))
        self.network = nn.Sequential(*(nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(layers)))
        self.optimizer = torch.optim.AdamW(self.network.parameters(), 1e-4, fused=True)
        self.average = [weight.detach().clone() for weight in self.network.parameters()]
        self.batch = torch.randn(batch_size, WIDTH)
        self.taken = 0
        self.step()

    def step(self) -> float:
        """Take a step and return its time in seconds."""
        started = time.perf_counter()
        self.optimizer.zero_grad()
        self.network(self.batch).square().mean().backward()
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_lerp_(self.average, list(self.network.parameters()), 0.001)
        self.taken += 1
        return time.perf_counter() - started

    def checkpoint(self) -> dict[str, object]:
        """Return what a Trainer would save; the tensors are those that training goes on to change."""
        return {
            "global_step": self.taken,
            "state_dict": self.network.state_dict(),
            "average": self.average,
            "optimizer_states": [self.optimizer.state_dict()],
        }


def plain_save(checkpoint: dict[str, object], path: Path) -> None:
    """Save as `torch.save` does, without a promise that anything is on the disk."""
    torch.save(checkpoint, path)


def plain_save_on_disk(checkpoint: dict[str, object], path: Path) -> None:
    """Save with `torch.save` and wait for the disk, then rename, without a checksum."""
    temporary = path.with_suffix(".tmp")
    torch.save(checkpoint, temporary)
    with temporary.open("rb") as stream:
        os.fsync(stream.fileno())
    temporary.replace(path)


class Measurement:
    """Times of one way of saving, in seconds per round."""

    def __init__(self, save: Way, settle: Callable[[], None] | None = None) -> None:
        self.save = save
        self.settle = settle or (lambda: None)
        self.stall: list[float] = []
        self.lost: list[float] = []

    def run(self, run: StandIn, path: Path, steps: int) -> None:
        """Save once with steps behind it, between as many undisturbed ones."""
        undisturbed = sum(run.step() for _ in range(steps)) / steps
        checkpoint = run.checkpoint()
        started = time.perf_counter()
        self.save(checkpoint, path)
        stall = time.perf_counter() - started
        meanwhile = sum(run.step() for _ in range(steps))
        waiting = time.perf_counter()
        self.settle()
        waited = time.perf_counter() - waiting
        self.stall.append(stall)
        self.lost.append(stall + meanwhile + waited - steps * undisturbed)


def measure(options: argparse.Namespace, parameters: int, folder: Path) -> dict[str, Any]:
    """Run the rounds for one size."""
    run = StandIn(parameters, options.batch_size)
    sync, aside = WholeCheckpointIO(), WholeCheckpointIO(asynchronous=True)
    ways = {
        "torch.save, no fsync, no checksum": Measurement(plain_save),
        "torch.save, fsync, rename, no checksum": Measurement(plain_save_on_disk),
        "Lightning's _atomic_save": Measurement(_atomic_save),
        "WholeCheckpointIO": Measurement(sync.save_checkpoint),
        "WholeCheckpointIO, asynchronous": Measurement(aside.save_checkpoint, aside.drain),
    }
    step_times: list[float] = []
    resume: dict[str, list[float]] = {"verify": [], "verify_and_load": []}
    orders, size = random.Random(0), 0
    for number in tqdm(range(options.rounds + 1), desc=f"{parameters / 1e6:g}M parameters", unit="round"):
        for name in orders.sample(list(ways), len(ways)):
            path = path_of(folder / "other" if name.startswith(("torch", "Light")) else folder, run.taken)
            path.parent.mkdir(exist_ok=True)
            ways[name].run(run, path, options.steps)
            if name == "WholeCheckpointIO":
                size = path.stat().st_size
                time_resume(sync, folder, resume)
            delete_checkpoints([path])
        step_times += [run.step() for _ in range(options.steps)]
        if number == 0:  # first-time costs: memory of the process, the disk's caches
            for times in [
                step_times,
                *resume.values(),
                *(t for w in ways.values() for t in (w.stall, w.lost)),
            ]:
                times.clear()
    aside.teardown()
    step = statistics.median(step_times)
    return {
        "parameters": sum(weight.numel() for weight in run.network.parameters()),
        "bytes": size,
        "step_seconds": step,
        "ways": {
            name: {
                "stall_seconds": way.stall,
                "lost_seconds": way.lost,
                "share": statistics.median(way.lost) / (EVERY * step),
            }
            for name, way in ways.items()
        },
        "resume_seconds": resume,
    }


def time_resume(plugin: WholeCheckpointIO, folder: Path, seconds: dict[str, list[float]]) -> None:
    """Time the reading of a resume: the newest whole checkpoint is looked for, then loaded."""
    started = time.perf_counter()
    path = newest_whole(folder)
    found = time.perf_counter()
    if path is None:
        raise RuntimeError("what was just written is not whole")
    plugin.load_checkpoint(path)
    seconds["verify"].append(found - started)
    seconds["verify_and_load"].append(time.perf_counter() - found)


def table(figures: dict[str, Any]) -> str:
    """Return a size's figures as a table."""
    step = figures["step_seconds"]
    lines = [
        f"{figures['parameters'] / 1e6:.1f}M parameters, {figures['bytes'] / 1e6:,.0f} MB, "
        f"a step {1000 * step:.0f} ms (median)",
        "",
        f"| way of saving | stall, ms | time lost, ms | share of {EVERY} steps |",
        "|---|---|---|---|",
    ]
    for name, way in figures["ways"].items():
        stall, lost = (1000 * statistics.median(way[key]) for key in ("stall_seconds", "lost_seconds"))
        lines.append(f"| {name} | {stall:,.0f} | {lost:,.0f} | {way['share']:.1%} |")
    verify, load = (1000 * statistics.median(times) for times in figures["resume_seconds"].values())
    in_steps = (verify + load) / (1000 * step)
    lines += [
        "",
        f"resume: {verify:,.0f} ms to verify the newest, {load:,.0f} ms to verify again and load it: "
        f"{in_steps:.1f} steps' time, {in_steps / EVERY:.1%} of {EVERY} steps",
    ]
    return "\n".join(lines)


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked to."""
    options = parse(args)
    facts = machine() | {"torch_threads": torch.get_num_threads()}
    print(describe(facts))
    results = []
    for parameters in options.parameters:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            results.append(measure(options, int(parameters), Path(folder)))
        gc.collect()
        print(f"\n{table(results[-1])}", flush=True)
    settings = vars(options) | {"out": None, "folder": None}
    write({"machine": facts, "options": settings, "sizes": results}, options.out)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--parameters", type=float, nargs="+", default=[10e6, 100e6], help="sizes (default 10e6 100e6)"
    )
    parser.add_argument("--rounds", type=int, default=4, help="rounds that count (default 4)")
    parser.add_argument("--steps", type=int, default=6, help="steps before and after a save (default 6)")
    parser.add_argument("--batch-size", type=int, default=64, help="rows per step (default 64)")
    parser.add_argument("--folder", type=Path, help="where to write (default: the system's temporary folder)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
