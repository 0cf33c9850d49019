"""Whatever a command line can get wrong ends in one line with the option's name, before there is a run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch

from lightning_modules.cli.configuring import RefusedError, configure
from lightning_modules.cli.parsing.culprit import refusal as line_of
from tests.helpers.command_line import LIGHTNING_WARNINGS, load_script, refusal

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

OF_LIGHTNING = [
    "--trainer.accelerator foo",
    "--trainer.devices 0",
    "--trainer.strategy foo",
    "--trainer.strategy deepspeed",
    "--trainer.max_time 5m",
    "--trainer.val_check_interval 0.5",
    "--trainer.limit_val_batches -1",
    "--trainer.gradient_clip_algorithm foo",
    "--trainer.profiler foo",
    "--trainer.num_nodes 0",
    "--trainer.barebones true",
    "--trainer.reload_dataloaders_every_n_epochs -1",
]

OF_THE_TRAINER = [
    "--trainer.precision 64-true",
    "--trainer.precision bf16-true",
    "--trainer.strategy ddp_spawn",
    "--trainer.log_every_n_steps 0",
    "--trainer.log_every_n_steps -3",
    "--trainer.val_check_interval 0",
    "--trainer.check_val_every_n_epoch 0",
    "--trainer.limit_train_batches 0",
    "--trainer.num_sanity_val_steps -2",
    "--trainer.accumulate_grad_batches 0",
    "--trainer.gradient_clip_val -1",
    "--trainer.max_steps 0",
    "--trainer.max_steps -7",
    "--trainer.min_steps 100",
    "--trainer.devices 1000",
    '--trainer.default_root_dir ""',
    f"--trainer.default_root_dir {Path(__file__)}",
    "--trainer.max_epochs 3",
    "--trainer.overfit_batches 1",
    "--trainer.overfit_batches 0.5",
    *(f"--trainer.callbacks+={name}" for name in ("LearningRateFinder", "BatchSizeFinder")),
    "--trainer.callbacks+=StochasticWeightAveraging --trainer.callbacks.swa_lrs 0.1",
    "--trainer.callbacks+=GradientAccumulationScheduler --trainer.callbacks.scheduling '{0: 2}'",
    "--trainer.callbacks+=EarlyStopping",
]

OF_THE_MODEL = [
    "--model.optimizer.learning_rate -1",
    "--model.optimizer.learning_rate .nan",
    "--model.optimizer.learning_rate .inf",
    "--model.optimizer.betas [1.5,0.9]",
    "--model.optimizer.betas [0.9]",
    "--model.optimizer.weight_decay -1",
    "--model.optimizer.eps -1",
    "--model.optimizer.eps -1e-8",
    "--model.optimizer.eps -inf",
    "--model.cond_dropout 2",
    "--model.cond_dropout .nan",
    "--model.network.dropout 2",
    "--model.network.dropout 1",
    "--model.network.dropout -0.5",
    "--model.network.heads 0",
    "--model.network.width 0",
    "--model.network.width -32",
    "--model.network.depth 0",
    "--model.network.patch_size 0",
    "--model.network.mlp_ratio 0",
    "--model.network.mlp_ratio .nan",
    "--model.network.merged_depth -1",
    "--model.noise_levels.std -1",
    "--model.noise_levels.std 0",
    "--model.noise_levels.mean .nan",
    "--model.noise_levels foo",
]

OF_THE_CALLBACKS = [
    "--seed_everything -1",
    "--seed_everything 99999999999999",
    "--data.batch_size 0",
    "--data.val_fraction 1",
    "--data.limits.min_side -1",
    "--data.limits.max_aspect 0.5",
    "--data.limits.max_pixels 0",
    "--data.limits.max_metadata -1",
    "--data.crop foo",
    "--learning_rate.warm_up -1",
    "--learning_rate.floor 2",
    "--learning_rate.floor .nan",
    "--ema.decay 2",
    "--ema.decay .nan",
    "--ema.lengths [5]",
    "--loss_by_noise_level.edges [3,1]",
    "--loss_by_noise_level.edges [.nan,1]",
    "--loss_by_noise_level.edges [0.1,.inf]",
    "--spike_guard.deviations -1",
    "--spike_guard.deviations .nan",
    "--spike_guard.patience 0",
    "--sample_grid.rows 0",
    "--sample_grid.columns -1",
    "--sample_grid.every_n_steps -1",
    "--sample_grid.seed -1",
    "--sample_grid.rows 100000",
    "--sample_grid.sampling.steps 0",
    "--sample_grid.sampling.sigma_min 100",
    "--sample_grid.sampling.guidance .nan",
    "--sample_grid.sampling.sampler heum",
    "--evaluation.images 3",
    "--evaluation.max_share .nan",
    "--evaluation.seed -1",
    "--checkpoint.keep_last 0",
    "--checkpoint.every_n_minutes .nan",
    "--progress_bar.refresh_rate -1",
    "--evaluation.features nothing --evaluation.every_n_steps 3",
    '--run ""',
    "--modal.cpu -1",
]


@pytest.fixture(autouse=True)
def without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    """The images are not opened: what is wrong here is found without them, and faster so."""
    monkeypatch.setattr("lightning_modules.cli.fit_cli.FitCLI.class_names", lambda self, data: ("images",))


def said_by(args: list[str], capsys: Capture) -> str:
    status, message = refusal(args, capsys)
    assert status == 2
    (error,) = (line for line in message.splitlines() if "error: " in line)
    assert message.rstrip().endswith(error)  # the last line, and nothing of it spills over
    assert "Traceback" not in message
    return error


@pytest.mark.parametrize(
    "typed", [*OF_LIGHTNING, *OF_THE_TRAINER, *OF_THE_MODEL, *OF_THE_CALLBACKS], ids=lambda typed: typed[2:]
)
def test_a_value_that_cannot_be_names_its_option(
    typed: str, args: list[str], tmp_path: Path, capsys: Capture
) -> None:
    option = re.split(r"\+?[= ]", typed)[0]
    error = said_by([*args, *shlex.split(typed)], capsys)
    assert option.lstrip("-") in error
    assert not (tmp_path / "runs").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU to train on")
def test_a_gpu_that_is_not_there_is_an_option_to_change(args: list[str], capsys: Capture) -> None:
    assert "--trainer.accelerator gpu" in said_by([*args, "--trainer.accelerator", "gpu"], capsys)


@pytest.mark.parametrize(
    ("typed", "named"),
    [
        ("--model.network.heads 3", ["width", "heads"]),
        ("--model.network.patch_size 3", ["image_size", "patch_size"]),
        ("--data.image_size 18", ["image_size", "patch_size"]),
        ("--model UNetDiffusion --model.network.channels [8,12]", ["channels"]),
        ("--model UNetDiffusion --model.network.channels []", ["channels"]),
        (
            "--sample_grid.sampling.guidance 2 --sample_grid.sampling.guide_length 0.1",
            ["guide_length", "ema.lengths"],
        ),
        ("--run x --fresh", ["--run", "--fresh"]),
    ],
)
def test_values_that_do_not_go_together_name_both(
    typed: str, named: list[str], args: list[str], tmp_path: Path, capsys: Capture
) -> None:
    if "UNet" in typed:
        args = args[: args.index("--model.network.width")]
    error = said_by([*args, *typed.split()], capsys)
    assert all(name in error for name in named)
    assert not (tmp_path / "runs").exists()


def test_an_option_of_a_class_that_is_not_named_asks_for_its_name(args: list[str], capsys: Capture) -> None:
    error = said_by([*args, "--data.source.count", "60"], capsys)
    assert "--data.source" in error
    assert "RenderedCats" in error
    assert "NestedArg" not in error


@pytest.mark.parametrize("typed", ["trainer.max_steps 6", "trainer.max_steps=6"])
def test_an_option_without_dashes_is_told_with_them(typed: str, args: list[str], capsys: Capture) -> None:
    assert "--trainer.max_steps" in said_by([*typed.split(), *args], capsys)


@pytest.mark.parametrize("option", ["--data.root", "--data.quarantine"])
def test_a_place_that_is_not_there_names_its_option(
    option: str, args: list[str], tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()  # the data are opened
    monkeypatch.chdir(tmp_path)
    assert said_by([*args, option, "not_there"], capsys).startswith(f"error: {option}")
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_a_value_in_a_config_of_yours_names_the_setting(
    args: list[str], tmp_path: Path, capsys: Capture
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("model:\n  class_path: DiTDiffusion\n  init_args:\n    cond_dropout: 2\n")
    assert "--model.cond_dropout" in said_by(["--config", str(config), *args], capsys)
    config.write_text("trainer:\n  gradient_clip_algorithm: foo\n  max_steps: 9\nmodel: DiTDiffusion\n")
    assert "gradient_clip_algorithm" in said_by(["--config", str(config), *args], capsys)


def test_a_bug_stays_a_traceback(args: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: object) -> None:
        raise AttributeError("a bug")

    monkeypatch.setattr("lightning_modules.cli.fit_cli.FitCLI.before_instantiate_classes", broken)
    with pytest.raises(AttributeError, match="a bug"):
        load_script("fit").main(args)


def test_the_option_without_which_the_error_does_not_come_is_to_blame() -> None:
    def trial(args: list[str]) -> BaseException | None:
        return KeyError("3") if "--b.two=3" in args else None

    args = ["--a.one=3", "--config", "demo", "--b.two=3", "--c.three", "3"]
    assert line_of(KeyError("3"), args, ["a.one", "b.two", "c.three"], trial) == "--b.two=3: KeyError: '3'"
    assert line_of(KeyError("4"), args[:3], [], lambda args: KeyError("4")) is None


def test_refused_in_the_library_too(args: list[str]) -> None:
    with pytest.raises(RefusedError, match=r"^--trainer.profiler foo: ") as refused:
        configure([*args, "--trainer.profiler", "foo"])
    assert len(str(refused.value).splitlines()) == 1
