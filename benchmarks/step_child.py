"""The process of one row of step_speed.py: `python step_child.py NAME SIZE BATCH MILLIONS`.

Reads a line per turn, the seconds to take steps for, and answers each with a line of JSON.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TextIO

import torch
from contestants.child import matmul_rate
from step_networks import ROWS

from lightning_modules.utils.allocator import keep_freed_memory

MATMUL, _MATMUL_SIDE = "matmul", 2048


def memory(field: str) -> float:
    """Return `VmRSS`, memory that is held, or `VmHWM`, the most that was, in MB; NaN where Linux is not."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return float("nan")
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) / 1024


def answer(out: TextIO, **facts: object) -> None:
    print(json.dumps(facts), file=out, flush=True)


def serve_matmul(out: TextIO) -> None:
    matmul_rate(0.0, _MATMUL_SIDE)
    answer(out)
    for line in sys.stdin:
        answer(out, gflops=matmul_rate(float(line), _MATMUL_SIDE))


def serve_steps(out: TextIO, name: str, size: int, batch: int, millions: int) -> None:
    row = ROWS[name]
    kept = row.keeps_memory and keep_freed_memory()
    torch.manual_seed(0)
    imported = memory("VmRSS")
    step = row.make(torch.randn(batch, 3, size, size), millions)
    parameters = sum(parameter.numel() for parameter in step.network.parameters())
    gflop = step.flops_per_image() / 1e9
    for _ in range(2):  # the first makes the optimizer's state
        step()
    answer(out, parameters=parameters, gflop_per_image=gflop, keeps_memory=kept)
    for line in sys.stdin:
        end, steps = time.perf_counter() + float(line), []
        while not steps or time.perf_counter() < end:
            started = time.perf_counter()
            step()
            steps.append(time.perf_counter() - started)
        peak = memory("VmHWM")
        answer(out, steps=steps, peak_mb=peak, step_mb=peak - imported)


if __name__ == "__main__":
    replies = os.fdopen(os.dup(1), "w")
    sys.stdout = sys.stderr  # what a library has to say is no answer
    if sys.argv[1] == MATMUL:
        serve_matmul(replies)
    else:
        serve_steps(replies, sys.argv[1], *map(int, sys.argv[2:]))
