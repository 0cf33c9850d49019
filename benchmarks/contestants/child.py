"""The process of one contestant: `python -m contestants.child task.json` trains it and draws its samples.

What is there already is not done again.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from machine import write
from torch.utils.flop_counter import FlopCounterMode
from tqdm import tqdm

from contestants.registry import make
from contestants.task import Contestant, Images, Task

Labels = npt.NDArray[np.int64]

_TOGETHER = 64
"""Samples drawn at a time."""


def matmul_rate(seconds: float, side: int = 1024) -> float:
    """Return what the machine does at the moment, in GFLOP/s of float32 matrix products."""
    a, b = torch.randn(side, side), torch.randn(side, side)
    a @ b
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not count:
        a @ b
        count += 1
    return 2 * side**3 * count / elapsed / 1e9


def train(task: Task, contestant: Contestant) -> dict[str, Any]:
    """Train, and write `training.json`."""
    rate = matmul_rate(0.2 if task.max_steps else 3.0)
    facts = contestant.train()
    facts |= {"images_per_second": facts["images"] / facts["seconds"], "matmul_gflops": rate}
    facts |= {"contestant": task.contestant, "seed": task.seed, "choices": contestant.choices}
    write(facts, task.place / "training.json")
    return facts


def sample(task: Task, contestant: Contestant, rate: float) -> None:
    """Draw the samples, and write `samples.npz` and `sampling.json`."""
    facts = contestant.load()
    labels = labels_of(task)
    with FlopCounterMode(display=False) as counter:
        contestant.sample([int(labels[0])], 0)
    flops = counter.get_total_flops()
    least = task.n * flops / rate / 1e9
    print(
        f"{task.contestant}: {task.n} samples of {flops / 1e9:.1f} GFLOP ({facts['nfe']} evaluations), "
        f"{least / 60:.1f} minutes at the machine's matmul rate, about twice that in practice",
        file=sys.stderr,
        flush=True,
    )
    images, seconds = draw(task, contestant, labels)
    with (task.place / ".samples.tmp").open("wb") as file:
        np.savez(file, images=images, labels=labels)
    facts |= {"gflop_per_sample": flops / 1e9, "seconds_per_1000": 1000 * seconds / task.n}
    write(facts, task.place / "sampling.json")
    (task.place / ".samples.tmp").replace(task.place / "samples.npz")


def labels_of(task: Task) -> Labels:
    """Draw the labels of the samples as often as they are in the training images, (N,)."""
    return np.random.default_rng(task.seed).choice(np.asarray(task.array("train_labels")), task.n)


def draw(task: Task, contestant: Contestant, labels: Labels) -> tuple[Images, float]:
    """Draw a sample of each label, uint8 (N, 3, S, S), and say how many seconds it took."""
    torch.manual_seed(task.seed + 1)
    images, started = [], time.perf_counter()
    with tqdm(total=len(labels), desc=f"sampling {task.contestant}", unit="image") as bar:
        for first in range(0, len(labels), _TOGETHER):
            part = [int(label) for label in labels[first : first + _TOGETHER]]
            images.append(contestant.sample(part, first))
            bar.update(len(part))
    return np.concatenate(images), time.perf_counter() - started


def main() -> None:
    task = Task.load(Path(sys.argv[1]))
    torch.set_num_threads(task.threads)
    contestant = make(task)
    written = task.place / "training.json"
    facts = json.loads(written.read_text()) if written.is_file() else train(task, contestant)
    if not (task.place / "samples.npz").is_file():
        sample(task, contestant, facts["matmul_gflops"])


if __name__ == "__main__":
    main()
