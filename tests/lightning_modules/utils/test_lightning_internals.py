"""What must still hold of Lightning after an upgrade; a test that fails names what to look at."""

from __future__ import annotations

import logging
import signal
import warnings
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import SpikeDetection, WeightAveraging
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from torch.utils.tensorboard import SummaryWriter

from lightning_modules.utils import lightning_internals as internals
from tests.helpers.tiny import data, fit, module, trainer


class Other(Callback):
    """Another kind."""


def test_a_trainer_keeps_its_callbacks_in_a_list(tmp_path):
    mine = [Other(), Other()]
    run = trainer(tmp_path, mine)
    assert internals.callbacks_of(run, Other) == mine
    assert internals.callback_of(run, Other) is mine[0]
    assert internals.callback_of(run, WeightAveraging) is None
    internals.set_callbacks(run, mine[1:])
    assert run.callbacks == mine[1:]


def test_a_trainer_keeps_its_flags(tmp_path):
    assert internals.log_interval(trainer(tmp_path, log_every_n_steps=7)) == 7
    assert not internals.is_fast_dev_run(trainer(tmp_path))
    assert internals.is_fast_dev_run(Trainer(fast_dev_run=True, accelerator="cpu", logger=False))


def test_a_trainer_keeps_its_data_module(image_folder, tmp_path):
    images = data(image_folder)
    run = fit(tmp_path, module(), images, max_steps=1)
    assert internals.data_module(run) is images
    with pytest.raises(ValueError, match="datamodule="):
        internals.data_module(trainer(tmp_path))


def test_a_module_without_a_trainer_has_none(image_folder, tmp_path):
    model = module()
    assert internals.trainer_of(model) is None
    run = fit(tmp_path, model, data(image_folder), max_steps=1)
    assert internals.trainer_of(model) is run


def test_a_fit_puts_no_other_signal_handlers_in_place(image_folder, tmp_path):
    class Listens(Callback):
        def setup(self, trainer, pl_module, stage):
            internals.replace_signal_handlers(trainer, lambda: calls.append("listen"))

        def on_train_start(self, trainer, pl_module):
            calls.append([signal.getsignal(number) for number in numbers])

    numbers, calls = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1), []
    before = [signal.getsignal(number) for number in numbers]
    fit(tmp_path, module(), data(image_folder), [Listens()], max_steps=1)
    assert calls == ["listen", before]


def test_an_average_is_made_swapped_and_counted(image_folder, tmp_path):
    model, average = module(), WeightAveraging(use_buffers=False)
    assert internals.average_of(average) is None
    assert internals.make_average_on(average, torch.device("cpu")).type == "cpu"
    assert internals.make_average_on(average, torch.device("meta")).type == "cpu"  # the first one stays
    fit(tmp_path, model, data(image_folder), [average], max_steps=3)
    made = internals.average_of(average)
    assert made.n_averaged == 3
    assert internals.step_of_average(average) == 3
    name, weight = next(iter(model.named_parameters()))
    averaged = made.module.get_parameter(name)
    assert {weight.device.type, averaged.device.type} == {"cpu"}
    with torch.no_grad():
        weight.fill_(1.0)
        averaged.fill_(2.0)
    internals.swap_average(average, model)
    assert (weight == 2).all()
    assert (averaged == 1).all()


def test_a_logger_takes_a_writer(tmp_path):
    class Mine(SummaryWriter):
        """A writer."""

    logger, made = TensorBoardLogger(tmp_path, purge_step=5), []

    def make(options):
        assert options["purge_step"] == 5
        made.append(Mine(log_dir=str(tmp_path), **options))
        return made[-1]

    assert [internals.writer_of(logger, make) for _ in range(2)] == [*made, *made]
    assert logger.experiment is made[0]
    logger.finalize("success")


@pytest.mark.parametrize("kind", [CSVLogger, TensorBoardLogger])
def test_where_lightning_keeps_the_folder_of_a_logger(kind, tmp_path):
    logger = kind("{run}/logs")
    internals.set_logger_folder(logger, "{run}", tmp_path)
    assert Path(logger.save_dir) == tmp_path / "logs"
    assert Path(logger.log_dir).is_relative_to(tmp_path)
    elsewhere = kind("logs")
    internals.set_logger_folder(elsewhere, "{run}", tmp_path)
    assert elsewhere.save_dir == "logs"


@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_state_of_the_fit_loop_has_the_keys_of_lightning_s(image_folder, tmp_path, accumulation):
    def shape(state):
        return {key: shape(value) for key, value in state.items()} if isinstance(state, dict) else type(state)

    options = {"max_steps": 2, "accumulate_grad_batches": accumulation}
    run = fit(tmp_path, module(), data(image_folder), **options)
    theirs = run.fit_loop.state_dict()
    ours = internals.fit_loop_state(2, accumulation)
    # The loader's own state is left out: a batch is a function of its number.
    assert shape(ours) == shape(theirs | {"state_dict": {}})
    run.fit_loop.load_state_dict(ours)
    assert run.global_step == 2


def test_a_checkpoint_stands_between_steps(tmp_path):
    checkpoint = {"global_step": 3, "loops": {}}
    internals.set_position(trainer(tmp_path, accumulate_grad_batches=2), checkpoint)
    assert checkpoint["loops"]["fit_loop"] == internals.fit_loop_state(3, 2)


@pytest.mark.parametrize(
    ("talker", "text", "said"),
    [
        ("pytorch.utilities.rank_zero", "GPU available: False, used: False", False),
        ("pytorch.utilities.rank_zero", "`Trainer.fit` stopped: `max_steps=3` reached.", False),
        ("fabric.utilities.seed", "Seed set to 0", False),
        ("pytorch.utilities.rank_zero", "Something new", True),
    ],
)
def test_news_to_nobody_is_silenced(talker, text, said, caplog):
    with warnings.catch_warnings():
        internals.quiet_lightning()
    logger = logging.getLogger(f"lightning.{talker}")
    record = logging.LogRecord(logger.name, logging.INFO, "", 0, text, (), None)
    assert bool(logger.filter(record)) is said


def test_lightning_s_own_spike_detection_does_not_resume():
    """When this fails, look at the callback again: ADR-007 says why it is not used."""
    saved = SpikeDetection()
    saved.running_mean.update(torch.tensor(1.0))
    with pytest.raises(AttributeError, match="running"):
        SpikeDetection().load_state_dict(saved.state_dict())
