from __future__ import annotations

import itertools
import math

import pytest
import torch

from lightning_modules.networks.positions import RotaryPositions, sine_positions
from tests.helpers.tiny import draw


def turned(side: int, head_width: int, features: torch.Tensor) -> torch.Tensor:
    """One feature vector at every place of the grid, turned: (side^2, head_width)."""
    positions = RotaryPositions(side, head_width).double()
    return positions.rotate(features.expand(1, 1, side**2, head_width))[0, 0]


def vector(seed: int, head_width: int = 8) -> torch.Tensor:
    return draw(head_width, seed=seed, dtype=torch.float64)


@pytest.mark.parametrize("head_width", [4, 8, 16])
@pytest.mark.parametrize("side", [1, 3, 4])
def test_scores_depend_on_the_relative_position_only(side, head_width):
    query = turned(side, head_width, vector(0, head_width)).view(side, side, -1)
    key = turned(side, head_width, vector(1, head_width)).view(side, side, -1)
    scores = torch.einsum("abi,cdi->abcd", query, key)
    by_offset: dict[tuple[int, int], list[float]] = {}
    for a, b, c, d in itertools.product(range(side), repeat=4):
        by_offset.setdefault((c - a, d - b), []).append(scores[a, b, c, d].item())
    for same in by_offset.values():
        assert same == pytest.approx([same[0]] * len(same), abs=1e-6)
    assert len(by_offset) == (2 * side - 1) ** 2


@pytest.mark.parametrize("side", [3, 4, 8])
def test_every_relative_position_has_its_own_rotation(side):
    """Two waves per axis, 2 tokens and twice the grid: no two offsets of the grid look alike."""
    positions = RotaryPositions(side, 8)
    offsets = torch.arange(-(side - 1), side).double()
    angles = 2 * math.pi * offsets[:, None] / torch.tensor([2.0, 2.0 * side], dtype=torch.float64)
    circle = torch.cat([angles.cos(), angles.sin()], dim=1)
    distances = torch.cdist(circle, circle) + 9 * torch.eye(len(offsets))
    assert distances.min() > 0.1
    rows = positions.cosine[:: side + 1, :2].double()  # tokens on the diagonal: row waves
    torch.testing.assert_close(rows, angles[side - 1 :].cos(), rtol=0, atol=1e-6)


@pytest.mark.parametrize("side", [2, 5])
def test_pairs_turn_by_row_and_column(side):
    """Pair j of the first half of the pairs by 2 pi row / wavelength_j, of the second half by the column."""
    features = vector(3)
    result = turned(side, 8, features).view(side, side, 8)
    wavelengths = [2.0, 2.0 * side]
    for row in range(side):
        for column in range(side):
            angles = [2 * math.pi * place / w for place in (row, column) for w in wavelengths]
            for pair, angle in enumerate(angles):
                first, second = features[pair], features[pair + 4]
                expected = [
                    first * math.cos(angle) - second * math.sin(angle),
                    first * math.sin(angle) + second * math.cos(angle),
                ]
                actual = result[row, column, [pair, pair + 4]].tolist()
                assert actual == pytest.approx([float(e) for e in expected], abs=1e-5)


def test_rotation_keeps_the_norm():
    result = turned(4, 8, vector(0))
    torch.testing.assert_close(result.norm(dim=-1), vector(0).norm().expand(16), rtol=1e-6, atol=0)


def test_first_place_is_not_turned():
    result = turned(4, 8, vector(0))
    torch.testing.assert_close(result[0], vector(0), rtol=0, atol=0)
    assert not torch.allclose(result[1], vector(0))


def test_rotation_keeps_the_dtype():
    positions = RotaryPositions(2, 4)
    for dtype in (torch.bfloat16, torch.float32):
        assert positions.rotate(torch.ones(1, 1, 4, 4, dtype=dtype)).dtype == dtype


def test_positions_are_no_weights():
    assert not RotaryPositions(2, 4).state_dict()


@pytest.mark.parametrize("side", [1, 2, 8])
def test_sine_positions_tell_every_place(side):
    positions = sine_positions(side, 16)
    assert positions.shape == (side**2, 16)
    assert positions.abs().max() <= 1
    if side > 1:
        assert torch.pdist(positions).min() > 0.5


def test_sine_positions_are_row_then_column():
    grid = sine_positions(4, 16).view(4, 4, 16)
    assert torch.equal(grid[..., :8], grid[:, :1, :8].expand(4, 4, 8))
    assert torch.equal(grid[..., 8:], grid[:1, :, 8:].expand(4, 4, 8))
    assert torch.equal(grid[..., :8], grid.transpose(0, 1)[..., 8:])
