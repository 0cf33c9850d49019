"""`docs/configs.md` has what `make configs-table` counts, and it is within what is promised."""

from __future__ import annotations

import functools

import pytest
import yaml

from benchmarks import configs_table
from lightning_modules.cloud.preflight import flop_per_image
from lightning_modules.cost.prices import ACHIEVED_SHARE, GPUS
from tests.helpers.command_line import LIGHTNING_WARNINGS
from tests.helpers.places import CONFIGS

pytestmark = LIGHTNING_WARNINGS

LONGEST_HOURS = {"L4": 2.0, "H100": 8.0}  # docs/configs.md says so in words
FOR_A_GPU = ["l4-32", "cats", "cats-dit", "cats-128", "h100-64", "h100-128"]
CAPACITY = {"L4": 24e9, "H100": 80e9}  # bytes
NAMES = ["demo", "demo-unet", *FOR_A_GPU]


@functools.cache
def figures(name: str) -> configs_table.Figures:
    return configs_table.figures(name)


@functools.cache
def page() -> str:
    return configs_table.PAGE.read_text()


def test_every_config_is_in_the_table() -> None:
    assert list(configs_table.PLANS) == NAMES
    assert sorted(NAMES) == sorted(path.stem for path in CONFIGS.glob("*.yaml"))


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_page_has_what_is_counted_now(name: str) -> None:
    rows = page().splitlines()
    assert configs_table.size_row(figures(name)) in rows
    assert configs_table.length_row(figures(name)) in rows


@pytest.mark.slow
def test_the_page_is_what_make_configs_table_writes() -> None:
    assert configs_table.filled(page(), configs_table.blocks([figures(name) for name in NAMES])) == page()


def test_a_page_without_a_place_for_a_table_is_refused() -> None:
    with pytest.raises(ValueError, match="length"):
        configs_table.filled(page().replace("<!-- begin length", "<!--"), {"length": ""})


@pytest.mark.parametrize("name", NAMES)
def test_steps_and_images_are_those_of_the_config(name: str) -> None:
    config = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())
    steps, batch = config["trainer"]["max_steps"], config["data"]["batch_size"]
    assert figures(name).images == steps * batch
    assert f" {steps:,} | {steps * batch:,} |" in configs_table.length_row(figures(name))


@pytest.mark.parametrize("name", FOR_A_GPU)
def test_a_step_leaves_room_in_the_gpu_and_the_run_is_as_short_as_promised(name: str) -> None:
    counted, gpu = figures(name), configs_table.PLANS[name].gpu
    assert counted.bytes < 0.8 * CAPACITY[gpu]
    assert counted.hours <= LONGEST_HOURS[gpu]


@pytest.mark.parametrize("name", ["demo", "demo-unet", "cats-128"])
def test_a_run_in_the_cloud_is_forecast_with_as_many_operations(name: str) -> None:
    assert flop_per_image(configs_table.build(name)) == pytest.approx(figures(name).flop, rel=0.01)


def test_time_and_price_follow_from_rate_and_gpu() -> None:
    made = configs_table.Figures("cats", configs_table.PLANS["cats"], 10**6, 121e9, 10**6, 3600, 250, 64, "")
    assert made.rate == pytest.approx(1000 * ACHIEVED_SHARE)
    assert made.hours == pytest.approx(1.0)  # 900,000 images at 250 a second
    assert made.usd == pytest.approx(3600 * GPUS["L4"].usd_per_second)
    assert made.bytes == 22 * 10**6 + 250 * 10**6


def test_a_run_on_a_machine_of_ones_own_costs_nothing() -> None:
    assert figures("demo").usd == 0
    assert "own machine" in configs_table.length_row(figures("demo"))


def test_memory_is_that_of_weights_and_activations_only() -> None:
    counts = [configs_table.activation_bytes(configs_table.build("demo"), size) for size in (1, 2, 3)]
    assert counts[2] - counts[1] == counts[1] - counts[0] > 0
