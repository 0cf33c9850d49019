"""Options of the data that reach further than the data module."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import cast

import pytest

from datamodules.batches.augmentation import AUGMENTATIONS, Augmentation
from datamodules.inspection.advice import suggestion
from datamodules.inspection.inspection import Inspection
from lightning_modules.cli.fit_cli import FitCLI
from tests.helpers.command_line import LIGHTNING_WARNINGS, options, printed, refusal

pytestmark = LIGHTNING_WARNINGS

EVERYTHING = {
    "data.augmentation.probability": 0.5,
    "data.crop": "random",
    "data.crop_limit": 0.6,
    "data.class_balanced": "true",
    "data.resident": "device",
}


def test_network_takes_as_many_numbers_as_the_data_gives(args: list[str]) -> None:
    off, on = FitCLI(args), FitCLI([*args, *options({"data.augmentation.probability": 0.3})])
    assert off.model.network.condition.augmentation is None
    assert off.datamodule.augmentations == 0
    assert len(on.model.network.condition.augmentation) == AUGMENTATIONS == on.datamodule.augmentations
    assert on.datamodule.augmentation == Augmentation(0.3)


@pytest.mark.parametrize("given", [EVERYTHING, {"data.cache": "false"}], ids=["everything", "no cache"])
def test_a_run_with_it_trains_and_samples(args: list[str], given: dict[str, object]) -> None:
    cli = FitCLI([*args, *options(given)])
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    assert cli.trainer.global_step == cli.trainer.max_steps
    assert all(value.isfinite().all() for value in cli.model.state_dict().values())


@pytest.mark.parametrize("distinct", [300, 3_000])
def test_the_command_that_an_inspection_suggests_is_understood(distinct, cats, capsys):
    found = SimpleNamespace(distinct=distinct, suggested_size=64, class_counts={"a": 1, "b": 200})
    command = shlex.split(suggestion(cast(Inspection, found), str(cats)).command)[2:]
    config = printed(command, capsys)
    assert config["data"]["root"] == str(cats)
    assert config["data"]["class_balanced"] is True
    assert config["data"]["augmentation"]["probability"] == 0.12


def test_what_is_wrong_with_the_images_is_blamed_on_no_other_option(
    tmp_path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "photographs").mkdir()
    (tmp_path / "photographs" / "one.heic").touch()
    network = ["--model.network.depth", "1", "--model.network.width", "32", "--model.network.heads", "2"]
    status, message = refusal(["--data.root", str(tmp_path / "photographs"), *network], capsys)
    assert status == 2
    assert str(tmp_path / "photographs") in message
    assert "--model" not in message
    assert "--trainer" not in message
