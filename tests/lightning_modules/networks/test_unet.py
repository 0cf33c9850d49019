from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.networks.unet import SelfAttention, Stage, group_norm
from tests.helpers.small import UNET_VARIANTS, images, run, unet
from tests.helpers.tiny import draw, randomize

every_variant = pytest.mark.parametrize("variant", UNET_VARIANTS)


@pytest.mark.parametrize(
    ("size", "channels", "unshuffle"),
    [(8, (8, 16), 1), (12, (8, 8, 8), 1), (7, (16,), 1), (6, (8, 8), 1), (12, (8, 8), 3), (4, (8, 8, 8), 1)],
)
def test_any_square_size_that_the_levels_divide(size, channels, unshuffle):
    network = randomize(unet(size, channels=channels, unshuffle=unshuffle))
    output = run(network, images(size))
    assert output.shape == (3, 3, size, size)
    assert output.isfinite().all()
    assert output.std() > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 9}, "image_size 9 .* 2 = network.unshuffle 1 .* 2 levels"),
        ({"image_size": 8, "channels": (8,) * 5}, "image_size 8 .* 16 = network.unshuffle 1 .* 5 levels"),
        ({"image_size": 6, "unshuffle": 2}, "image_size 6 .* 4 = network.unshuffle 2"),
        ({"channels": (8, 12)}, r"network.channels .* \[8, 12\]"),
        ({"channels": ()}, r"network.channels .* \[\]"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        unet(**options)


@pytest.mark.parametrize("channels", [8, 24, 40, 56, 200])
def test_every_multiple_of_8_channels_runs(channels):
    """Also where `channels / head_width` is no whole number: 200 channels, heads of 64."""
    network = unet(4, channels=(channels,), attention=(4,), head_width=16 if channels < 200 else 64)
    assert run(network, images(4)).shape == (3, 3, 4, 4)


@pytest.mark.parametrize("channels", [8, 24, 32, 72, 128, 200, 256])
def test_group_norm_groups(channels):
    norm = group_norm(channels)
    assert channels % norm.num_groups == 0
    assert channels // norm.num_groups >= 4
    assert norm.num_groups <= 32


def test_permuted_pixels_do_not_give_the_permuted_output():
    network = randomize(unet())
    x, order = images(), torch.randperm(64, generator=torch.Generator().manual_seed(1))

    def permute(y: Tensor) -> Tensor:
        return y.flatten(2)[..., order].view_as(y)

    expected = permute(run(network, x))
    assert (run(network, permute(x)) - expected).norm() > 0.1 * expected.norm()


def test_attention_by_hand():
    attention = randomize(SelfAttention(16, head_width=8)).double()
    x = draw(2, 16, 3, 3, dtype=torch.float64)
    tokens = attention.norm(x).flatten(2).mT
    heads = []
    for head in range(2):
        query, key, value = (
            tokens @ attention.qkv.weight[start : start + 8].T + attention.qkv.bias[start : start + 8]
            for start in (8 * head, 16 + 8 * head, 32 + 8 * head)
        )
        heads.append((query @ key.mT / 8**0.5).softmax(-1) @ value)
    expected = x + attention.output(torch.cat(heads, -1)).mT.reshape(x.shape)
    torch.testing.assert_close(attention(x), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize(
    ("attention", "count"), [((), 1), ((8,), 1 + 2 + 3), ((4,), 1 + 2 + 3), ((4, 8), 11), ((16,), 1)]
)
def test_attention_is_at_the_chosen_resolutions_and_in_the_middle(attention, count):
    """Two blocks on the way down and three on the way up at each resolution of the feature map."""
    network = unet(attention=attention, blocks=2)
    assert sum(isinstance(m, SelfAttention) for m in network.modules()) == count
    seen = []
    for stage in [*network.down, *network.up]:
        if isinstance(getattr(stage, "attention", None), SelfAttention):
            stage.attention.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].shape[-1]))
    run(network, images())
    assert set(seen) == set(attention) & {4, 8}


@every_variant
def test_convolutions_run_channels_last(variant):
    network = copy.deepcopy(randomize(unet(16, **UNET_VARIANTS[variant])))  # as the averaged weights are made
    network.load_state_dict(unet(16, **UNET_VARIANTS[variant]).state_dict())
    layouts = []

    def note(layer: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
        layouts.extend([inputs[0], output, layer.weight])

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(note)
    run(network, images(16))
    assert len(layouts) > 30
    assert all(tensor.is_contiguous(memory_format=torch.channels_last) for tensor in layouts)


def test_unshuffle_folds_pixels_into_channels_and_back():
    network = randomize(unet(unshuffle=2))
    seen = []
    network.stem.register_forward_hook(lambda _, inputs, output: seen.append(inputs[0]))
    network.output.register_forward_hook(lambda _, inputs, output: seen.append(output))
    x = images()
    output = run(network, x)
    folded, unfolded = seen
    assert folded.shape == unfolded.shape == (3, 12, 4, 4)
    for channel in range(12):
        c, (dy, dx) = channel // 4, divmod(channel % 4, 2)
        assert torch.equal(folded[:, channel], x[:, c, dy::2, dx::2])
        assert torch.equal(unfolded[:, channel], output[:, c, dy::2, dx::2])


@every_variant
def test_each_stage_on_the_way_down_has_its_skip(variant):
    """The way up takes the features of the way down in reverse, every one of them."""
    network = randomize(unet(**UNET_VARIANTS[variant]))
    down, up = [], []
    network.down[0].register_forward_pre_hook(lambda _, inputs: down.append(inputs[0]))
    for layer in network.down:
        layer.register_forward_hook(lambda *a: down.append(a[-1]))
    for layer in network.up:
        if isinstance(layer, Stage):
            layer.register_forward_pre_hook(lambda _, inputs: up.append(inputs[0]))
    run(network, images())
    assert len(up) == len(down)
    for features, joined in zip(reversed(down), up, strict=True):
        assert torch.equal(joined[:, -features.shape[1] :], features)
        assert joined.shape[1] > features.shape[1]
