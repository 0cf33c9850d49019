from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.ema.callback import EMA
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import KINDS, assert_bitwise_equal, data, fit, load, module

GRID = {"rows": 1, "columns": 2, "sampling": Sampling(steps=2)}


class Disturbance(Callback):
    """Draws from the global generator between the steps, as a metric or another library may."""

    def on_train_batch_end(self, trainer, pl_module, *_):
        torch.rand(trainer.global_step + 1)


class Masks(Callback):
    """Which units the first dropout layer drops, by micro-batch."""

    def __init__(self) -> None:
        self.seen: list[torch.Tensor] = []

    def on_train_start(self, trainer, pl_module):
        layer = next(m for m in pl_module.modules() if isinstance(m, nn.Dropout))
        layer.register_forward_hook(lambda _, inputs, output: self.seen.append(output == 0))


def run(image_folder, folder, *callbacks, kind="dit", seed=0, accumulation=1, **options):
    model = module(kind, dropout=0.5, seed=seed)
    options = {"max_steps": 4, "accumulate_grad_batches": accumulation, **options}
    fit(folder, model, data(image_folder), [*callbacks, StepCheckpoint(2, keep_last=9)], **options)
    return load(folder / "checkpoints" / "last.ckpt")


def test_dropout_is_a_function_of_seed_and_micro_batch(image_folder, tmp_path):
    def masks(name, start, *callbacks, seed=0):
        seen = Masks()
        torch.manual_seed(start)
        run(image_folder, tmp_path / name, StepSeed(), seen, *callbacks, seed=seed, accumulation=2)
        return seen.seen

    first, again = masks("first", 1), masks("again", 2, Disturbance())
    assert len(first) == len(again) == 8
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not any(torch.equal(first[0], later) for later in first[1:])
    assert not torch.equal(masks("other", 1, seed=1)[0], first[0])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_validation_and_sampling_change_no_weight(image_folder, tmp_path, kind, accumulation):
    options = {"kind": kind, "accumulation": accumulation}
    plain = run(image_folder, tmp_path / "plain", EMA(0.9), StepSeed(), **options)
    callbacks = [EMA(0.9), StepSeed(), SampleGrid(1, **GRID), Disturbance()]
    busy = run(image_folder, tmp_path / "busy", *callbacks, val_check_interval=1, **options)
    for part in ("current_model_state", "state_dict"):
        assert_bitwise_equal(plain[part], busy[part])


def test_without_it_they_would(image_folder, tmp_path):
    runs = []
    for name, callbacks in {"plain": [], "busy": [Disturbance()]}.items():
        torch.manual_seed(0)
        runs.append(run(image_folder, tmp_path / name, EMA(0.9), *callbacks)["current_model_state"])
    assert any(not torch.equal(runs[0][name], runs[1][name]) for name in runs[0])
