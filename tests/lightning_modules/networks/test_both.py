"""What holds for every network and each of its variants."""

from __future__ import annotations

import pytest
import torch

from tests.helpers.small import DIT_VARIANTS, LABELS, LEVEL, UNET_VARIANTS, dit, images, run, unet
from tests.helpers.tiny import randomize

MAKERS = {"dit": dit, "unet": unet}
every_network = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)
every_variant = pytest.mark.parametrize(
    ("make", "options"),
    [
        pytest.param(make, options, id=f"{make.__name__}-{name}")
        for make, variants in ((dit, DIT_VARIANTS), (unet, UNET_VARIANTS))
        for name, options in variants.items()
    ],
)


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_output_is_zero_at_initialization(make, options, dtype):
    output = run(make(**options).to(dtype), 100 * images(dtype=dtype))
    assert output.dtype == dtype
    assert not output.any()


@every_variant
def test_no_parameter_is_dead(make, options):
    network = randomize(make(**options))
    network(images(), LEVEL, LABELS).square().sum().backward()
    assert not [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]


@every_variant
def test_images_of_a_batch_do_not_meet(make, options):
    network = randomize(make(**options)).double()
    x = images(dtype=torch.float64)
    together = run(network, x)
    for i in range(3):
        alone = run(network, x[i : i + 1], LEVEL[i : i + 1], LABELS[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, rtol=1e-9, atol=1e-9)


@every_variant
def test_noise_level_and_label_change_the_output(make, options):
    network = randomize(make(**options))
    x = images()[:1].expand(3, -1, -1, -1)
    by_label = run(network, x, LEVEL[:1].expand(3), LABELS).flatten(1)
    by_level = run(network, x, torch.tensor([0.2, 0.21, 0.9]), LABELS[:1].expand(3)).flatten(1)
    assert torch.pdist(by_label).min() > 0.005 * by_label.norm(dim=1).max()
    assert torch.pdist(by_level).min() > 0.002 * by_level.norm(dim=1).max()  # 4 % of sigma apart


@every_network
def test_unconditional_ignores_labels(make):
    network = randomize(make(embed=None))
    assert torch.equal(run(network, images()), run(network, images(), labels=torch.tensor([7, -1, 10**6])))


@every_network
def test_dropout_acts_in_training_only(make):
    network = randomize(make(dropout=0.5))
    assert not torch.equal(run(network, images()), run(network, images()))
    network.eval()
    assert torch.equal(run(network, images()), run(network, images()))
