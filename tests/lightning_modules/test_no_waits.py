"""Away from logging, nothing in a training step waits for the device but what is known to."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback
from torch.utils._python_dispatch import TorchDispatchMode

from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.progress import StepProgressBar
from lightning_modules.callbacks.spike_guard import SpikeGuard
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.callbacks.telemetry import Telemetry
from lightning_modules.ema.callback import EMA
from tests.helpers import tiny

LOG_EVERY, STEPS = 5, 14
KNOWN = ("spike_guard._measure",)
"""SpikeGuard has to know whether to take the step."""

ON_THE_HOST = "update_parameters"
"""torch's AveragedModel reads its counter, which EMA keeps on the host, as `test_ema` proves."""

READS = {"_local_scalar_dense", "is_nonzero", "nonzero", "equal", "masked_select", "_unique2"}


class Waits(TorchDispatchMode):
    """Note, by optimizer step, whatever hands the value of a tensor to the host.

    Operators say so themselves. On a CPU `tolist`, `cpu` and `numpy` are no operators.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__()
        self.seen: list[list[str]] = [[]]
        for name in ("tolist", "cpu", "numpy"):
            monkeypatch.setattr(torch.Tensor, name, self._noting(name, getattr(torch.Tensor, name)))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.overloadpacket.__name__ in READS:
            self._note(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))

    def _noting(self, name: str, method: Any) -> Any:
        def noting(tensor: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            self._note(name)
            return method(tensor, *args, **kwargs)

        return noting

    def _note(self, name: str) -> None:
        frames = traceback.extract_stack()
        if any(frame.name == ON_THE_HOST for frame in frames):
            return
        places = [f"{Path(frame.filename).stem}.{frame.name}" for frame in frames]
        self.seen[-1].append(f"{name} in {' < '.join(reversed(places[-14:-2]))}")


class Counting(Callback):
    """Begin a new list with every step. It stands last, so all that ends a step is in the step's list."""

    def __init__(self, waits: Waits) -> None:
        self.waits = waits

    def on_train_batch_end(self, *_: Any) -> None:
        self.waits.seen.append([])


def train(folder: Path, images: Path, waits: Waits, *more: Callback, kind: str = "dit") -> list[list[str]]:
    callbacks = [LearningRate(4), EMA(), StepSeed(), LossByNoiseLevel(), SpikeGuard(memory=4), Telemetry()]
    options = {"enable_progress_bar": True, "logger": tiny.Memory(), "log_every_n_steps": LOG_EVERY}
    options |= {"max_steps": STEPS, "gradient_clip_val": 1.0}
    callbacks += [StepProgressBar(refresh_rate=LOG_EVERY), *more, Counting(waits)]
    with waits:
        tiny.fit(folder, tiny.module(kind), tiny.data(images), callbacks, **options)
    return waits.seen


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_nothing_else_waits(kind: str, tmp_path: Path, image_folder: Path, monkeypatch: Any) -> None:
    steps = train(tmp_path, image_folder, Waits(monkeypatch), kind=kind)
    assert len(steps) == STEPS + 1
    # Of the step that logs, some follows in Lightning's own loop, and so in the next one's list.
    # The bar shows the last step's figures too.
    quiet = [n for n in range(2, STEPS - 1) if (n + 1) % LOG_EVERY and n % LOG_EVERY]
    for number in quiet:
        assert len(steps[number]) == len(KNOWN), "\n".join(steps[number])
        for wait, place in zip(steps[number], KNOWN, strict=True):
            assert place in wait


@pytest.mark.parametrize("read", [float, bool, torch.Tensor.item, lambda loss: loss.tolist(), torch.nonzero])
def test_a_wait_is_noticed(read: Any, tmp_path: Path, image_folder: Path, monkeypatch: Any) -> None:
    class Careless(Callback):
        def on_train_batch_end(self, _trainer: Any, _module: Any, outputs: Any, *_: Any) -> None:
            read(outputs["loss"])

    steps = train(tmp_path, image_folder, Waits(monkeypatch), Careless())
    assert [len(steps[number]) for number in (2, 3, 7)] == [len(KNOWN) + 1] * 3
