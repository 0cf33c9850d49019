"""Options of the data that reach further than the data module."""

from __future__ import annotations

import pytest
from command_line import LIGHTNING_WARNINGS, options

from datamodules.augmentation import AUGMENTATIONS, Augmentation
from lightning_modules.cli import FitCLI

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
