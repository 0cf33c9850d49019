"""What `--allow-mismatch` lets through acts, and what cannot be carried over is refused before a write."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from lightning.pytorch import Callback

from datamodules.utils.exit_codes import RESUME
from lightning_modules.cli.fit import fit
from lightning_modules.cli.fit_cli import FitCLI
from lightning_modules.run.manifest import mismatches
from tests.helpers.command_line import LIGHTNING_WARNINGS, options, refusal
from tests.helpers.resuming import contents, latest, stopped_at

pytestmark = LIGHTNING_WARNINGS

PLAIN = (bool, int, float, str, tuple, list, type(None))
STATE = ("skipped", "history", "said", "newest_whole", "run_directory", "averages", "trainer", "training")
"""Public attributes of callbacks and modules that are no settings."""

CHANGED: dict[str, object] = {
    "seed_everything": 3,
    "model.network.dropout": 0.25,
    "model.preconditioner.t_min": 0.1,
    "model.noise_levels": "LogNormal",
    "model.weighting": "EDMWeighting",
    "model.cond_dropout": 0.5,
    "model.optimizer.learning_rate": 1e-5,
    "model.optimizer.betas": "[0.8,0.95]",
    "model.optimizer.weight_decay": 0.5,
    "model.optimizer.eps": 1e-6,
    "learning_rate.warm_up": 4,
    "learning_rate.cool_down": 2,
    "learning_rate.cool_down_start": 6,
    "learning_rate.floor": 0.1,
    "ema.decay": "null",
    "ema.length": 0.2,
    "ema.lengths": "[0.1]",
    "spike_guard.deviations": 50,
    "spike_guard.patience": 9,
    "spike_guard.memory": 50,
    "data.batch_size": 3,
    "data.val_fraction": 0.2,
    "data.flip": "false",
    "data.crop": "random",
    "data.crop_limit": 0.5,
    "data.class_balanced": "true",
    "data.background": "[0,0,0]",
    "trainer.accumulate_grad_batches": 2,
    "trainer.gradient_clip_val": 0.5,
    "trainer.gradient_clip_algorithm": "value",
    "trainer.precision": "bf16-mixed",
}
"""Every setting of a run's identity that changes no weight's shape, and another value for it."""
OF_SHAPE = (
    "model.class_path",
    "model.init_args.network.patch_size",
    "model.init_args.network.width",
    "model.init_args.network.depth",
    "model.init_args.network.heads",
    "model.init_args.network.mlp_ratio",
    "model.init_args.network.merged_depth",
    "model.init_args.network.merged_width",
    "model.init_args.network.merged_heads",
    "model.init_args.augmentations",
    "model.init_args.conditioner",
    "model.init_args.encoder.class_path",
    "model.init_args.optimizer.class_path",
    "data.image_size",
    "data.augmentation",
    "data.class_labels",
)
"""Settings of the network, which the command line builds; it is refused where the weights do not fit."""
OTHER_WAYS = (
    "data.fingerprint",
    "trainer.world_size",
    "model.init_args.preconditioner.class_path",  # all others ask for a wider network
)


class InForce(Callback):
    """Note what a run trains with, wherever it comes from, and the rate that each step is taken with."""

    def __init__(self) -> None:
        self.settings: dict[str, Any] = {}
        self.rates: dict[int, float] = {}

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        if self.settings:
            return
        for number, group in enumerate(trainer.optimizers[0].param_groups):
            own = {name: value for name, value in group.items() if name not in ("params", "lr")}
            self.settings[f"optimizer {number}"] = own
        for callback in trainer.callbacks:
            self.settings[type(callback).__name__] = plain(callback)
        for name, module in pl_module.named_modules():
            self.settings[f"module {name}"] = plain(module)
        self.settings["data"] = plain(trainer.datamodule)
        names = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "precision")
        self.settings["trainer"] = {name: getattr(trainer, name) for name in names}

    def on_before_optimizer_step(self, trainer, pl_module, optimizer):
        self.rates[trainer.global_step] = optimizer.param_groups[0]["lr"]


def plain(of: object) -> dict[str, Any]:
    """The settings among an object's public attributes."""
    public = {name: value for name, value in vars(of).items() if not name.startswith("_")}
    return {
        name: value if isinstance(value, PLAIN) else repr(value)
        for name, value in public.items()
        if name not in STATE and (isinstance(value, PLAIN) or dataclasses.is_dataclass(value))
    }


@pytest.fixture
def stopped(args: list[str], tmp_path: Path) -> list[str]:
    """The command line of a run that was stopped at step 4."""
    assert stopped_at(3, args) == RESUME
    return args


@pytest.mark.filterwarnings("ignore:The average of length")
def test_every_setting_of_a_continued_run_is_the_command_line_s(stopped, tmp_path):
    changed = [*stopped, *options(CHANGED), "--data.cache_dir", str(tmp_path / "cache")]
    before = json.loads((latest(tmp_path).folder / "manifest.json").read_text())["identity"]
    continued, afresh = InForce(), InForce()
    cli = fit([*changed, "--allow-mismatch"], [continued])
    fit([*changed, "--experiment", "afresh", "--trainer.max_steps", "8"], [afresh])
    assert continued.settings == afresh.settings
    assert continued.settings["optimizer 0"]["initial_lr"] == 1e-5
    assert continued.rates == {step: rate for step, rate in afresh.rates.items() if step >= 4}
    # And that was all there is to an identity.
    different = {line.partition(":")[0] for line in mismatches(before, cli.identity)}
    assert {name for name in before if name not in {*OF_SHAPE, *OTHER_WAYS}} <= different


def test_settings_that_changed_are_the_run_s_from_then_on(stopped, tmp_path, capsys):
    slower = [*stopped, "--model.optimizer.learning_rate", "1e-5"]
    assert stopped_at(5, [*slower, "--allow-mismatch"]) == RESUME
    manifest = json.loads((latest(tmp_path).folder / "manifest.json").read_text())
    (earlier,) = manifest["earlier"]
    name = "model.init_args.optimizer.init_args.learning_rate"
    assert (earlier["identity"][name], manifest["identity"][name]) == (0.001, 1e-5)
    assert earlier["until_step"] == 4
    assert refusal(stopped, capsys)[0] == 2  # the old settings are another run's now
    fit(slower)
    assert latest(tmp_path).checkpoint()["global_step"] == 8


def other_images(cats: Path, tmp_path: Path, classes: list[str]) -> Path:
    """The same pictures in other folders."""
    root = tmp_path / "other"
    for old, new in zip(sorted(path.name for path in cats.iterdir()), classes, strict=False):
        shutil.copytree(cats / old, root / new)
    return root


UNFIT = {
    "width": ({"model.network.width": 64}, "width: 32 in the run, 64 now"),
    "depth": ({"model.network.depth": 2}, "depth: 1 in the run, 2 now"),
    "model": ({"model": "UNetDiffusion"}, "model: DiTDiffusion in the run, UNetDiffusion now"),
    "augmentation": ({"data.augmentation.probability": 0.1}, "augmentations: 0 in the run"),
    "labels": ({"data.class_labels": "false"}, "classes: 6 in the run, 1 now"),
    "classes": (["calico", "ginger", "russian_blue", "siamese", "tabby"], "classes: 6 in the run, 5 now"),
    "places": (["z", "ginger", "russian_blue", "siamese", "tabby", "tuxedo"], "classes have other numbers"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_weights_that_do_not_fit_are_refused_before_anything_is_written(
    stopped, cats, tmp_path, capsys, name
):
    change, says = UNFIT[name]
    if isinstance(change, list):
        change = {"data.root": other_images(cats, tmp_path, change)}
    if name == "model":
        at = stopped.index("--model.network.width")
        stopped = stopped[:at] + stopped[at + 6 :]
    before = contents(tmp_path / "runs")
    status, message = refusal([*stopped, *options(change), "--allow-mismatch"], capsys)
    assert status == 2
    (line,) = (line for line in message.splitlines() if line.startswith("error: "))
    assert says in line
    assert "--fresh" in line
    assert contents(tmp_path / "runs") == before


def test_a_class_that_has_another_name_is_the_same_class(stopped, cats, tmp_path, caplog):
    names = ["calicos", "ginger", "russian_blue", "siamese", "tabby", "tuxedo"]
    root = other_images(cats, tmp_path, names)
    fit([*stopped, "--data.root", str(root), "--allow-mismatch"])
    assert re.search(r"\bcalico\b.*\bcalicos\b", caplog.text)
    assert latest(tmp_path).checkpoint()["hyper_parameters"]["class_names"] == names


def test_a_batch_in_parts_becomes_smaller(stopped, tmp_path):
    """What did not fit into memory whole was a larger batch."""
    (latest(tmp_path).folder / "recovery.json").write_text('{"split": 4, "left_out": []}')
    cli = FitCLI([*stopped, "--data.batch_size", "2", "--allow-mismatch"])
    assert cli.datamodule.split == cli.trainer.accumulate_grad_batches == 2
    assert cli.choice.lock is not None
    cli.choice.lock.release()
