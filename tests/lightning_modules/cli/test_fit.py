from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
import torch
import yaml
from PIL import Image

from lightning_modules.models import UNetDiffusion
from lightning_modules.networks.dit import DiTConfig
from tests.helpers.command_line import (
    LIGHTNING_WARNINGS,
    REPOSITORY,
    UNET,
    Run,
    load_script,
    options,
    python,
)

pytestmark = LIGHTNING_WARNINGS

UTC_NAME = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Runs that start within the same second have names of their own."""
    seconds = count()
    monkeypatch.setattr(
        "lightning_modules.run.experiment.run_name", lambda: f"2026-01-01T00-00-{next(seconds):02}Z"
    )
    return


def fit(args: list[str]) -> None:
    load_script("fit").main(args)


def latest(tmp_path: Path, experiment: str = "demo") -> Run:
    return Run((tmp_path / "runs" / experiment / "latest").resolve())


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def checkpoints(run: Path) -> list[str]:
    """What lies in a run's folder of checkpoints, but for the checksums: one beside each checkpoint."""
    there = files(run / "checkpoints")
    names = [name for name in there if not name.endswith(".sha256")]
    assert set(there) - set(names) == {f"{name}.sha256" for name in names if name != "last.ckpt"}
    return names


def weights(run: Run) -> dict[str, torch.Tensor]:
    return run.checkpoint()["state_dict"]


# The run directory


def test_run_directory_of_the_demo(args: list[str], tmp_path: Path, elsewhere: Path) -> None:
    fit(args)
    experiment = tmp_path / "runs" / "demo"
    (run,) = (path for path in experiment.iterdir() if not path.is_symlink())
    assert UTC_NAME.fullmatch(run.name)
    assert (experiment / "latest").is_symlink()
    assert (experiment / "latest").readlink() == Path(run.name)  # relative: the tree can be moved
    assert {path.name.split(".")[0] for path in run.iterdir()} >= {
        "config",
        "checkpoints",
        "samples",
        "events",
    }
    assert checkpoints(run) == ["last.ckpt", "step=00000002.ckpt", "step=00000004.ckpt"]
    assert (run / "checkpoints" / "last.ckpt").resolve().name == "step=00000004.ckpt"
    assert files(run / "samples") == ["step=00000002.png", "step=00000004.png"]
    assert files(elsewhere) == []  # nothing but under --trainer.default_root_dir


def test_checkpoint_says_step_and_hyper_parameters(args: list[str], tmp_path: Path) -> None:
    fit(args)
    run = latest(tmp_path)
    assert [run.checkpoint(name)["global_step"] for name in ("step=00000002", "last")] == [2, 4]
    saved = run.checkpoint()["hyper_parameters"]
    assert saved["image_size"] == 16
    assert DiTConfig(**saved["network"]) == DiTConfig(width=32, depth=1, heads=2)
    assert saved["class_names"] == ["calico", "ginger", "russian_blue", "siamese", "tabby", "tuxedo"]
    assert saved["_class_path"].endswith("DiTDiffusion")


def test_sample_grid_has_its_rows_and_columns(args: list[str], tmp_path: Path) -> None:
    fit([*args, *options({"sample_grid.rows": 2, "sample_grid.columns": 3})])
    with Image.open(latest(tmp_path).folder / "samples" / "step=00000004.png") as picture:
        assert 3 * 128 < picture.width < 4 * 128
        assert 2 * 128 < picture.height < 3 * 128
        assert picture.mode == "RGB"


def test_only_the_newest_checkpoints_are_kept(args: list[str], tmp_path: Path) -> None:
    fit([*args, *options({"checkpoint.every_n_steps": 1, "checkpoint.keep_last": 1})])
    assert checkpoints(latest(tmp_path).folder) == ["last.ckpt", "step=00000004.ckpt"]


def test_experiment_names_the_directory_and_latest_follows(
    args: list[str], tmp_path: Path, names: None
) -> None:
    for _ in range(2):
        fit([*args, "--experiment", "mine", "--trainer.max_steps", "1", "--fresh"])
    folder = tmp_path / "runs" / "mine"
    assert files(tmp_path / "runs")[0] == "mine"
    assert {path.name for path in folder.iterdir()} == {
        "2026-01-01T00-00-00Z",
        "2026-01-01T00-00-01Z",
        "latest",
    }
    assert latest(tmp_path, "mine").folder.name == "2026-01-01T00-00-01Z"


def test_experiment_is_named_by_folder_and_config(args: list[str], cats: Path, tmp_path: Path) -> None:
    config = tmp_path / "whiskers.yaml"
    config.write_text("trainer:\n  max_steps: 1\nmodel:\n  class_path: DiTDiffusion\n")
    at = args.index("--experiment")
    fit(["--config", str(config), *args[:at], *args[at + 2 :]])
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name == f"{cats.name}-whiskers"  # on a folder of one's own


def test_written_config_reproduces_the_run(args: list[str], tmp_path: Path, names: None) -> None:
    fit([*args, "--seed_everything", "3", "--model.network.dropout", "0.1"])
    first = latest(tmp_path)
    assert first.config["seed_everything"] == 3
    fit(["--config", str(first.folder / "config.yaml"), "--experiment", "again"])
    again = latest(tmp_path, "again")
    assert again.folder != first.folder
    assert again.scalars("loss") == first.scalars("loss")
    assert sorted(first.scalars("loss")) == [1, 2, 3, 4]
    for name, weight in weights(first).items():
        assert torch.equal(weight, weights(again)[name]), name
    grids = [Path(run.folder, "samples", "step=00000004.png").read_bytes() for run in (first, again)]
    assert grids[0] == grids[1]


def test_another_seed_is_another_run(args: list[str], tmp_path: Path, names: None) -> None:
    for seed in ("0", "1"):
        fit([*args, "--seed_everything", seed, "--experiment", seed])
    assert latest(tmp_path, "0").scalars("loss")[1] != latest(tmp_path, "1").scalars("loss")[1]


def test_max_time_is_an_end_too(args: list[str], tmp_path: Path) -> None:
    fit([*args, "--trainer.max_steps", "-1", "--trainer.max_time", "00:00:00:01"])
    run = latest(tmp_path)
    assert run.checkpoint()["global_step"] > 0
    assert (run.folder / "samples" / f"step={run.checkpoint()['global_step']:08d}.png").is_file()


# --fast-dev-run


def test_fast_dev_run_writes_nothing(args: list[str], tmp_path: Path, elsewhere: Path) -> None:
    fit([*args, "--fast-dev-run"])
    assert (files(tmp_path / "runs"), files(elsewhere)) == ([], [])


def test_fast_dev_run_of_the_script_from_another_directory(
    args: list[str], tmp_path: Path, elsewhere: Path
) -> None:
    result = python("fit.py", "--fast-dev-run", *args, cwd=elsewhere)
    assert result.returncode == 0, result.stderr
    assert "step 1 of 1" in result.stdout
    assert (files(tmp_path / "runs"), files(elsewhere)) == ([], [])


def test_fast_dev_run_draws_the_embedded_data(args: list[str], elsewhere: Path) -> None:
    drawn = options({"data.source": "RenderedCats", "data.source.count": 24, "data.source.size": 16})
    at = args.index("--data.root")
    fit([*args[:at], *args[at + 2 :], *drawn, "--fast-dev-run"])
    assert [path.name for path in (elsewhere / "data").iterdir()] == ["rendered-cats-24x16-seed0-v1"]


# Switching the network


def test_model_option_alone_switches_the_network_and_trains(args: list[str], tmp_path: Path) -> None:
    at = args.index("--model.network.width")
    fit([*args[:at], "--model", "UNetDiffusion", *UNET])
    run = latest(tmp_path)
    assert run.config["model"]["class_path"].endswith("UNetDiffusion")
    restored = UNetDiffusion.load_from_checkpoint(
        run.folder / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu"
    )
    assert len(restored.class_names) == 6


def test_flat_folder_trains_without_labels(args: list[str], cats: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(cats.rglob("*.png"))):
        (flat / f"{number}.png").write_bytes(path.read_bytes())
    fit([*args, "--data.root", str(flat), "--trainer.max_steps", "1"])
    assert latest(tmp_path).checkpoint()["hyper_parameters"]["class_names"] == ["flat"]


@pytest.mark.parametrize(
    "flags",
    [
        {"trainer.precision": "bf16-mixed"},
        {"trainer.accumulate_grad_batches": 2},
        {"data.val_fraction": 0.0},
        {"sample_grid.every_n_steps": 0},
    ],
    ids=lambda flags: next(iter(flags)).split(".")[1],
)
def test_trainer_and_callback_flags_train(args: list[str], tmp_path: Path, flags: dict[str, object]) -> None:
    fit([*args, *options(flags)])
    run = latest(tmp_path)
    assert run.checkpoint()["global_step"] == 4
    for name, value in flags.items():
        section, key = name.split(".")
        assert run.config[section][key] == value


def test_config_of_the_run_is_yaml_of_plain_values(args: list[str], tmp_path: Path) -> None:
    fit([*args, "--trainer.max_steps", "1"])
    config = latest(tmp_path).config
    assert yaml.safe_load(yaml.safe_dump(config)) == config
    assert str(REPOSITORY) not in (latest(tmp_path).folder / "config.yaml").read_text()
