from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from datamodules.errors import DataError
from tests.helpers.recording import (
    MakeFolder,
    Recorder,
    data_module,
    fingerprints,
    first,
    fit,
    joined,
    ready,
    trainer,
)

# Raised by Lightning 2.6 itself, in every Trainer.fit with torch 2.13.
pytestmark = pytest.mark.filterwarnings(
    r"ignore:`isinstance\(treespec, LeafSpec\)` is deprecated:FutureWarning"
)


def test_fit_stops_at_max_steps_and_validates(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 12, "b": 12})
    recorder = fit(tmp_path, data_module(root, val_fraction=0.3), max_steps=7, num_sanity_val_steps=0)
    assert recorder.trainer.global_step == 7
    assert recorder.trainer.current_epoch == 1  # one epoch is the whole run
    assert recorder.trainer.num_training_batches == 7
    assert sorted(recorder.steps) == list(range(7))
    assert all(len(images) == 4 for images in recorder.steps.values())
    module = ready(root, val_fraction=0.3)
    assert sorted(recorder.val) == sorted(fingerprints(joined(list(module.val_dataloader()))))
    assert recorder.value_range[0] >= -1.0
    assert recorder.value_range[1] <= 1.0


def test_fit_by_micro_batches_and_workers_sees_the_same_images(
    make_folder: MakeFolder, tmp_path: Path
) -> None:
    root = make_folder({"a": 11})
    whole = fit(tmp_path, data_module(root, batch_size=8), max_steps=4)
    split = fit(tmp_path, data_module(root, batch_size=2, workers=1), max_steps=4, accumulate_grad_batches=4)
    assert whole.steps == split.steps
    assert split.trainer.global_step == 4
    assert split.weight.item() == pytest.approx(whole.weight.item(), rel=1e-5)


def test_fit_without_max_steps_is_endless(make_folder: MakeFolder, tmp_path: Path) -> None:
    module = data_module(make_folder({"a": 5}))
    recorder = Recorder()
    run = trainer(tmp_path, max_epochs=1, limit_train_batches=9)
    run.fit(recorder, datamodule=module)
    assert run.global_step == 9
    with pytest.raises(TypeError, match="length"):
        len(ready(module.root).train_dataloader())


@pytest.mark.filterwarnings("ignore:`max_epochs` was not set")
@pytest.mark.parametrize("options", [{"max_epochs": 2}, {}, {"max_epochs": 5, "accumulate_grad_batches": 2}])
def test_training_that_would_never_end_is_refused(
    make_folder: MakeFolder, tmp_path: Path, options: dict[str, int]
) -> None:
    module = data_module(make_folder({"a": 50}), val_fraction=0, batch_size=10)
    with pytest.raises(DataError, match="max_steps") as refused:
        fit(tmp_path, module, **options)
    if options.get("max_epochs") == 2:
        assert "max_steps=10" in str(refused.value)


def test_batches_cannot_be_repeated(make_folder: MakeFolder, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="overfit_batches"):
        fit(tmp_path, data_module(make_folder({"a": 50})), max_steps=2, overfit_batches=2)


@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 2, "limit_train_batches": 3},
        {"max_epochs": 9, "max_steps": 2},
        {"max_time": {"seconds": 0}},
        {"max_epochs": 2, "max_time": {"seconds": 0}},
        {"max_epochs": 0},
        {"fast_dev_run": 2},
    ],
)
def test_training_that_ends_some_way_is_not_refused(
    make_folder: MakeFolder, tmp_path: Path, options: dict[str, object]
) -> None:
    fit(tmp_path, data_module(make_folder({"a": 50}), val_fraction=0), **options)


def test_shorter_epochs_go_on_in_the_stream(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 11})
    straight = fit(tmp_path, data_module(root), max_steps=6)
    pieces = fit(tmp_path, data_module(root), max_steps=6, limit_train_batches=4, accumulate_grad_batches=1)
    assert pieces.steps == straight.steps


@pytest.mark.parametrize("accumulate", [1, 2])
@pytest.mark.parametrize(("stop", "planned"), [(3, 3), (3, 6)])
def test_resumed_run_goes_on_in_mid_stream(
    make_folder: MakeFolder, tmp_path: Path, accumulate: int, stop: int, planned: int
) -> None:
    """From a checkpoint taken at the end of a shorter run, and from one in the middle of the same run."""
    root = make_folder({"a": 11})
    options = {"accumulate_grad_batches": accumulate, "num_sanity_val_steps": 0, "limit_val_batches": 0}
    straight = fit(tmp_path, data_module(root), max_steps=6, **options)

    class StopsEarly(Recorder):
        def on_train_batch_end(self, *_: object) -> None:
            if self.global_step == stop and not (tmp_path / "middle.ckpt").exists():
                self.trainer.save_checkpoint(tmp_path / "middle.ckpt")

    trainer(tmp_path, max_steps=planned, **options).fit(StopsEarly(), datamodule=data_module(root))
    resumed = fit(tmp_path, data_module(root), tmp_path / "middle.ckpt", max_steps=6, **options)
    assert sorted(resumed.steps) == [3, 4, 5]
    assert resumed.steps == {step: straight.steps[step] for step in (3, 4, 5)}
    assert resumed.trainer.global_step == 6
    assert resumed.weight.item() == straight.weight.item()


def test_loader_leaves_the_global_random_state_alone(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 5}))
    before = torch.random.get_rng_state()
    first(module.train_dataloader(), 3)
    list(module.val_dataloader())
    torch.testing.assert_close(torch.random.get_rng_state(), before)


@pytest.mark.slow
def test_two_real_ranks_see_what_one_would(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 22})
    alone = fit(
        tmp_path, data_module(root, batch_size=4, val_fraction=0.2), max_steps=3, num_sanity_val_steps=0
    )
    run = trainer(
        tmp_path,
        max_steps=3,
        num_sanity_val_steps=0,
        devices=2,
        strategy="ddp_spawn",
        use_distributed_sampler=True,
    )
    run.fit(Recorder(tmp_path), datamodule=data_module(root, batch_size=2, val_fraction=0.2))
    ranks = [json.loads((tmp_path / f"rank{rank}.json").read_text()) for rank in (0, 1)]
    for step, images in alone.steps.items():
        assert ranks[0]["steps"][str(step)] + ranks[1]["steps"][str(step)] == images
    assert {*ranks[0]["val"], *ranks[1]["val"]} == set(alone.val)
