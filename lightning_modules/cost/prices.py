"""What Modal charges, and what its GPUs can do: the one table that forecasts and limits are made with."""

from __future__ import annotations

from dataclasses import dataclass

DATE = "2025-11"
"""Month of the prices, written down from memory: check https://modal.com/pricing, and correct them here."""


@dataclass(frozen=True)
class GPU:
    """A type of GPU.

    Attributes:
        usd_per_second: Price.
        tflops_half: Peak of dense matrix products in bfloat16 or float16, in 1e12 FLOP/s.
        tflops_single: The same in float32.
        device: How CUDA names it, in part.
    """

    usd_per_second: float
    tflops_half: float
    tflops_single: float
    device: str


GPUS = {
    "T4": GPU(0.000164, 65, 8, "T4"),
    "L4": GPU(0.000222, 121, 30, "L4"),
    "A10": GPU(0.000306, 125, 31, "A10"),
    "L40S": GPU(0.000542, 362, 91, "L40S"),
    "A100-40GB": GPU(0.000583, 312, 19, "A100"),
    "A100-80GB": GPU(0.000694, 312, 19, "A100"),
    "H100": GPU(0.001097, 989, 67, "H100"),
    "H200": GPU(0.001261, 989, 67, "H200"),
    "B200": GPU(0.001736, 2250, 80, "B200"),
}

CPU_CORE_USD_PER_SECOND = 0.0000131
MEMORY_GIB_USD_PER_SECOND = 0.00000222
TFLOPS_PER_CORE = 0.1
REGION_FACTOR = 2.5
"""The most that naming a region multiplies all prices by."""

ACHIEVED_SHARE = 0.25
"""Share of a GPU's peak that training is taken to reach until its steps have been measured."""


def usd_per_second(gpu: str | None, cpu: float, memory_mib: int, in_region: bool) -> float:
    """Return what a container costs per second while it runs.

    Args:
        gpu: Its GPU, one of `GPUS`, or none.
        cpu: Its CPU cores.
        memory_mib: Its memory in MiB.
        in_region: Whether the region was chosen, which costs more.
    """
    rate = cpu * CPU_CORE_USD_PER_SECOND + memory_mib / 1024 * MEMORY_GIB_USD_PER_SECOND
    if gpu is not None:
        rate += GPUS[gpu].usd_per_second
    return rate * (REGION_FACTOR if in_region else 1.0)


def gpu_of_device(device: str, memory_gib: float, asked: list[str]) -> str | None:
    """Return which of the requested GPUs a CUDA device is; the most expensive of them if it is not one.

    Args:
        device: CUDA's name, such as `NVIDIA A100-SXM4-80GB`.
        memory_gib: Its memory.
        asked: Names out of `GPUS`.
    """
    words = device.upper().replace("-", " ").split()
    found = [name for name in asked if GPUS[name].device in words]
    if len(found) > 1:  # the two A100s
        large = memory_gib > 60
        found = [name for name in found if name.endswith("80GB") == large] or found
    return max(found or asked, key=lambda name: GPUS[name].usd_per_second, default=None)
