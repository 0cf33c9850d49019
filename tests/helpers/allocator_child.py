"""Train, a step for each batch size: `python allocator_child.py 16 16`; print what memory did as JSON."""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from lightning_modules.networks.unet import UNet, UNetConfig
from lightning_modules.utils.allocator import free_memory, keep_freed_memory


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def train(batch_sizes: list[int]) -> Iterator[tuple[int, int]]:
    network = UNet(UNetConfig(channels=(32, 64), blocks=1, attention=(8,)), 32)
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    for size in batch_sizes:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        x, labels = torch.randn(size, 3, 32, 32), torch.zeros(size, dtype=torch.int64)
        loss = (network(x, torch.zeros(size), labels) - x).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before, resident()


if __name__ == "__main__":
    kept = keep_freed_memory()
    faults, sizes = zip(*train([int(size) for size in sys.argv[1:]]), strict=True)
    free_memory()
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    figures = {"kept": kept, "faults": faults, "resident": sizes, "peak": peak}
    print(json.dumps(figures | {"resident_when_freed": resident()}))
