from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from lightning_modules.cli.parsing.parser import CONFIGS, resolve_config, with_config
from tests.helpers.command_line import LIGHTNING_WARNINGS, load_script, options, printed, refusal

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

# Which config


def test_no_config_is_the_demo(capsys: Capture) -> None:
    assert printed([], capsys) == printed(["--config", "demo"], capsys)


def test_an_empty_command_line_is_the_demo() -> None:
    assert with_config([], default="demo") == (["--config", str(CONFIGS / "demo.yaml")], "demo")


@pytest.mark.parametrize("name", ["demo", "demo.yaml", str(CONFIGS / "demo.yaml")])
def test_config_by_bare_name_or_path(name: str) -> None:
    assert resolve_config(name).resolve() == CONFIGS / "demo.yaml"


@pytest.mark.parametrize("given", [["--config", "mine.yaml"], ["--config=mine.yaml"], ["-c", "mine"]])
def test_config_of_the_working_directory_goes_first(
    given: list[str], elsewhere: Path, capsys: Capture
) -> None:
    for name in ("mine.yaml", "mine"):
        (elsewhere / name).write_text("trainer:\n  max_steps: 77\n")
    assert printed(given, capsys)["trainer"]["max_steps"] == 77


def test_command_line_wins_over_the_config(capsys: Capture) -> None:
    config = printed(["--config", "demo", "--trainer.max_steps", "9", "--model.network.width", "64"], capsys)
    assert config["trainer"]["max_steps"] == 9
    assert config["model"]["init_args"]["network"]["width"] == 64


def test_unknown_config_lists_those_there_are_and_the_nearest(capsys: Capture) -> None:
    status, message = refusal(["--config", "demmo"], capsys)
    assert status != 0
    assert "demmo" in message
    assert all(path.stem in message for path in CONFIGS.glob("*.yaml"))
    assert "demo?" in message
    assert "Traceback" not in message


def test_config_without_a_value_is_refused(capsys: Capture) -> None:
    status, message = refusal(["--config"], capsys)
    assert status != 0
    assert "Traceback" not in message


# Mistyped options

MISTYPED = {
    "--data.rot": "--data.root",
    "--data.batchsize": "--data.batch_size",
    "--model.widht": "--model.network.width",
    "--model.width": "--model.network.width",
    "--model.network.widht": "--model.network.width",
    "--network.width": "--model.network.width",
    "--trainer.max_stesp": "--trainer.max_steps",
    "--learning_rate.warmup": "--learning_rate.warm_up",
    "--ema.dekay": "--ema.decay",
    "--sample_grid.sampling.guidence": "--sample_grid.sampling.guidance",
    "--experimnt": "--experiment",
    "--max_steps": "--trainer.max_steps",
    "--batch_size": "--data.batch_size",
}


@pytest.mark.parametrize("wrong", MISTYPED)
def test_mistyped_option_is_refused_and_the_right_one_named(wrong: str, capsys: Capture) -> None:
    status, message = refusal([wrong, "3"], capsys)
    assert status == 2
    assert wrong.lstrip("-").split(".")[-1] in message
    assert re.findall(r"--[\w.]+", message)[1].startswith(MISTYPED[wrong])
    assert "Traceback" not in message


@pytest.mark.parametrize("shortened", ["--trainer.max_step", "--data.batch_siz", "--ema.dec", "--exper"])
def test_shortened_option_is_refused_too(shortened: str, capsys: Capture) -> None:
    status, message = refusal([shortened, "3"], capsys)
    assert status == 2
    assert re.search(rf"{shortened}\w+\?", message)  # followed by the rest of the right name


MISTYPED_YAML = {
    "traner:\n  max_steps: 3\n": ("traner", "--trainer"),
    "trainer:\n  max_stepz: 3\n": ("max_stepz", "--trainer.max_steps"),
    "data:\n  image_sise: 3\n": ("image_sise", "--data.image_size"),
    "sample_grid:\n  sampling:\n    guidence: 3\n": ("guidence", "--sample_grid.sampling.guidance"),
    "model:\n  class_path: DiTDiffusion\n  init_args:\n    widht: 3\n": ("widht", "--model.network.width"),
    "model:\n  class_path: UNetDiffusion\n  init_args:\n    network:\n      chanels: [8]\n": (
        "chanels",
        "--model.network.channels",
    ),
}


@pytest.mark.parametrize("text", MISTYPED_YAML, ids=lambda text: MISTYPED_YAML[text][0])
def test_mistyped_key_in_a_config_is_refused(text: str, tmp_path: Path, capsys: Capture) -> None:
    (tmp_path / "typo.yaml").write_text(text)
    status, message = refusal(["--config", str(tmp_path / "typo.yaml")], capsys)
    wrong, right = MISTYPED_YAML[text]
    assert status == 2
    assert wrong in message
    assert re.findall(r"--[\w.]+", message)[1].startswith(right)


@pytest.mark.parametrize(("wrong", "right"), [("DiTDifusion", "DiTDiffusion"), ("UNet", "UNetDiffusion")])
def test_mistyped_model_is_refused_and_the_models_named(wrong: str, right: str, capsys: Capture) -> None:
    status, message = refusal(["--model", wrong], capsys)
    assert status == 2
    assert wrong in message
    assert right in message.replace(wrong + "'", "")


@pytest.mark.parametrize(
    "option",
    ["--data.batch_size", "--model.network.width", "--trainer.max_steps", "--ema.decay", "--data.flip"],
)
def test_value_of_a_wrong_type_is_refused_and_the_option_named(option: str, capsys: Capture) -> None:
    status, message = refusal([option, "many"], capsys)
    assert status == 2
    assert option.split(".")[-1] in message
    assert "many" in message
    assert "Traceback" not in message


# What cannot work


def test_length_in_epochs_is_refused_with_what_to_use(args: list[str], capsys: Capture) -> None:
    status, message = refusal([*args, "--trainer.max_epochs", "3"], capsys)
    assert status == 2
    assert "max_steps" in message


def test_run_without_an_end_is_refused(args: list[str], capsys: Capture) -> None:
    status, message = refusal([*args, "--trainer.max_steps", "-1"], capsys)
    assert status == 2
    assert "--trainer.max_steps" in message
    assert "--trainer.max_time" in message


REFUSED = {
    "no folder": {"data.root": "nowhere"},
    "share out of range": {"data.val_fraction": 1.5},
    "size not divided": {"data.image_size": 18},
    "ema out of range": {"ema.decay": 1.0},
}


@pytest.mark.parametrize("name", REFUSED)
def test_impossible_run_ends_in_one_line_and_leaves_nothing(
    name: str, args: list[str], tmp_path: Path, capsys: Capture
) -> None:
    status, message = refusal([*args, *options(REFUSED[name])], capsys)
    assert status != 0
    (error,) = (line for line in message.splitlines() if line.startswith("error: "))
    assert message.rstrip().endswith(error)  # the last line, and nothing of it spills over
    assert "compute_fn" not in error  # jsonargparse's words, which say nothing to a user
    assert not (tmp_path / "runs").exists()


def test_missing_folder_is_named(args: list[str], capsys: Capture) -> None:
    assert "nowhere" in refusal([*args, *options(REFUSED["no folder"])], capsys)[1]


def test_progress_bar_can_be_turned_off(args: list[str], tmp_path: Path, capsys: Capture) -> None:
    load_script("fit").main([*args, "--trainer.enable_progress_bar", "false"])
    assert "Training:" not in capsys.readouterr().err
    assert (tmp_path / "runs" / "demo" / "latest").is_dir()


# Help


@pytest.mark.parametrize(
    ("model", "option"), [("DiTDiffusion", "network.patch_size"), ("UNetDiffusion", "network.channels")]
)
def test_help_of_a_model(model: str, option: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as stopped:
        load_script("fit").main(["--model.help", model])
    assert stopped.value.code == 0
    assert f"--model.{option}" in capsys.readouterr().out


def test_printed_config_can_be_given_back(tmp_path: Path, capsys: Capture) -> None:
    config = printed(["--config", "demo", "--model.network.dropout", "0.1"], capsys)
    (tmp_path / "back.yaml").write_text(yaml.safe_dump(config))
    assert printed(["--config", str(tmp_path / "back.yaml")], capsys) == config
