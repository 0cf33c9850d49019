from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lightning_modules.callbacks import telemetry
from lightning_modules.callbacks.telemetry import Telemetry, between_steps
from tests.helpers.tiny import KINDS, Memory, batches, data, fit, module, randomize, trainer, without_trainer


@pytest.mark.parametrize("accumulation", [1, 3])
def test_images_seen_are_steps_times_the_whole_batch(image_folder, tmp_path, accumulation):
    logger = Memory()
    options = {"max_steps": 5, "log_every_n_steps": 2, "accumulate_grad_batches": accumulation}
    fit(tmp_path, module(), data(image_folder), [Telemetry()], logger=logger, **options)
    assert logger.metrics["images_seen"] == {1: 2 * 4 * accumulation, 3: 4 * 4 * accumulation}
    assert all(rate > 0 for rate in logger.metrics["throughput/images_per_second"].values())
    shares = logger.metrics["throughput/data_wait_share"].values()
    assert len(shares) == 2
    assert all(0 <= share <= 1 for share in shares)


@pytest.mark.parametrize("kind", KINDS)
def test_gradient_norm_is_the_norm_before_clipping(image_folder, tmp_path, kind):
    logger = Memory()
    options = {"max_steps": 1, "log_every_n_steps": 1, "gradient_clip_val": 1e-3}
    fit(tmp_path, randomize(module(kind)), data(image_folder), [Telemetry()], logger=logger, **options)
    model = without_trainer(randomize(module(kind)))
    model.training_step(next(batches(data(image_folder), 1)), 0)["loss"].backward()
    expected = torch.cat([p.grad.flatten() for p in model.parameters()]).norm().item()
    assert expected > 0.01
    assert logger.metrics["gradient_norm"] == {0: pytest.approx(expected, rel=1e-4)}


class ByHand:
    """Telemetry on a clock that the test sets, with batches of 4 images."""

    def __init__(self, monkeypatch, log_every=1, accumulation=1):
        self.now = 0.0
        monkeypatch.setattr(telemetry, "time", SimpleNamespace(perf_counter=lambda: self.now))
        self.callback, self.logged = Telemetry(), {}
        self.module = SimpleNamespace(
            log=lambda name, value, **_: self.logged.update({name: value}),
            log_dict=lambda values, **_: self.logged.update(values),
        )
        self.trainer = SimpleNamespace(
            global_step=0,
            log_every_n_steps=log_every,
            accumulate_grad_batches=accumulation,
            world_size=1,
            callbacks=[self.callback],
        )
        self.micro_batch = 0

    def batch(self, wait: float, work: float) -> tuple[float | None, float | None]:
        """Wait, work, and return the rate and the waiting share as logged after this batch."""
        self.logged.clear()
        self.now += wait
        batch = (torch.zeros(4, 3, 1, 1), torch.zeros(4))
        self.callback.on_train_batch_start(self.trainer, self.module, batch, self.micro_batch)
        self.now += work
        index, self.micro_batch = self.micro_batch, self.micro_batch + 1
        self.trainer.global_step = self.micro_batch // self.trainer.accumulate_grad_batches
        self.callback.on_train_batch_end(self.trainer, self.module, None, batch, index)
        names = ("throughput/images_per_second", "throughput/data_wait_share")
        return tuple(self.logged.get(name) for name in names)


def test_rates_by_hand(monkeypatch):
    run = ByHand(monkeypatch, log_every=2)
    assert run.batch(100, 2) == (None, None)  # what is before the first batch does not count
    assert run.batch(1, 2) == (8 / 5, 1 / 5)
    assert run.batch(2, 1) == (None, None)
    assert run.batch(0, 1) == (8 / 4, 2 / 4)


def test_every_micro_batch_of_the_interval_counts(monkeypatch):
    run = ByHand(monkeypatch, log_every=1, accumulation=2)
    run.batch(0, 5)
    assert run.batch(1, 2) == (8 / 8, 1 / 8)
    run.batch(0, 1)
    assert run.batch(0, 1) == (8 / 2, 0)


@pytest.mark.parametrize("pause", ["on_validation_start", "on_save_checkpoint", "between_steps"])
def test_validation_saving_and_sampling_do_not_count(monkeypatch, pause):
    run = ByHand(monkeypatch, log_every=2)
    run.batch(0, 1)
    if pause == "between_steps":
        with between_steps(run.trainer):
            run.now += 50
    else:
        arguments = (run.trainer, run.module, {})
        getattr(run.callback, pause)(*arguments[: 3 if "save" in pause else 2])
        run.now += 50
    assert run.batch(3, 1) == (8 / 2, 0)


def test_between_steps_needs_no_telemetry(tmp_path):
    with between_steps(trainer(tmp_path)):
        pass
