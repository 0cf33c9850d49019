from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Callback
from tiny import Memory, data, fit, module, trainer

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.progress import StepProgressBar
from lightning_modules.callbacks.telemetry import Telemetry


class Metrics(Callback):
    def __init__(self) -> None:
        self.seen: list[dict[str, object]] = []

    def on_train_batch_end(self, trainer, pl_module, *_):
        self.seen.append(trainer.progress_bar_callback.get_metrics(trainer, pl_module))


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_bar_spans_the_whole_run(image_folder, tmp_path, accumulation):
    bar = StepProgressBar()
    options = {"max_steps": 4, "accumulate_grad_batches": accumulation, "enable_progress_bar": True}
    fit(tmp_path, module(), data(image_folder), [bar], **options)
    assert bar.total_train_batches == 4 * accumulation
    assert bar.train_progress_bar.total == bar.train_progress_bar.n == 4 * accumulation
    assert bar.train_progress_bar.desc.startswith("Training")


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_bar_of_a_resumed_run_goes_on_where_it_was(image_folder, tmp_path, accumulation):
    options = {"accumulate_grad_batches": accumulation, "enable_progress_bar": True}
    fit(tmp_path, module(), data(image_folder), [StepCheckpoint(2)], max_steps=2, **options)
    bar, resume = StepProgressBar(), tmp_path / "checkpoints" / "step=00000002.ckpt"
    fit(tmp_path, module(), data(image_folder), [bar, StepCheckpoint(2)], resume, max_steps=5, **options)
    assert bar.train_progress_bar.initial == 2 * accumulation
    assert bar.train_progress_bar.total == bar.train_progress_bar.n == 5 * accumulation
    assert bar.train_progress_bar.desc.startswith("Training")


def test_what_stands_behind_the_bar(image_folder, tmp_path):
    metrics = Metrics()
    options = {"max_steps": 3, "log_every_n_steps": 1, "enable_progress_bar": True, "logger": Memory()}
    fit(tmp_path, module(), data(image_folder), [Telemetry(), StepProgressBar(), metrics], **options)
    assert len(metrics.seen) == 3
    last = metrics.seen[-1]
    assert set(last) == {"loss", "images/s"}
    assert float(last["loss"]) > 0
    assert int(last["images/s"]) > 0


def test_without_telemetry_there_is_no_rate(image_folder, tmp_path):
    metrics = Metrics()
    fit(
        tmp_path,
        module(),
        data(image_folder),
        [StepProgressBar(), metrics],
        max_steps=1,
        enable_progress_bar=True,
    )
    assert set(metrics.seen[-1]) == {"loss"}


def test_a_run_by_time_has_no_total(tmp_path):
    bar = StepProgressBar()
    run = trainer(tmp_path, [bar], max_time="00:00:00:10", enable_progress_bar=True)
    bar.setup(run, torch.nn.Identity(), "fit")
    assert run.max_steps == -1
    assert bar.total_train_batches == run.num_training_batches
