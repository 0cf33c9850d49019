from __future__ import annotations

import logging
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lightning_modules.callbacks.evaluation import Evaluation
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.ema.callback import EMA
from lightning_modules.logs.run_logger import RunLogger
from lightning_modules.module import AdamWSettings
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import EachStep, Memory, assert_bitwise_equal, data, fit, module, weights

ALWAYS = 1.0
"""The share of the time that leaves nothing out, but for evaluations that take more than all of it."""


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 images of 8 x 8 pixels in two classes."""
    root = tmp_path_factory.mktemp("evaluation") / "images"
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(32):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(
                root / name / f"{number}.png"
            )
    return root


@pytest.fixture(autouse=True)
def free_of_charge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Evaluations are free, so that which of them are done does not depend on the machine's load."""
    monkeypatch.setattr(Evaluation, "_affordable", lambda self: True)


def evaluation(every: int = 2, **options) -> Evaluation:
    settings = {"images": 16, "features": "random", "sampling": Sampling(steps=2), "max_share": ALWAYS}
    return Evaluation(every, **{**settings, **options})


def logged_to(logger, steps: int = 2) -> dict[str, object]:
    return {"logger": logger, "max_steps": steps, "log_every_n_steps": 1}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_scalars_at_every_due_step_whatever_the_trainer_logs(images, tmp_path, accumulation):
    memory = Memory()
    options = {"max_steps": 5, "accumulate_grad_batches": accumulation, "log_every_n_steps": 5}
    fit(tmp_path, module(), data(images), [evaluation(), EMA(0.9)], logger=memory, **options)
    # As Lightning counts, from 0: `RunLogger` puts them at 2 and 4.
    assert set(memory.metrics["evaluation/kid"]) == {1, 3}
    assert memory.metrics["evaluation/step"] == {1: 2.0, 3: 4.0}
    names = {name.removeprefix("evaluation/") for name in memory.metrics}
    assert {
        "kid_low",
        "kid_high",
        "kid_floor",
        "precision",
        "recall",
        "coverage",
        "copies",
        "seconds",
    } <= names
    assert {"nearest_distance_over_val", "error_val", "gap_to_train", "ema_error_over_raw"} <= names
    assert "val_sigma_0.02_to_0.1" in names
    for step in (1, 3):
        low, kid, high = (memory.metrics[f"evaluation/{n}"][step] for n in ("kid_low", "kid", "kid_high"))
        assert low < kid < high


def test_bands_that_are_logged_already_are_not_logged_again(images, tmp_path):
    memory = Memory()
    fit(tmp_path, module(), data(images), [evaluation(), LossByNoiseLevel()], **logged_to(memory))
    assert "evaluation/error_val" in memory.metrics
    assert not [name for name in memory.metrics if "val_sigma" in name]


@pytest.mark.parametrize("seeded", [True, False])
def test_no_weight_is_changed(images, tmp_path, seeded):
    """Bit for bit, with dropout, whose draws come from the global generator."""
    finals, averages = [], []
    for callbacks in ([], [evaluation(every=1)]):
        model, ema = module(dropout=0.3), EMA(0.9)
        torch.manual_seed(11)
        others = [ema, StepSeed()] if seeded else [ema]
        raw = EachStep(lambda _, trained: weights(trained))
        fit(tmp_path, model, data(images), [*others, *callbacks, raw], max_steps=5)
        finals.append(raw.seen[5])
        averages.append(weights(model))
    assert_bitwise_equal(*finals)
    assert_bitwise_equal(*averages)
    assert not torch.equal(*(next(iter(kept.values())) for kept in (finals[0], averages[0])))


def test_global_generators_are_left_alone(images, tmp_path):
    states = []
    for callbacks in ([], [evaluation(every=1)]):
        torch.manual_seed(11)
        fit(tmp_path, module(), data(images), callbacks, max_steps=3)
        states.append(torch.get_rng_state())
    assert torch.equal(*states)


def test_a_checkpoint_callback_keeps_the_best(images, tmp_path):
    memory = Memory()
    best = ModelCheckpoint(
        tmp_path / "best", "{step}", monitor="evaluation/kid", mode="min", every_n_train_steps=2
    )
    options = {"optimizer": AdamWSettings(learning_rate=0.05)}
    callbacks = [evaluation(), EMA(0.5), best]
    fit(tmp_path, module(**options), data(images), callbacks, **logged_to(memory, steps=6))
    kids = memory.metrics["evaluation/kid"]
    assert len(set(kids.values())) == 3
    assert float(best.best_model_score) == pytest.approx(min(kids.values()))
    assert Path(best.best_model_path).name == f"step={min(kids, key=kids.get) + 1}.ckpt"


def test_metrics_of_the_trainer_say_which_step_they_are_of(images, tmp_path):
    seen = EachStep(lambda run, _: float(run.callback_metrics.get("evaluation/step", -1)))
    fit(tmp_path, module(), data(images), [evaluation(), seen], max_steps=5)
    assert seen.seen == {1: -1, 2: 2, 3: 2, 4: 4, 5: 4}


def test_samples_are_drawn_with_the_averaged_weights_and_the_reference_s_classes(
    images, tmp_path, monkeypatch
):
    drawn = []

    def spying(model, settings, condition, *args, **options):
        drawn.append((weights(model), condition.labels.tolist()))
        return iter(original(model, settings, condition, *args, **options))

    from lightning_modules.callbacks import evaluation as file

    original = file.sample_images
    monkeypatch.setattr(file, "sample_images", spying)
    fit(tmp_path, model := module(), data(images), [EMA(0.9), evaluation(every=3)], max_steps=3)
    ((used, labels),) = drawn
    assert_bitwise_equal(used, weights(model))  # the average is what training leaves in the module
    assert sorted(labels) == [0] * 8 + [1] * 8


def test_pictures_and_words_for_tensorboard(images, tmp_path):
    run_logger = RunLogger(tmp_path / "run")
    fit(tmp_path, module(), data(images), [evaluation()], **logged_to(run_logger))
    events = EventAccumulator(str(tmp_path / "run")).Reload()
    assert {"evaluation/samples", "evaluation/closest_pairs"} <= set(events.Tags()["images"])
    assert [event.step for event in events.Scalars("evaluation/kid")] == [2]
    pictures = sorted(path.name for path in (tmp_path / "run" / "evaluation").iterdir())
    assert pictures == ["step=00000002-closest_pairs.png", "step=00000002-samples.png"]


def test_words_are_said_once_and_again_after_they_were_untrue(caplog, tmp_path, images):
    callback = evaluation(patience=1)
    run = fit(tmp_path, module(), data(images), [callback], max_steps=1)
    caplog.set_level(logging.WARNING)
    for step, kid in enumerate((3.0, 4.0, 5.0, 1.0, 2.0), 1):
        callback._speak(run, step, {"kid": kid}, memorizing=None)
    said = [record.message for record in caplog.records if "plateau" in record.message]
    assert [text.split(":")[0] for text in said] == ["Evaluation at step 2", "Evaluation at step 5"]


def test_learning_rate_floor_is_said_when_it_is_reached(caplog, tmp_path, images):
    rate = LearningRate(warm_up=1, cool_down=2, cool_down_start=2)
    caplog.set_level(logging.WARNING)
    fit(tmp_path, module(), data(images), [rate, evaluation(every=1)], max_steps=6)
    said = [record.message for record in caplog.records if "at learning-rate floor" in record.message]
    assert len(said) == 1
    assert said[0].startswith("Evaluation at step 4:")


def test_state_travels_with_the_checkpoint(images, tmp_path):
    saving = {"dirpath": tmp_path / "made", "filename": "only", "every_n_train_steps": 2}
    first = evaluation()
    fit(tmp_path, module(), data(images), [first, ModelCheckpoint(**saving)], max_steps=4)
    kept = (tmp_path / "made" / "only.ckpt").rename(tmp_path / "kept.ckpt")
    resumed = evaluation()
    fit(tmp_path, module(), data(images), [resumed, ModelCheckpoint(**saving)], ckpt_path=kept, max_steps=6)
    assert [measured.step for measured in resumed.history] == [2, 4, 6]
    assert resumed.history[:2] == first.history


@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"max_steps": 2}])
def test_off_by_default_and_on_a_fast_dev_run(images, tmp_path, options):
    callback = evaluation(every=1) if "fast_dev_run" in options else Evaluation()
    fit(tmp_path, module(), data(images), [callback], **options)
    assert not callback.history
    assert not (tmp_path / "evaluation").exists()


def test_no_val_images_leave_memorization_out(images, tmp_path):
    memory = Memory()
    fit(tmp_path, module(), data(images, val_fraction=0.0), [evaluation()], **logged_to(memory))
    assert "evaluation/kid" in memory.metrics
    assert not [name for name in memory.metrics if "copies" in name or "over_val" in name]


def test_time_is_spaced_out_to_the_share(monkeypatch):
    """Evaluations of 10 seconds, steps of 1, at most a tenth of the time; on a clock of the test's own."""
    monkeypatch.undo()
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])
    callback = Evaluation(1, max_share=0.1)
    callback.on_train_start(None, None)
    for _ in range(1000):
        clock[0] += 1
        if callback._affordable():
            callback._last_cost = 10.0
            callback._spent += 10.0
            clock[0] += 10
            if callback._spent > 10:
                assert callback.share <= 0.1
    assert 0.08 < callback.share <= 0.1


@pytest.mark.parametrize("options", [{"every": -1}, {"images": 9}, {"max_share": 0.0}, {"patience": 0}])
def test_senseless_settings_are_refused(options):
    with pytest.raises(ValueError, match=r"^evaluation\."):
        evaluation(**options)
