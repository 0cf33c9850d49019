from __future__ import annotations

import math
import re
from functools import partial

import pytest
import torch
from torch import nn

from lightning_modules.networks.layers import (
    ConditionEmbedding,
    DecayedConv2d,
    DecayedLinear,
    NoiseLevelEmbedding,
    weight_decay_groups,
    zeroed,
)
from lightning_modules.networks.transformer import HeadNorm
from tests.helpers.small import MERGED, dit, unet
from tests.helpers.tiny import draw, randomize

NETWORKS = {
    "dit": dit,
    "dit-unconditional": partial(dit, embed=None),
    "dit-merged": partial(dit, **MERGED),
    "unet": unet,
    "unet-unconditional": partial(unet, embed=None, attention=(), unshuffle=2),
}
DECAYED = {
    "dit": r"(merged\.)?blocks\.\d+\.(attention\.(qkv|output)|feed_forward\.(gate_and_value|output))\.weight|"
    r"merged\.(merge|split)\.weight",
    "unet": r"(down|middle|up)\.\d+\.("
    r"conv|residual\.(conv_in|conv_out|skip)|attention\.(qkv|output))\.weight",
}
every_network = pytest.mark.parametrize("name", NETWORKS)


@every_network
def test_each_parameter_is_in_exactly_one_group(name):
    network = NETWORKS[name]()
    groups = weight_decay_groups(network, 0.3)
    assert [group["weight_decay"] for group in groups] == [0.3, 0.0]
    ids = [id(parameter) for group in groups for parameter in group["params"]]
    assert sorted(ids) == sorted(id(parameter) for parameter in network.parameters())


@every_network
def test_the_inner_matrices_decay_and_nothing_else(name):
    network = NETWORKS[name]()
    decaying = {id(parameter) for parameter in weight_decay_groups(network, 0.1)[0]["params"]}
    names = {n for n, parameter in network.named_parameters() if id(parameter) in decaying}
    pattern = DECAYED[name.split("-")[0]]
    assert names == {n for n, _ in network.named_parameters() if re.fullmatch(pattern, n)}
    assert names


@every_network
def test_biases_norms_and_embeddings_do_not_decay(name):
    network = NETWORKS[name]()
    exempt = {id(p) for p in weight_decay_groups(network, 0.1)[1]["params"]}
    for module in network.modules():
        if isinstance(module, nn.GroupNorm | HeadNorm | nn.Embedding):
            assert exempt >= {id(parameter) for parameter in module.parameters()}
        if getattr(module, "bias", None) is not None:
            assert id(module.bias) in exempt


def test_frozen_parameters_are_in_no_group():
    network = nn.Sequential(DecayedLinear(2, 2), nn.Linear(2, 2))
    network.requires_grad_(False)
    assert [group["params"] for group in weight_decay_groups(network, 0.1)] == [[], []]


@pytest.mark.parametrize("layer", [DecayedLinear(2, 3), DecayedConv2d(2, 3, 1), nn.Linear(2, 3, bias=False)])
def test_zeroed(layer):
    assert zeroed(layer) is layer
    assert not any(parameter.any() for parameter in layer.parameters())


def embed(levels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The sinusoids and the embedding of an untrained, published-scale embedding."""
    torch.manual_seed(0)
    embedding = NoiseLevelEmbedding(64)
    waves = []
    embedding.hidden.register_forward_pre_hook(lambda _, inputs: waves.append(inputs[0]))
    with torch.no_grad():
        embedded = embedding(levels)
    return waves[0], embedded


def noise_levels(low: float, high: float, apart: float) -> torch.Tensor:
    """`ln(sigma) / 4` on a grid."""
    return torch.arange(math.log(low) / 4, math.log(high) / 4, apart)


def test_neighbouring_noise_levels_are_told_apart_everywhere():
    """0.01 of ln(sigma) / 4 is 4 % of sigma: no saturation from the smallest to the largest level."""
    waves, embedding = embed(noise_levels(0.002, 80, 0.01))
    steps = (waves[1:] - waves[:-1]).norm(dim=1)
    assert steps.min() > 0.5  # of a norm of sqrt(32) = 5.7, the same everywhere
    torch.testing.assert_close(steps, steps.mean().expand_as(steps), rtol=1e-3, atol=0)
    relative = (embedding[1:] - embedding[:-1]).norm(dim=1) / embedding[1:].norm(dim=1)
    assert relative.min() > 0.03


def test_no_two_noise_levels_look_alike():
    """Also far ones: the short waves repeat, the long ones do not."""
    waves, _ = embed(noise_levels(0.002, 80, 0.01))
    places = torch.arange(len(waves))
    far = (places[:, None] - places[None, :]).abs() >= 5
    distances = torch.cdist(waves, waves)
    assert distances[far].min() > 2
    assert distances[(places[:, None] - places[None, :]).abs() == 1].max() < 1.5


def test_noise_levels_are_embedded_smoothly():
    """A change too small to matter changes little: the shortest wave is not noise."""
    level = noise_levels(0.002, 80, 0.1)
    (waves, _), (moved, _) = embed(level), embed(level + 1e-4)
    assert (waves - moved).norm(dim=1).max() < 0.02


def test_phases_are_exact_under_autocast():
    level = noise_levels(0.002, 80, 0.01)
    expected, _ = embed(level)
    with torch.autocast("cpu", torch.bfloat16):
        waves, _ = embed(level.bfloat16().float())
        exact, _ = embed(level)
    torch.testing.assert_close(exact, expected, rtol=0, atol=0)
    assert not torch.allclose(waves, expected, atol=0.01)  # what half precision would have done


def test_condition_depends_on_level_and_label():
    condition = randomize(ConditionEmbedding(8, partial(nn.Embedding, 4)))
    level, labels = draw(4), torch.tensor([0, 1, 2, 3])
    same_level = condition(level[:1].expand(4), labels)
    assert torch.pdist(same_level).min() > 0.1
    same_label = condition(level, labels[:1].expand(4))
    assert torch.pdist(same_label).min() > 0.1


def test_unconditional_ignores_labels():
    condition = ConditionEmbedding(8, None)
    assert condition.embedding is None
    level = draw(3)
    expected = condition(level, torch.zeros(3, dtype=torch.int64))
    assert torch.equal(condition(level, torch.tensor([999, -5, 1])), expected)
