"""The command that is suggested for a folder."""

from __future__ import annotations

import shlex
from types import SimpleNamespace
from typing import Any, cast

import pytest
import yaml

from datamodules.inspection.advice import PAGE, suggestion
from datamodules.inspection.inspection import SIZES, Inspection
from tests.helpers.places import CONFIGS


def found(distinct: int, size: int = 64, **classes: int) -> Inspection:
    facts = SimpleNamespace(distinct=distinct, suggested_size=size, class_counts=classes or {"all": distinct})
    return cast(Inspection, facts)


def command(inspection: Inspection, folder: str = "my_images", *flags: str) -> dict[str, Any]:
    words = shlex.split(suggestion(inspection, folder, flags).command)
    assert words[:2] == ["ninelives", "fit"]
    return dict(zip(words[2::2], words[3::2], strict=True))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("distinct", [1, 100, 300, 1_999, 2_000, 5_000, 20_000, 10**6])
def test_the_config_exists_and_its_size_suits(distinct: int, size: int) -> None:
    config = yaml.safe_load((CONFIGS / f"{command(found(distinct, size))['--config']}.yaml").read_text())
    assert config["data"]["image_size"] <= max(size, 32)


def test_few_images_get_the_smallest_network_and_fewer_steps() -> None:
    few, fewer = command(found(1_000)), command(found(300))
    assert few["--config"] == fewer["--config"] == "demo"
    assert float(fewer["--data.augmentation.probability"]) > 0
    passes = int(fewer["--trainer.max_steps"]) * 32 / 300
    assert 50 <= passes <= 300
    assert int(fewer["--trainer.max_steps"]) < int(few["--trainer.max_steps"])


def test_what_the_folder_needs_is_in_the_command_and_can_be_pasted() -> None:
    unbalanced = found(300, cats=290, dogs=10)
    options = command(unbalanced, "my images/it's", "--data.quarantine", "bad list.txt")
    assert options["--data.root"] == "my images/it's"
    assert options["--data.quarantine"] == "bad list.txt"
    assert options["--data.class_balanced"] == "true"
    assert "--data.class_balanced" not in command(found(300, cats=150, dogs=150))
    assert "\n" not in suggestion(unbalanced, "my images").command


@pytest.mark.parametrize("distinct", [300, 3_000, 30_000])
def test_there_is_a_page_to_read_on(distinct: int) -> None:
    assert PAGE in suggestion(found(distinct), "my_images").advice
    assert (CONFIGS.parent / PAGE).is_file()
