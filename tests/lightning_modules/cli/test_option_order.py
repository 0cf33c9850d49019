"""What stands on the command line wins over what stands in a config, in any order and any form."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
import yaml

from lightning_modules.cli.parsing.options import in_order, options_of
from lightning_modules.cli.parsing.parser import with_config
from tests.helpers.command_line import LIGHTNING_WARNINGS, printed

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

CONFIG: dict[str, Any] = {
    "seed_everything": 3,
    "experiment": "of-the-config",
    "trainer": {"max_steps": 77, "precision": "bf16-mixed"},
    "data": {
        "batch_size": 5,
        "source": {"class_path": "RenderedCats", "init_args": {"count": 50}},
        "augmentation": {"probability": 0.5},
        "limits": {"min_side": 9},
    },
    "model": {
        "class_path": "DiTDiffusion",
        "init_args": {
            "network": {"width": 64},
            "optimizer": {"learning_rate": 0.5},
            "noise_levels": "LogNormal",
        },
    },
    "learning_rate": {"warm_up": 6},
    "ema": {"decay": 0.5},
    "loss_by_noise_level": {"edges": [0.5, 1.5]},
    "spike_guard": {"patience": 9},
    "sample_grid": {"rows": 9, "sampling": {"guidance": 1.5, "churn": {"amount": 3.0}}},
    "evaluation": {"images": 99},
    "checkpoint": {"keep_last": 9},
    "progress_bar": {"refresh_rate": 9},
    "modal": {"max_usd": 9.0},
}

GIVEN: dict[str, Any] = {
    "seed_everything": 4,
    "experiment": "of-the-command-line",
    "trainer.max_steps": 78,
    "trainer.precision": "32-true",
    "data.batch_size": 6,
    "data.source": "RenderedCats",
    "data.source.count": 60,
    "data.augmentation.probability": 0.25,
    "data.limits.min_side": 10,
    "model": "DiTDiffusion",
    "model.network.width": 96,
    "model.optimizer.learning_rate": 0.25,
    "model.noise_levels": "LogitNormal",
    "model.noise_levels.mean": 0.75,
    "learning_rate.warm_up": 7,
    "ema.decay": 0.75,
    "loss_by_noise_level.edges": [0.25, 2.5],
    "spike_guard.patience": 8,
    "sample_grid.rows": 8,
    "sample_grid.sampling.guidance": 2.5,
    "evaluation.images": 88,
    "checkpoint.keep_last": 8,
    "progress_bar.refresh_rate": 8,
    "modal.max_usd": 8.0,
}


def value_of(config: dict[str, Any], name: str) -> Any:
    """A setting by its name on the command line, where the arguments of a class stand without `init_args`."""
    found: Any = config
    for part in name.split("."):
        if isinstance(found, dict) and part not in found and "init_args" in found:
            found = found["init_args"]
        found = found[part]
    return found


def typed(rng: random.Random, name: str, value: object) -> list[str]:
    return [f"--{name}={value}"] if rng.random() < 0.5 else [f"--{name}", str(value)]


def config_forms(path: Path) -> list[list[str]]:
    return [["--config", str(path)], [f"--config={path}"], ["-c", str(path)], [f"-c{path}"]]


def flat(config: dict[str, Any], prefix: str = "") -> set[str]:
    """The names of the settings of CONFIG down to their values."""
    names = set()
    for key, value in config.items():
        if key == "init_args":
            names |= flat(value, prefix)
        elif isinstance(value, dict):
            names |= flat(value, f"{prefix}{key}.")
        else:
            names.add((prefix + key).removesuffix(".class_path"))
    return names


@pytest.fixture
def written(tmp_path: Path) -> Path:
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(CONFIG, sort_keys=False))
    return tmp_path / "mine.yaml"


def test_the_config_is_what_counts_where_the_command_line_says_nothing(
    written: Path, capsys: Capture
) -> None:
    config = printed(["--config", str(written)], capsys)
    assert value_of(config, "data.source.count") == 50
    assert value_of(config, "model.optimizer.learning_rate") == 0.5
    assert {name.split(".")[0] for name in GIVEN} == set(CONFIG)  # every section is tried below
    assert set(CONFIG) | {"config", "fast_dev_run", "run", "fresh", "allow_mismatch", "safe"} >= set(
        config
    ) - {
        "step_seed",
        "telemetry",
    }


@pytest.mark.parametrize("seed", range(6))
def test_the_command_line_wins_in_any_order_and_form(seed: int, written: Path, capsys: Capture) -> None:
    rng = random.Random(seed)
    pieces = [typed(rng, name, value) for name, value in GIVEN.items()]
    pieces += rng.choices(config_forms(written), k=rng.choice([1, 2]))
    rng.shuffle(pieces)
    config = printed([text for piece in pieces for text in piece], capsys)
    for name, value in GIVEN.items():
        found = value_of(config, name)
        if isinstance(found, dict):  # a class that was chosen
            assert found["class_path"].endswith(str(value)), name
        else:
            assert found == value, name


@pytest.mark.parametrize("seed", range(20))
def test_options_come_after_the_configs_and_parts_after_their_whole(seed: int, written: Path) -> None:
    rng = random.Random(seed)
    pieces = [typed(rng, name, value) for name, value in GIVEN.items()] + [["--fresh"]]
    pieces += rng.choices(config_forms(written), k=2)
    rng.shuffle(pieces)
    args = [text for piece in pieces for text in piece]
    resolved, name = with_config(args, default="demo")
    assert name == "mine"
    assert resolved[:4] == ["--config", str(written)] * 2
    left = [option for option in options_of(args) if option.name != "config"]
    done = options_of(resolved[4:])
    assert sorted(done, key=str) == sorted(left, key=str)  # nothing lost, nothing cut
    names = [option.name for option in done]
    for part in names:
        for whole in names:
            if part.startswith(f"{whole}."):
                assert names.index(whole) < names.index(part)


def test_the_last_of_the_same_option_and_of_several_configs_wins(written: Path, capsys: Capture) -> None:
    other = written.with_name("other.yaml")
    other.write_text("data:\n  batch_size: 11\n")
    given = [
        "--data.val_fraction",
        "0.1",
        "--config",
        str(written),
        "--data.val_fraction=0.2",
        "-c",
        str(other),
    ]
    data = printed(given, capsys)["data"]
    assert (data["batch_size"], data["val_fraction"]) == (11, 0.2)
    assert data["limits"]["min_side"] == 9  # the first config counts where the second says nothing


MODEL_FORMS = [
    ["--model", "UNetDiffusion"],
    ["--model=UNetDiffusion"],
    ["--model", "lightning_modules.models.UNetDiffusion"],
    ["--model.class_path", "UNetDiffusion"],
    ["--model", '{"class_path": "UNetDiffusion", "init_args": {"network": {"blocks": 3}}}'],
]


@pytest.mark.parametrize("form", MODEL_FORMS, ids=" ".join)
@pytest.mark.parametrize("before", [True, False])
def test_another_model_than_the_configs_is_named_before_or_after_it(
    form: list[str], before: bool, written: Path, capsys: Capture
) -> None:
    config = ["--config", str(written)]
    part = ["--model.network.channels", "[8,16]"]
    args = [*part, *form, *config] if before else [*config, *part, *form]
    model = printed(args, capsys)["model"]
    assert model["class_path"].endswith("UNetDiffusion")
    assert model["init_args"]["network"]["channels"] == [8, 16]
    assert "width" not in model["init_args"]["network"]
    assert value_of(model, "optimizer.learning_rate") == 0.001  # chosen for the other network


def test_what_is_appended_to_a_list_stays_in_its_order() -> None:
    args = [
        "--t.callbacks+=A",
        "--t.callbacks.x=1",
        "--t.callbacks+=B",
        "--t.callbacks.x=2",
        "--t.n=3",
        "--t=y",
    ]
    done = [option.tokens[0] for option in in_order(options_of(args))]
    assert done == ["--t=y", *args[:5]]


def test_values_that_look_like_options_stay_with_theirs() -> None:
    args = ["--seed", "-1", "--x", "a", "b", "--y=--z", "-cdemo"]
    assert [option.tokens for option in options_of(args)] == [
        ("--seed", "-1"),
        ("--x", "a", "b"),
        ("--y=--z",),
        ("-cdemo",),
    ]
    assert [option.value for option in options_of(args)] == ["-1", "a", "--z", "demo"]
