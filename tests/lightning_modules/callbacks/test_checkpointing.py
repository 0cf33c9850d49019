from __future__ import annotations

from pathlib import Path

import pytest
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.checkpoints.whole import newest_whole
from lightning_modules.run.finding import find_checkpoint
from tests.helpers.tiny import assert_bitwise_equal, data, fit, load, module


def names(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".sha256")


@pytest.mark.parametrize(
    ("every", "keep", "last", "steps"),
    [(2, 2, 4, [2, 4]), (2, 2, 7, [6, 7]), (10, 2, 3, [3]), (1, 1, 3, [3]), (1, 3, 5, [3, 4, 5])],
)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_newest_are_kept_and_the_end_is_one(
    image_folder, tmp_path, every, keep, last, steps, accumulation
):
    options = {"max_steps": last, "accumulate_grad_batches": accumulation}
    fit(tmp_path, module(), data(image_folder), [StepCheckpoint(every, keep_last=keep)], **options)
    folder = tmp_path / "checkpoints"
    assert names(folder) == ["last.ckpt", *(f"step={step:08d}.ckpt" for step in steps)]
    assert (folder / "last.ckpt").is_symlink()
    assert (folder / "last.ckpt").resolve() == folder / f"step={last:08d}.ckpt"
    for step in steps:
        assert load(folder / f"step={step:08d}.ckpt")["global_step"] == step


def test_names_are_of_the_step(image_folder, tmp_path):
    fit(tmp_path, module(), data(image_folder), [StepCheckpoint(10)], max_steps=10)
    assert names(tmp_path / "checkpoints") == ["last.ckpt", "step=00000010.ckpt"]


def test_the_link_stays_true_when_the_run_moves(image_folder, tmp_path):
    fit(tmp_path / "run", module(), data(image_folder), [StepCheckpoint(2)], max_steps=2)
    (tmp_path / "run").rename(tmp_path / "moved")
    assert load(tmp_path / "moved" / "checkpoints" / "last.ckpt")["global_step"] == 2


def test_checkpoints_lie_in_the_run_directory(image_folder, tmp_path):
    logger = TensorBoardLogger(tmp_path, "", "2026-11-23T19-12-31Z", default_hp_metric=False)
    options = {"max_steps": 2, "logger": logger, "log_every_n_steps": 1}
    fit(tmp_path, module(), data(image_folder), [StepCheckpoint(2)], **options)
    assert names(tmp_path) == ["2026-11-23T19-12-31Z"]
    folder = tmp_path / "2026-11-23T19-12-31Z" / "checkpoints"
    assert names(folder) == ["last.ckpt", "step=00000002.ckpt"]


@pytest.mark.parametrize("steps", [True, 3])
def test_none_on_fast_dev_run(image_folder, tmp_path, steps):
    fit(tmp_path, module(), data(image_folder), [StepCheckpoint(1)], fast_dev_run=steps)
    assert not list(tmp_path.iterdir())


def test_a_validation_on_the_way_saves_nothing_more(image_folder, tmp_path):
    callback = StepCheckpoint(4, keep_last=9)
    options = {"max_steps": 8, "val_check_interval": 3}
    fit(tmp_path, module(), data(image_folder), [callback], **options)
    saved = names(tmp_path / "checkpoints")
    assert saved == ["last.ckpt", "step=00000004.ckpt", "step=00000008.ckpt"]


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.parametrize("accumulation", [1, 2])
def test_resuming_saves_no_half_step(image_folder, tmp_path, accumulation):
    """The step that a run resumes at is not saved again between its micro-batches."""

    def run(target: int, name: str, checkpoint: str | None = None):
        callbacks = [LearningRate(2), StepSeed(), StepCheckpoint(2, keep_last=9)]
        folder = tmp_path / name
        path = folder / "checkpoints" / checkpoint if checkpoint else None
        options = {"max_steps": target, "accumulate_grad_batches": accumulation, "ckpt_path": path}
        fit(folder, module(dropout=0.3), data(image_folder), callbacks, **options)
        return folder / "checkpoints"

    straight = load(run(6, "straight") / "step=00000006.ckpt")
    folder = run(4, "cut")
    before = load(folder / "step=00000004.ckpt")["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    for _ in range(2):  # as if the first resumed run had been killed and started again
        run(6, "cut", "step=00000004.ckpt")
        assert_bitwise_equal(load(folder / "step=00000006.ckpt")["state_dict"], straight["state_dict"])
    after = load(folder / "step=00000004.ckpt")["loops"]["fit_loop"]["epoch_loop.batch_progress"]
    assert after == before


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("first", [True, False], ids=["before", "behind"])
@pytest.mark.parametrize(
    "options",
    [{}, {"save_last": True}, {"filename": "{step:08d}", "save_top_k": -1}],
    ids=["plain", "last", "our names"],
)
def test_lightning_s_own_checkpoints_lie_beside_and_disturb_nothing(image_folder, tmp_path, first, options):
    def train(resume: bool, steps: int) -> None:
        theirs = ModelCheckpoint(every_n_train_steps=1, **options)
        ours = StepCheckpoint(2, keep_last=1)
        callbacks = [theirs, ours] if first else [ours, theirs]
        newest = newest_whole(tmp_path / "checkpoints") if resume else None
        fit(tmp_path, module(), data(image_folder), callbacks, newest, max_steps=steps)
        assert Path(theirs.best_model_path).parent == tmp_path / "model_checkpoints"
        assert Path(theirs.best_model_path).exists()

    train(False, 3)
    assert names(tmp_path / "checkpoints") == ["last.ckpt", "step=00000003.ckpt"]
    train(True, 5)
    assert names(tmp_path / "checkpoints") == ["last.ckpt", "step=00000005.ckpt"]
    assert (tmp_path / "checkpoints" / "last.ckpt").resolve().name == "step=00000005.ckpt"
    assert find_checkpoint(tmp_path).name == "step=00000005.ckpt"


def test_lightning_s_own_checkpoints_go_where_they_are_told(image_folder, tmp_path):
    theirs = ModelCheckpoint(tmp_path / "mine", every_n_train_steps=2, filename="{step}")
    fit(tmp_path, module(), data(image_folder), [theirs, StepCheckpoint(2)], max_steps=2)
    assert names(tmp_path / "mine") == ["step=2.ckpt"]
    assert names(tmp_path / "checkpoints") == ["last.ckpt", "step=00000002.ckpt"]


def test_scores_of_another_metric_are_not_taken_up():
    """Nor is the lowest of one the highest of another."""
    one = StepCheckpoint(keep_best=1)
    one.load_state_dict({"scores": {4: 0.5}, "score": 0.5, "monitor": "loss/val", "mode": "min"})
    state = one.state_dict()
    for other in (
        StepCheckpoint(keep_best=1, monitor="evaluation/kid"),
        StepCheckpoint(keep_best=1, mode="max"),
    ):
        other.load_state_dict(state)
        assert other.state_dict()["scores"] == {}
    same = StepCheckpoint(keep_best=1)
    same.load_state_dict(state)
    assert same.state_dict() == state
