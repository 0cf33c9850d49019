"""The short help, the long one, and what the habits of other trainers are answered with."""

from __future__ import annotations

from dataclasses import fields

import pytest
import yaml

from lightning_modules.cli.configuring import known_options
from lightning_modules.cli.parsing.habits import HABITS
from lightning_modules.cli.parsing.help import CONFIGS, OPTIONS, short_help
from lightning_modules.module import AdamWSettings
from tests.helpers.command_line import LIGHTNING_WARNINGS, load_script, printed, refusal

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]
ENTRIES = [entry for entries in OPTIONS.values() for entry in entries]


@pytest.fixture
def known() -> list[str]:
    """The names of all options."""
    return known_options()


@pytest.mark.parametrize("args", [["--help"], ["-h"], ["--config", "cats", "--help"], ["--fresh", "-h"]])
def test_help_is_short_and_ours(args: list[str], capsys: Capture) -> None:
    load_script("fit").main(args)
    text = capsys.readouterr().out
    assert text == short_help()
    lines = text.splitlines()
    assert len(lines) <= 65
    assert max(len(line) for line in lines) <= 100
    assert all(f"\n  {path.stem} " in text for path in CONFIGS.glob("*.yaml"))


@pytest.mark.parametrize("args", [["--help", "all"], ["--help=all"], ["--config", "cats", "--help", "all"]])
def test_all_options_are_printed_when_they_are_asked_for(args: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        load_script("fit").main(args)
    text = capsys.readouterr().out
    assert stopped.value.code == 0
    for option in ("experiment", "trainer.max_steps", "model", "data.root", "data.source", "ema.decay"):
        assert f"  --{option}" in text, option
    for option in ("sample_grid.sampling.guidance", "checkpoint.keep_last", "loss_by_noise_level.edges"):
        assert f"  --{option}" in text, option


def test_the_short_help_names_options_that_there_are(known: list[str]) -> None:
    of_classes = {"model", "model.optimizer.learning_rate", "data.augmentation.probability"}
    assert {entry.option for entry in ENTRIES} <= {*known, *of_classes}


def test_the_short_help_tells_the_values_of_the_demo(capsys: Capture) -> None:
    config = printed(["--config", "demo"], capsys)
    for entry in ENTRIES:
        if not entry.value or entry.value.isupper() or "DD" in entry.value:
            continue
        found = config
        for part in entry.option.split("."):
            found = found.get("init_args", found) if part not in found else found
            found = found[part]
        found = found["class_path"].rpartition(".")[2] if isinstance(found, dict) else found
        assert found is None or str(found) == str(yaml.safe_load(entry.value)), entry.option


def test_every_habit_is_answered_with_options_that_there_are(known: list[str]) -> None:
    sections = {name.rpartition(".")[0] for name in known}
    of_the_optimizer = {field.name for field in fields(AdamWSettings)}
    for answer in set(HABITS.values()):
        named = [word.strip("?.,;()") for word in answer.split() if word.startswith("--")]
        for option in named:
            whole = option[2:].replace("model.optimizer.", "")
            assert whole in {*known, *sections, *of_the_optimizer, "model", "help", "logdir"}, option
    assert not set(HABITS) & {name for name in known if "." in name}


HABITUAL = {
    "--epochs 3": "--trainer.max_steps",
    "--max_epochs 3": "--trainer.max_steps",
    "--num-train-epochs 3": "--trainer.max_steps",
    "--steps 100": "--trainer.max_steps",
    "--lr 1e-4": "--model.optimizer.learning_rate",
    "--learning_rate 1e-4": "--model.optimizer.learning_rate",
    "--model.optimizer.lr 1e-4": "--model.optimizer.learning_rate",
    "--batch_size 8": "--data.batch_size",
    "--batch-size=8": "--data.batch_size",
    "--data my_images": "--data.root",
    "--data_dir my_images": "--data.root",
    "--dataset my_images": "--data.root",
    "--output_dir out": "--trainer.default_root_dir",
    "--image_size 64": "--data.image_size",
    "--resolution 64": "--data.image_size",
    "--gpus 2": "--trainer.devices",
    "--num_workers 2": "--data.workers",
    "--fp16": "--trainer.precision",
    "--mixed_precision bf16": "--trainer.precision",
    "--wandb": "--trainer.logger",
    "--resume": "--run",
    "--resume_from_checkpoint latest": "--run",
    "--seed 3": "--seed_everything",
    "--ema 0.99": "--ema.decay",
    "--gradient_accumulation_steps 2": "--trainer.accumulate_grad_batches",
    "--fast_dev_run": "--fast-dev-run",
    "--allow_mismatch": "--allow-mismatch",
    "my_images": "--data.root my_images",
    "--fresh my_images": "--data.root my_images",
    "--trainer.foo 3": "--trainer.foo is not an option",
    "--data.batch_size": "--data.batch_size needs a value",
    "--data.source RenderedCat": "Did you mean RenderedCats",
    "--sample_grid.sampling.sampler heum": "Did you mean heun",
    "--model.noise_levels.st 3": "--model.noise_levels.std",
    "--trainer.max_steps 3.5": "--trainer.max_steps must be a whole number",
    "--trainer.max_steps -7": "--trainer.max_steps",
}


@pytest.mark.parametrize("typed", HABITUAL)
def test_habits_and_slips_are_answered_with_the_option(typed: str, capsys: Capture) -> None:
    status, message = refusal(typed.split(), capsys)
    assert status == 2
    error = message.splitlines()[-1]
    assert error.startswith("error: ")
    assert HABITUAL[typed] in error
    wrong = typed.split()[0].partition("=")[0]
    assert f"{wrong}?" not in error  # never what was typed
