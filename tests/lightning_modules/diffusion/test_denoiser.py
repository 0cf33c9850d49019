from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from lightning_modules.diffusion.denoiser import Bound, Condition, evaluate_both
from lightning_modules.diffusion.guidance import guided

X = torch.arange(12, dtype=torch.float64).reshape(3, 1, 2, 2)
SIGMA = torch.full((3,), 0.5, dtype=torch.float64)


@dataclass(frozen=True, eq=False)
class Asked(Condition):
    """A label and two numbers for each image."""

    labels: Tensor
    numbers: Tensor


ASKED = Asked(torch.tensor([2, 0, 5]), torch.arange(6.0).reshape(3, 2))
NOTHING = Asked(torch.full((3,), 7), torch.zeros(3, 2))


class Model:
    """A conditional denoiser whose estimate shows what it was asked, and which keeps the questions."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, sigma, condition):
        self.calls.append((x, sigma, condition))
        asked = condition.labels + condition.numbers.sum(1)
        return torch.sin(x + sigma.reshape(-1, 1, 1, 1)) * (1 + asked.reshape(-1, 1, 1, 1))


def plain(condition: Asked) -> list[list[float]]:
    return [tensor.tolist() for tensor in condition.tensors()]


def test_rows_of_a_condition():
    assert len(ASKED) == 3
    assert plain(ASKED[1:]) == [[0, 5], [[2, 3], [4, 5]]]
    assert plain(ASKED[torch.tensor([2, 2])]) == [[5, 5], [[4, 5], [4, 5]]]
    assert plain(ASKED.repeated(4)[2:]) == [[5, 2], [[4, 5], [0, 1]]]
    assert plain(ASKED.cat(NOTHING)[2:4]) == [[5, 7], [[4, 5], [0, 0]]]


def test_a_condition_is_replaced_where_a_mask_says():
    mixed = ASKED.replaced(NOTHING, torch.tensor([True, False, True]))
    assert plain(mixed) == [[7, 0, 7], [[0, 0], [2, 3], [0, 0]]]
    assert [tensor.dtype for tensor in mixed.tensors()] == [tensor.dtype for tensor in ASKED.tensors()]


def test_a_condition_goes_to_a_device():
    assert {tensor.device.type for tensor in ASKED.to("meta").tensors()} == {"meta"}


def test_a_bound_denoiser_asks_for_its_condition():
    model = Model()
    assert torch.equal(Bound(model, ASKED)(X, SIGMA), Model()(X, SIGMA, ASKED))
    assert model.calls[0][2] is ASKED


def test_two_conditions_of_one_model_are_one_batch():
    model = Model()
    first, second = evaluate_both(Bound(model, ASKED), Bound(model, NOTHING), X, SIGMA)
    ((x, sigma, condition),) = model.calls
    assert torch.equal(x, torch.cat([X, X]))
    assert torch.equal(sigma, SIGMA.repeat(2))
    assert plain(condition) == plain(ASKED.cat(NOTHING))
    assert torch.equal(first, Model()(X, SIGMA, ASKED))
    assert torch.equal(second, Model()(X, SIGMA, NOTHING))


def test_two_models_are_two_batches():
    one, other = Model(), Model()
    first, second = evaluate_both(Bound(one, ASKED), Bound(other, ASKED), X, SIGMA)
    assert [len(x) for model in (one, other) for x, _, _ in model.calls] == [3, 3]
    assert torch.equal(first, second)


@pytest.mark.parametrize(("sigma", "images"), [(0.05, 3), (0.5, 6), (80.0, 3)])
def test_classifier_free_guidance_evaluates_twice_the_images_inside_its_interval(sigma, images):
    model = Model()
    denoiser = guided(Bound(model, ASKED), Bound(model, NOTHING), 3.0, (0.1, 2.0))
    denoiser(X, torch.full((3,), sigma, dtype=torch.float64))
    assert [len(x) for x, _, _ in model.calls] == [images]
