from __future__ import annotations

import pkgutil

import numpy as np
import pytest
import torch

from lightning_modules.metrics.feature_networks import inception, table
from lightning_modules.metrics.feature_networks.efficientnet import EfficientNetLite0
from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork
from lightning_modules.metrics.feature_networks.random_convolutions import RandomConvolutions
from lightning_modules.metrics.feature_networks.table import CHOICES, FEATURE_NETWORKS, load_features

every_network = pytest.mark.parametrize("name", FEATURE_NETWORKS)


@every_network
def test_every_name_is_offered_and_stands_for_a_class(name):
    assert name in CHOICES
    assert issubclass(pkgutil.resolve_name(FEATURE_NETWORKS[name].path), FeatureNetwork)


@every_network
def test_a_network_that_is_installed_takes_images(name):
    if not FEATURE_NETWORKS[name].installed:
        pytest.skip(f"needs {FEATURE_NETWORKS[name].packages}")
    network = load_features(name)
    images = np.random.default_rng(0).integers(0, 256, (2, 3, 16, 16), dtype=np.uint8)
    features = network(torch.from_numpy(images))
    assert features.shape == (2, network.num_features)
    logits = network.logits(features)
    assert logits is None or len(logits) == 2


def test_auto_takes_the_first_that_is_installed(monkeypatch):
    assert isinstance(load_features("random"), RandomConvolutions)
    assert isinstance(load_features("auto"), EfficientNetLite0)
    monkeypatch.setattr(table, "find_spec", lambda name: None)
    assert isinstance(load_features("auto"), RandomConvolutions)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("resnet", "resnet.*auto, efficientnet"),
        ("random:weights.pth", "random:weights.pth"),
        ("no_such_module:Network", "no_such_module:Network"),
        ("math:no_such_name", "math:no_such_name"),
    ],
)
def test_unknown_networks_are_refused(spec, said):
    with pytest.raises(ValueError, match=said):
        load_features(spec)


def test_inception_without_its_packages_says_what_to_install(monkeypatch):
    monkeypatch.setattr(inception, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="torch-fidelity torchvision"):
        load_features("inception")
