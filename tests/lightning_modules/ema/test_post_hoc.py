"""Averages of other lengths out of checkpoints, against the same averages kept step by step."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lightning_modules.checkpoints.names import path_of
from lightning_modules.checkpoints.whole import write_whole
from lightning_modules.ema.post_hoc import KEY, Reconstruction, described, reconstruct
from lightning_modules.ema.profiles import exponent_of, newest_share

STEPS = 1000
WALKS = 500


def walk() -> Tensor:
    """Weights of every step, (steps, walks): random walks far from 0, in float64."""
    steps = torch.randn(STEPS, WALKS, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    return 100 + steps.cumsum(0)


def averages(weights: Tensor, lengths: Sequence[float], began: int = 0) -> dict[float, Tensor]:
    """Averages after every step, as the recursion keeps them; before `began` there are none."""
    kept = {}
    for length in lengths:
        average, seen = weights[max(began - 1, 0)].clone(), []
        for step in range(1, len(weights) + 1):
            if step > began:
                average.lerp_(weights[step - 1], newest_share(exponent_of(length), step))
            seen.append(average.clone())
        kept[length] = torch.stack(seen)
    return kept


def save(folder: Path, kept: dict[float, Tensor], steps: Sequence[int], began: int = 0) -> list[Path]:
    for step in steps:
        content = {
            str(length): {"began": began, "weights": {"w": values[step - 1].clone()}}
            for length, values in kept.items()
        }
        stored = {"global_step": step, KEY: content}
        write_whole(path_of(folder, step), lambda stream, stored=stored: torch.save(stored, stream))
    return [path_of(folder, step) for step in steps]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Ten checkpoints with the averages of two lengths."""
    kept = averages(walk(), (0.05, 0.1))
    return save(tmp_path_factory.mktemp("run"), kept, range(100, STEPS + 1, 100))


def relative_error(found: Reconstruction, expected: Tensor) -> float:
    """Root of the mean squared error over that of the last weights, both as departures from the expected."""
    last = walk()[found.step - 1]
    return ((found.weights["w"] - expected).norm() / (last - expected).norm()).item()


@pytest.mark.parametrize(("length", "step"), [(0.05, None), (0.1, 1000), (0.05, 300)])
def test_a_length_that_was_kept_comes_back_exactly(run, length, step):
    found = reconstruct(run, length, step)
    assert (found.step, found.error, found.averages, found.checkpoints) == (step or STEPS, 0, 1, 1)
    assert torch.equal(found.weights["w"], averages(walk(), (length,))[length][found.step - 1])


@pytest.mark.parametrize(("length", "tolerance"), [(0.06, 0.01), (0.075, 0.01), (0.12, 0.01), (0.15, 0.02)])
@pytest.mark.parametrize("step", [1000, 700])
def test_a_length_that_was_held_back_is_the_one_kept_directly(run, length, tolerance, step):
    found = reconstruct(run, length, step)
    assert found.step == step
    assert 0 < found.error < 0.05
    assert relative_error(found, averages(walk(), (length,))[length][step - 1]) < tolerance


def test_at_a_step_behind_the_last_checkpoint_the_steps_between_are_missed(run):
    with pytest.raises(ValueError, match=r"step 950\b.*\b9 steps\b.*\b100\b.*\b900\b.*\b62%"):
        reconstruct(run, 0.15, 950)


def test_weights_that_stand_still_are_kept(tmp_path):
    kept = averages(torch.full((STEPS, 2), 7.0, dtype=torch.float64), (0.05, 0.1))
    found = reconstruct(save(tmp_path, kept, [400, 1000]), 0.07)
    torch.testing.assert_close(found.weights["w"], torch.full((2,), 7.0).double(), rtol=1e-12, atol=0)


def test_half_precision_is_summed_wider(tmp_path):
    kept = {length: values.bfloat16() for length, values in averages(walk(), (0.05, 0.1)).items()}
    found = reconstruct(save(tmp_path, kept, [500, 1000]), 0.07)
    assert found.weights["w"].dtype == torch.bfloat16


@pytest.mark.parametrize("length", [0.005, 0.28])
def test_lengths_that_cannot_be_expressed_are_refused(run, length):
    with pytest.raises(ValueError, match=r"0\.05, 0\.1\b.*\b10 steps\b.*\b100\b.*\b1000\b.*%"):
        reconstruct(run, length)


def test_the_words(run):
    words = described(reconstruct(run, 0.07))
    assert re.search(r"\b20\b.*\b10 checkpoints\b.* 0\.\d+ ?%$", words)


def test_without_averages_it_says_how_to_keep_some(tmp_path):
    paths = save(tmp_path, {}, [100, 200])
    with pytest.raises(ValueError, match=r"--ema\.lengths"):
        reconstruct(paths, 0.1)


def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog):
    paths = save(tmp_path, averages(walk(), (0.05, 0.1)), [800, 900, 1000])
    content = bytearray(paths[1].read_bytes())
    content[len(content) // 2] ^= 1
    paths[1].write_bytes(content)
    with caplog.at_level(logging.WARNING):
        assert reconstruct(paths, 0.07).checkpoints == 2
    assert re.search(rf"{re.escape(str(paths[1]))} .*checksum", caplog.text)


@pytest.mark.parametrize(("began", "used"), [(100, True), (900, False)])
def test_an_average_that_began_late_counts_once_it_has_forgotten(tmp_path, caplog, began, used):
    kept = averages(walk(), (0.05, 0.1), began)
    paths = save(tmp_path, kept, [1000], began)
    if used:
        found = reconstruct(paths, 0.06)
        assert relative_error(found, averages(walk(), (0.06,))[0.06][-1]) < 0.1
    else:
        with pytest.raises(ValueError, match=r"--ema\.lengths"):
            reconstruct(paths, 0.06)
        assert "step 900" in caplog.text
