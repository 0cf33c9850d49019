from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from lightning_modules.networks.dit import patchify, unpatchify
from lightning_modules.networks.merging import merge, split
from lightning_modules.networks.positions import RotaryPositions
from lightning_modules.networks.transformer import Attention, modulate
from tests.helpers.small import DIT_VARIANTS, MERGED, dit, images, run
from tests.helpers.tiny import draw, randomize

every_variant = pytest.mark.parametrize("variant", DIT_VARIANTS)


@every_variant
def test_blocks_are_identities_at_initialization(variant):
    network = dit(**DIT_VARIANTS[variant])
    seen = []
    network.blocks[0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.blocks[-1].register_forward_hook(lambda *a: seen.append(a[-1]))
    run(network, images())
    assert seen[0].std() > 0.1
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize(("size", "patch"), [(8, 2), (8, 8), (9, 3), (12, 4), (10, 1), (14, 2)])
def test_any_square_size_that_the_patch_divides(size, patch):
    network = randomize(dit(size, patch_size=patch))
    output = run(network, images(size))
    assert output.shape == (3, 3, size, size)
    assert output.isfinite().all()
    assert output.std() > 0.01


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 9}, "image_size 9 .* network.patch_size 2"),
        ({"patch_size": 16}, "image_size 8 .* network.patch_size 16"),
        ({"heads": 3}, "network.width 16 over network.heads 3"),
        ({"heads": 8}, "network.width 16 over network.heads 8"),
        ({"width": 24, "heads": 4}, "network.width 24 over network.heads 4"),
        (
            {"merged_depth": 1, "merged_width": 20, "merged_heads": 2},
            "network.merged_width 20 over network.merged_heads 2",
        ),
        ({"merged_depth": 1, "image_size": 6}, "network.merged_depth 1 .* 3 x 3"),
    ],
)
def test_sizes_that_do_not_divide_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        dit(**options)


@pytest.mark.parametrize(("size", "patch", "channels"), [(8, 2, 3), (6, 3, 1), (4, 1, 2), (4, 4, 3)])
def test_unpatchify_inverts_patchify(size, patch, channels):
    x = draw(2, channels, size, size)
    patches = patchify(x, patch)
    assert patches.shape == (2, (size // patch) ** 2, channels * patch**2)
    assert torch.equal(unpatchify(patches, patch, channels, size), x)
    tokens = draw(*patches.shape, seed=1)
    assert torch.equal(patchify(unpatchify(tokens, patch, channels, size), patch), tokens)


def test_a_token_is_a_patch_row_by_row():
    """Neither mixes tokens: each one comes from, and goes back to, the pixels of its own patch."""
    x = draw(1, 3, 6, 6)
    tokens = patchify(x, 2)
    for token in range(9):
        row, column = divmod(token, 3)
        here = (..., slice(2 * row, 2 * row + 2), slice(2 * column, 2 * column + 2))
        assert torch.equal(tokens[0, token], x[here].flatten())
        changed = tokens.clone()
        changed[0, token] += 1
        difference = unpatchify(changed, 2, 3, 6) - x
        assert (difference[here] != 0).all()
        assert (difference != 0).sum() == 12


def test_permuted_patches_do_not_give_the_permuted_output():
    network = randomize(dit())
    x, order = images(), torch.randperm(16, generator=torch.Generator().manual_seed(1))

    def permute(y: Tensor) -> Tensor:
        return unpatchify(patchify(y, 2)[:, order], 2, 3, 8)

    def gap() -> float:
        expected = permute(run(network, x))
        return ((run(network, permute(x)) - expected).norm() / expected.norm()).item()

    assert gap() > 0.1
    with torch.no_grad():
        network.position_embedding.zero_()
    assert gap() > 0.05  # rotary positions alone
    network.positions.cosine.fill_(1)
    network.positions.sine.zero_()
    assert gap() < 1e-5  # without any positions it would: the test can tell
    randomize(network)
    assert gap() > 0.05  # learned positions alone


def test_attention_by_hand():
    """QK-norm, rotation, softmax(q k / sqrt(d))."""
    attention = randomize(Attention(16, heads=2)).double()
    positions = RotaryPositions(4, 8).double()
    tokens = draw(2, 16, 16, dtype=torch.float64)
    query, key, value = (t.view(2, 16, 2, 8).transpose(1, 2) for t in attention.qkv(tokens).chunk(3, -1))

    def prepared(features: Tensor, norm: torch.nn.RMSNorm) -> Tensor:
        return positions.rotate(normalize(features, dim=-1) * 8**0.5 * norm.weight)

    scores = prepared(query, attention.query_norm) @ prepared(key, attention.key_norm).mT / 8**0.5
    expected = attention.output((scores.softmax(-1) @ value).transpose(1, 2).reshape(2, 16, 16))
    torch.testing.assert_close(attention(tokens, positions), expected, rtol=1e-5, atol=1e-6)


def test_modulation_by_hand():
    tokens, shift, scale = draw(2, 5, 4), draw(2, 1, 4, seed=1), draw(2, 1, 4, seed=2)
    expected = normalize(tokens, dim=-1) * 2 * (1 + scale) + shift
    torch.testing.assert_close(modulate(tokens, shift, scale), expected, rtol=1e-4, atol=1e-5)


def test_merging_puts_neighbours_side_by_side_and_splitting_takes_them_apart():
    tokens = draw(2, 16, 3)
    merged = merge(tokens, 4)
    assert merged.shape == (2, 4, 12)
    for number, corner in enumerate((0, 2, 8, 10)):  # of a grid of 4 x 4, row by row
        neighbors = [corner, corner + 1, corner + 4, corner + 5]
        assert torch.equal(merged[:, number], tokens[:, neighbors].flatten(1))
    assert torch.equal(split(merged, 4), tokens)


def test_merged_blocks_act_halfway():
    network = randomize(dit(depth=3, **MERGED))
    entered, left, said = [], [], []
    for block in network.blocks:
        block.register_forward_pre_hook(lambda _, inputs: entered.append(inputs[0]))
        block.register_forward_hook(lambda *a: left.append(a[-1]))
    network.merged.split.register_forward_hook(lambda *a: said.append(a[-1]))
    run(network, images())
    assert torch.equal(entered[2], left[1])
    added = split(said[0], 4)
    assert added.std() > 0.1
    torch.testing.assert_close(entered[1], left[0] + added)


def test_a_merged_block_of_twice_the_width_has_four_times_the_weights():
    """On a quarter of the tokens: as many operations."""
    network = dit(mlp_ratio=3, merged_depth=1, merged_width=32, merged_heads=2)

    def weights(block: torch.nn.Module) -> int:
        return sum(m.weight.numel() for m in block.modules() if isinstance(m, torch.nn.Linear))

    assert weights(network.merged.blocks[0]) == 4 * weights(network.blocks[0])
