"""The `modal:` section of a configuration: what to ask Modal for."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from lightning_modules.cost.prices import GPUS

LONGEST = 24 * 3600
"""Seconds that Modal lets a function run at most."""

_CPU = ("", "NULL", "NONE", "CPU")
_OTHER_NAMES = {"A100": "A100-40GB", "A10G": "A10"}

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")


@dataclass(frozen=True)
class ModalSettings:
    """What to ask Modal for. Training on your own machine ignores it.

    Args:
        gpu: Types of GPU in order of preference, the next one where the one before is not free: `L4`, or
            `L4,A10`. An empty list, `[]`, trains on CPU cores.
        count: GPUs per container. Only 1 is supported.
        cpu: CPU cores to reserve.
        memory: Memory to reserve in MiB.
        timeout: Seconds after which a container hands over to the next one, 30 to 86,400. The run goes on.
        region: Regions to choose from, such as `eu`; None: anywhere, and cheapest.
        max_retries: Failures of a container that are answered with another one. Preemptions do not count.
        max_usd: Spend no more on the run: it stops at a checkpoint before. None sets no limit.
        data_volume: Name of the Volume with the data sets and their caches.
        runs_volume: Name of the Volume with the runs.

    Raises:
        ValueError: If Modal would refuse a value, or would do something else than it says.
    """

    gpu: list[str] | str | None = field(default_factory=lambda: ["L4", "A10", "T4"])
    count: int = 1
    cpu: float = 4.0
    memory: int = 16384
    timeout: int = LONGEST
    region: list[str] = field(default_factory=list)
    max_retries: int = 10
    max_usd: float | None = None
    data_volume: str = "ninelives-data"
    runs_volume: str = "ninelives-runs"

    def __post_init__(self) -> None:
        _refuse(self.count != 1, f"modal.count is {self.count}, but one GPU per container is what runs here")
        object.__setattr__(self, "gpu", _gpu_names(self.gpu))
        _refuse(not 0 < self.cpu <= 64, f"modal.cpu must be more than 0 and at most 64 cores, not {self.cpu}")
        _refuse(self.memory < 1024, f"modal.memory is in MiB and at least 1024, not {self.memory}")
        out_of_range = not 30 <= self.timeout <= LONGEST
        _refuse(out_of_range, f"modal.timeout must be 30 to {LONGEST} seconds, not {self.timeout}")
        _refuse(not 0 <= self.max_retries <= 10, f"modal.max_retries must be 0 to 10, not {self.max_retries}")
        too_little = self.max_usd is not None and self.max_usd <= 0
        _refuse(too_little, f"modal.max_usd must be more than 0, not {self.max_usd}")
        for option in ("data_volume", "runs_volume"):
            name = getattr(self, option)
            _refuse(not _NAME.fullmatch(name), f"modal.{option}: {name!r} is no name for a Volume")
        _refuse(self.data_volume == self.runs_volume, "modal: data and runs need a Volume each")

    @property
    def gpus(self) -> list[str] | None:
        """The GPUs as Modal is asked for them; None for CPU cores."""
        return list(self.gpu or ()) or None

    @property
    def handover(self) -> float:
        """Seconds after which a container saves and hands over, so that it is done before the timeout."""
        return self.timeout - min(900.0, 0.2 * self.timeout)


def _refuse(wrong: object, message: str) -> None:
    if wrong:
        raise ValueError(message)


def _gpu_names(given: Sequence[str] | str | None) -> list[str]:
    """Return the GPUs that are meant, by the names of the table of prices.

    Args:
        given: One, several between commas, a list, or none; with a count, `H100:1`, or in other letters.

    Raises:
        ValueError: If there is no such GPU, or several of one are asked for.
    """
    asked = given.strip("[] ").split(",") if isinstance(given, str) else given or ()
    names = [name.strip(" '\"").upper() for name in asked]
    return [_gpu_name(name) for name in names if name not in _CPU]


def _gpu_name(asked: str) -> str:
    name, _, count = asked.partition(":")
    _refuse(
        count not in ("", "1"),
        f"modal.gpu: {asked} asks for {count} GPUs, but one per container is what runs here",
    )
    name = _OTHER_NAMES.get(name, name)
    near = difflib.get_close_matches(name, GPUS, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    _refuse(name not in GPUS, f"modal.gpu: there is no GPU {name!r}; there are {', '.join(GPUS)}.{hint}")
    return name
