"""Checks that find out in seconds what is expensive to find out once a GPU is paid for."""

from __future__ import annotations

import functools
import importlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_modules.module import DiffusionModule

IMPORTS = (
    "numpy",
    "PIL",
    "yaml",
    "tqdm",
    "torch",
    "torchmetrics",
    "lightning.pytorch",
    "jsonargparse",
    "tensorboard",
    "datamodules.image_folder",
    "lightning_modules.models",
    "lightning_modules.cli.fit",
)
"""What training needs, the heavy ones first, so that each is timed by itself."""

_START = time.time()


class PreflightError(RuntimeError):
    """Something that training needs is not there.

    Attributes:
        cause: What is not there.
        lasting: Whether another attempt would meet the same.
    """

    def __init__(self, cause: str, lasting: bool) -> None:
        # Both in `args`: the error must survive the way out of a container.
        super().__init__(cause, lasting)
        self.cause = cause
        self.lasting = lasting

    def __str__(self) -> str:
        return self.cause


@dataclass(frozen=True)
class Check:
    """A check that was passed.

    Attributes:
        name: What was looked at.
        found: What was found.
        seconds: How long it took.
        values: Figures for the logs, by name.
    """

    name: str
    found: str
    seconds: float
    values: dict[str, float] = field(default_factory=dict)


class Preflight:
    """Run checks one after the other, and tell what they found; the first failure stops them.

    Attributes:
        checks: Those passed so far.
    """

    def __init__(self) -> None:
        self.checks: list[Check] = []

    def run(self, name: str, look: Callable[[], tuple[str, dict[str, float]]], lasting: bool = True) -> Check:
        """Run a check.

        Args:
            name: What is looked at.
            look: Returns what it found, in words and in figures.
            lasting: Whether its failure would be the same in another attempt.

        Raises:
            PreflightError: If it fails, with the cause.
        """
        with self._naming(name, lasting):
            started = time.perf_counter()
            found, values = look()
        check = Check(name, found, time.perf_counter() - started, values)
        self.checks.append(check)
        return check

    def imports(self, modules: Sequence[str] = IMPORTS) -> None:
        """Import what training needs, timing each.

        Raises:
            PreflightError: If one cannot be imported, with its name.
        """
        before = resident_mib()
        self.run("memory before imports", lambda: (f"{before:.0f} MiB", {"mib": before}))
        for module in modules:
            self.run(f"import {module}", functools.partial(_import, module))
        after = resident_mib()
        self.run("memory after imports", lambda: (f"{after:.0f} MiB", {"mib": after}))

    def cuda(self, expected: bool) -> None:
        """Look for a GPU and have it do something.

        Args:
            expected: Whether one was asked for.

        Raises:
            PreflightError: If it is not there or does not compute; another machine's may.
        """
        self.run("CUDA", lambda: _cuda(expected), lasting=False)

    def writable(self, folder: Path) -> None:
        """See whether a folder can be written to.

        Raises:
            PreflightError: If it cannot.
        """
        self.run(f"{folder.name} writable", lambda: _write(folder), lasting=False)

    def block(self, title: str) -> str:
        """Return all that was found, to be read."""
        width = max((len(check.name) for check in self.checks), default=0)
        lines = [f"  {each.name:{width}}  {each.seconds:7.2f} s  {each.found}" for each in self.checks]
        return "\n".join([f"--- {title}", *lines, "---"])

    def scalars(self) -> dict[str, float]:
        """Return the figures, `preflight/import_torch_seconds` and the like."""
        values: dict[str, float] = {}
        for check in self.checks:
            name = "".join(letter if letter.isalnum() else "_" for letter in check.name).strip("_")
            values[f"preflight/{name}_seconds"] = check.seconds
            values |= {f"preflight/{name}_{key}": value for key, value in check.values.items()}
        return values

    @contextmanager
    def _naming(self, name: str, lasting: bool) -> Iterator[None]:
        try:
            yield
        except PreflightError:
            raise
        except Exception as error:
            own = type(error) is RuntimeError
            cause = f"{name}: {error}" if own else f"{name}: {type(error).__name__}: {error}"
            raise PreflightError(cause, lasting) from error


def resident_mib() -> float:
    """Return this process's resident memory in MiB, or 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0.0
    kib = [int(line.split()[1]) for line in lines if line.startswith("VmRSS:")]
    return kib[0] / 1024 if kib else 0.0


def process_age() -> float:
    """Return the seconds since this process was started."""
    try:
        ticks = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
        return uptime - ticks / float(os.sysconf("SC_CLK_TCK"))
    except (OSError, ValueError, IndexError):
        return time.time() - _START


def count_images(root: Path) -> int:
    """Return the number of files below a folder that are images by their names."""
    from datamodules.index.walk import FolderWalk

    return sum(1 for _ in FolderWalk(str(root)))


def flop_per_image(module: DiffusionModule) -> float:
    """Return the floating-point operations of an image's forward and backward pass.

    The forward pass is counted without being computed; the backward pass is twice as much.
    """
    import copy

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    model = copy.deepcopy(module).to("meta")
    x = torch.empty(1, *module.image_shape, device="meta")
    sigma, nothing = torch.ones(1, device="meta"), model.conditioner.null(1, "meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(x, sigma, nothing)
    return 3.0 * float(counter.get_total_flops())


def _import(module: str) -> tuple[str, dict[str, float]]:
    loaded = importlib.import_module(module)
    return str(getattr(loaded, "__version__", "ok")), {}


def _cuda(expected: bool) -> tuple[str, dict[str, float]]:
    import torch

    if not torch.cuda.is_available():
        if expected:
            raise RuntimeError("no GPU found, but one was requested; '--modal.gpu []' trains on CPU cores")
        return f"none; {torch.get_num_threads()} CPU threads", {"present": 0.0}
    properties = torch.cuda.get_device_properties(0)
    started = time.perf_counter()
    matrix = torch.randn(1024, 1024, device="cuda")
    finite = bool(torch.isfinite(matrix @ matrix).all().item())
    if not finite:
        raise RuntimeError(f"{properties.name} computes a matrix product that is not finite")
    gib = properties.total_memory / 2**30
    seconds = time.perf_counter() - started
    figures = {"present": 1.0, "memory_gib": gib, "warm_up_seconds": seconds}
    return f"{properties.name}, {gib:.0f} GiB, warmed up in {seconds:.2f} s", figures


def _write(folder: Path) -> tuple[str, dict[str, float]]:
    probe = folder / f".preflight-{os.getpid()}"
    probe.write_bytes(b"whole")
    if probe.read_bytes() != b"whole":
        raise OSError(f"{probe} does not read as it was written")
    probe.unlink()
    return "yes", {}
