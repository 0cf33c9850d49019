from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from lightning_modules.cli.fit_cli import FitCLI
from lightning_modules.cli.parsing.parser import CONFIGS
from lightning_modules.diffusion.noise_levels import LogitNormal, LogNormal, Uniform
from lightning_modules.diffusion.preconditioning import EDM, FlowX, V
from lightning_modules.models import DiTDiffusion, UNetDiffusion
from lightning_modules.module import DiffusionModule
from lightning_modules.networks.dit import DiTConfig
from lightning_modules.networks.unet import UNetConfig
from tests.helpers.command_line import (
    DIT,
    LIGHTNING_WARNINGS,
    UNET,
    Run,
    load_script,
    options,
    printed,
    refusal,
    shrunk,
)

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

SHIPPED = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
DEFAULTS = {
    "DiTDiffusion": DiTDiffusion(16, DiTConfig(width=32, depth=1, heads=2)),
    "UNetDiffusion": UNetDiffusion(16, UNetConfig(channels=(8, 16), blocks=1, attention=())),
}
SMALL = {"DiTDiffusion": DIT, "UNetDiffusion": UNET}
OTHER = {"DiTDiffusion": "UNetDiffusion", "UNetDiffusion": "DiTDiffusion"}

LARGE = {"cats", "h100-64", "h100-128"}  # that take a CPU longer than ten seconds to train for two steps

OTHER_DIT = """
trainer:
  max_steps: 4
model:
  class_path: DiTDiffusion
  init_args:
    network:
      patch_size: 2
      width: 32
      depth: 1
      heads: 2
      dropout: 0.25
    cond_dropout: 0.3
    preconditioner:
      class_path: V
    noise_levels:
      class_path: LogitNormal
      init_args:
        mean: 0.1
    optimizer:
      learning_rate: 0.007
ema:
  decay: 0.5
"""


def read(name: str) -> dict:
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


FOR_A_FOLDER = [name for name in SHIPPED if read(name)["data"].get("root")]


def smallest_image(config: dict) -> int:
    """The smallest side in pixels with at least 4 x 4 tokens, or features at the coarsest level."""
    network = config["model"]["init_args"]["network"]
    if "patch_size" in network:
        return 4 * network["patch_size"]
    return 4 * network.get("unshuffle", 1) * 2 ** (len(network["channels"]) - 1)


# What is shipped


def test_the_configs_of_the_readme_are_there() -> None:
    assert {"demo", "demo-unet", "cats", "cats-dit"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_config_is_complete_enough_to_run_alone(name: str, capsys: Capture) -> None:
    config = printed(["--config", name], capsys)
    assert config["trainer"]["max_steps"] > 0 or config["trainer"]["max_time"]
    assert config["model"]["class_path"].endswith(read(name)["model"]["class_path"])
    grid, steps = config["sample_grid"], config["trainer"]["max_steps"]
    assert 0 < grid["every_n_steps"] <= steps
    assert config["learning_rate"]["warm_up"] + config["learning_rate"]["cool_down"] <= steps


@pytest.mark.parametrize("name", SHIPPED)
def test_config_builds_at_its_own_size(name: str, cats: Path, tmp_path: Path) -> None:
    own = read(name)["data"]["image_size"]
    cpu = {"data.image_size": own, "trainer.precision": "32-true", "model.compile": False}
    cli = FitCLI(["--config", name, *long_enough(cats, tmp_path), *options(cpu)])
    assert cli.model.image_shape == (3, own, own)
    assert len(cli.model.class_names) == 6


@pytest.mark.parametrize("name", FOR_A_FOLDER)
def test_config_for_a_folder_of_yours_asks_for_one(name: str, tmp_path: Path, capsys: Capture) -> None:
    cpu = {"trainer.accelerator": "cpu", "trainer.default_root_dir": tmp_path / "runs"}
    _, message = refusal(["--config", name, *options(cpu)], capsys)
    assert "my_images" in message
    assert not (tmp_path / "runs").exists()


def long_enough(cats: Path, folder: Path) -> list[str]:
    return [*shrunk(cats, folder), "--data.batch_size", "2", "--trainer.max_steps", "2"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow if name in LARGE else ()) for name in SHIPPED]
)
def test_config_trains(name: str, cats: Path, tmp_path: Path) -> None:
    # Half precision with a loss scale, and compilation, are for GPUs: a CPU cannot, or only slowly.
    cpu = {"data.image_size": smallest_image(read(name)), "model.compile": False}
    if read(name)["trainer"].get("precision") == "16-mixed":
        cpu["trainer.precision"] = "32-true"
    load_script("fit").main(["--config", name, *long_enough(cats, tmp_path), *options(cpu)])
    run = Run((tmp_path / "runs" / "demo" / "latest").resolve())
    assert run.checkpoint()["global_step"] == 2
    assert sorted(run.scalars("loss")) == [1, 2]
    assert (run.folder / "samples" / "step=00000002.png").is_file()


@pytest.mark.parametrize("name", SHIPPED)
def test_other_network_with_any_config_is_its_own(name: str, cats: Path, tmp_path: Path) -> None:
    other = OTHER[read(name)["model"]["class_path"].rsplit(".", 1)[-1]]
    cli = FitCLI(["--config", name, *shrunk(cats, tmp_path), "--model", other, *SMALL[other]])
    assert_defaults(cli.model, DEFAULTS[other])


# Switching the network


@pytest.fixture
def other_dit(tmp_path: Path) -> Path:
    """A DiT's config in which nothing is as it is by default."""
    path = tmp_path / "other.yaml"
    path.write_text(OTHER_DIT)
    return path


def network_of(model: DiffusionModule) -> DiTConfig | UNetConfig:
    """The shape that a model was made with, which it keeps as the command line has it."""
    kept = model.hparams["network"]
    if not isinstance(kept, dict):
        return kept
    if "channels" not in kept:
        return DiTConfig(**kept)
    return UNetConfig(
        **{name: tuple(each) if isinstance(each, list) else each for name, each in kept.items()}
    )


def assert_defaults(model: DiffusionModule, own: DiffusionModule) -> None:
    """A model has its class's own settings, whatever the config said of another."""
    assert type(model) is type(own)
    assert model.preconditioner == own.preconditioner
    assert model.noise_levels == own.noise_levels
    assert model.optimizer_settings == own.optimizer_settings
    assert type(model.weighting) is type(own.weighting)
    assert model.cond_dropout == own.cond_dropout
    assert network_of(model) == network_of(own)


@pytest.mark.parametrize("switch", [["--model", "UNetDiffusion"], ["--model=UNetDiffusion"]], ids=len)
def test_switch_to_the_unet_takes_nothing_of_the_dit(
    switch: list[str], other_dit: Path, cats: Path, tmp_path: Path
) -> None:
    cli = FitCLI(["--config", str(other_dit), *shrunk(cats, tmp_path), *switch, *UNET])
    assert_defaults(cli.model, DEFAULTS["UNetDiffusion"])
    assert cli.model.noise_levels == LogNormal()
    assert cli.model.preconditioner == EDM()
    assert cli.config["ema"]["decay"] == 0.5  # not the network's: stays


def test_switch_to_the_dit_takes_nothing_of_the_unet(cats: Path, tmp_path: Path) -> None:
    config = tmp_path / "unet.yaml"
    config.write_text(
        "trainer:\n  max_steps: 4\nmodel:\n  class_path: UNetDiffusion\n  init_args:\n"
        "    network: {channels: [8, 16], dropout: 0.25}\n    noise_levels:\n      class_path: Uniform\n"
    )
    cli = FitCLI(["--config", str(config), *shrunk(cats, tmp_path), "--model", "DiTDiffusion", *DIT])
    assert_defaults(cli.model, DEFAULTS["DiTDiffusion"])
    assert cli.model.noise_levels == LogitNormal(mean=0.3, std=1.4)
    assert cli.model.preconditioner == FlowX()


def test_naming_the_configs_own_network_changes_nothing(other_dit: Path, capsys: Capture) -> None:
    plain = printed(["--config", str(other_dit)], capsys)
    assert printed(["--config", str(other_dit), "--model", "DiTDiffusion"], capsys) == plain
    assert plain["model"]["init_args"]["preconditioner"]["class_path"].endswith(V.__name__)


def test_options_given_with_the_switch_are_kept(cats: Path, tmp_path: Path) -> None:
    given = options({"model.network.dropout": 0.125, "model.noise_levels": "Uniform"})
    switch = ["--model", "UNetDiffusion", *UNET, *given]
    model = FitCLI(["--config", "demo", *shrunk(cats, tmp_path), *switch]).model
    assert network_of(model).dropout == 0.125
    assert model.noise_levels == Uniform()
