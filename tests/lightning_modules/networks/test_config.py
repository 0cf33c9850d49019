"""What holds for every network's config: each option is documented, checked and stated there, once."""

from __future__ import annotations

import dataclasses
import inspect
import io

import pytest
import torch

from lightning_modules.models import MODELS
from lightning_modules.module import DiffusionModule
from lightning_modules.networks.config import NetworkConfig
from lightning_modules.networks.dit import DiTConfig
from lightning_modules.networks.unet import UNetConfig

CONFIGS = [DiTConfig, UNetConfig]
every_config = pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)


def names(config: type[NetworkConfig]) -> list[str]:
    return [field.name for field in dataclasses.fields(config)]


@every_config
def test_every_option_is_documented_in_its_order(config):
    documented = [line.split(":")[0].strip() for line in inspect.getdoc(config).splitlines() if ": " in line]
    assert [name for name in documented if name in names(config)] == names(config)


@pytest.mark.parametrize(
    ("config", "name"),
    [(config, name) for config in CONFIGS for name in names(config)],
    ids=lambda each: each if isinstance(each, str) else each.__name__,
)
def test_an_option_out_of_its_range_is_named_as_it_is_typed(config, name):
    default = getattr(config(), name)
    with pytest.raises(ValueError, match=f"network.{name}"):
        config(**{name: (-1,) if isinstance(default, tuple) else -1})


@every_config
def test_no_model_states_an_option_of_its_network_again(config):
    for made in (DiffusionModule, *MODELS.values()):
        assert not set(names(config)) & set(inspect.signature(made).parameters)


@every_config
def test_a_checkpoint_may_hold_it(config):
    file = io.BytesIO()
    torch.save(config(dropout=0.25), file)
    file.seek(0)
    assert torch.load(file, weights_only=True) == config(dropout=0.25)
