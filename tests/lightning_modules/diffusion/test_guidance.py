from __future__ import annotations

import pytest
import torch

from lightning_modules.diffusion.guidance import autoguidance, classifier_free_guidance

NULL = 7
X = torch.arange(12, dtype=torch.float64).reshape(3, 1, 2, 2)
LABELS = torch.tensor([2, 0, 5])


class Recorder:
    """A denoiser whose estimate shows what it was asked, and which keeps the questions."""

    def __init__(self):
        self.calls = []

    def __call__(self, x, sigma, labels):
        self.calls.append((x, sigma, labels))
        return torch.sin(x + sigma.reshape(-1, 1, 1, 1)) * (1 + labels.reshape(-1, 1, 1, 1))


def levels(sigma: float) -> torch.Tensor:
    return torch.full((3,), sigma, dtype=torch.float64)


def estimates(sigma: float) -> tuple[torch.Tensor, torch.Tensor]:
    conditional = Recorder()(X, levels(sigma), LABELS)
    unconditional = Recorder()(X, levels(sigma), torch.full_like(LABELS, NULL))
    return conditional, unconditional


def test_scale_one_is_the_very_same_denoiser():
    denoiser = Recorder()
    assert classifier_free_guidance(denoiser, 1.0, NULL) is denoiser
    assert classifier_free_guidance(denoiser, 1, NULL, (0.1, 2.0)) is denoiser


def test_scale_zero_is_unconditional():
    guided = classifier_free_guidance(Recorder(), 0.0, NULL)
    assert torch.equal(guided(X, levels(0.5), LABELS), estimates(0.5)[1])


@pytest.mark.parametrize("scale", [-1.0, 0.3, 1.5, 2.0, 7.5])
def test_estimate_is_linear_in_the_scale(scale):
    conditional, unconditional = estimates(0.5)
    guided = classifier_free_guidance(Recorder(), scale, NULL)(X, levels(0.5), LABELS)
    expected = unconditional + scale * (conditional - unconditional)
    torch.testing.assert_close(guided, expected, rtol=1e-12, atol=1e-12)


def test_scale_next_to_one_is_continuous():
    guided = classifier_free_guidance(Recorder(), 1 + 1e-9, NULL)(X, levels(0.5), LABELS)
    torch.testing.assert_close(guided, estimates(0.5)[0], rtol=1e-6, atol=1e-6)


def test_inside_the_interval_one_call_of_both_halves():
    denoiser = Recorder()
    guided = classifier_free_guidance(denoiser, 2.0, NULL)(X, levels(0.5), LABELS)
    ((x, sigma, labels),) = denoiser.calls
    assert torch.equal(x, torch.cat([X, X]))
    assert torch.equal(sigma, levels(0.5).repeat(2))
    assert labels.tolist() == [2, 0, 5, NULL, NULL, NULL]
    assert labels.dtype == LABELS.dtype
    assert guided.shape == X.shape


@pytest.mark.parametrize("sigma", [0.05, 0.1, 2.0001, 80.0])
def test_outside_the_interval_one_conditional_call(sigma):
    denoiser = Recorder()
    guided = classifier_free_guidance(denoiser, 3.0, NULL, interval=(0.1, 2.0))(X, levels(sigma), LABELS)
    ((x, _, labels),) = denoiser.calls
    assert torch.equal(x, X)
    assert torch.equal(labels, LABELS)
    assert torch.equal(guided, estimates(sigma)[0])


@pytest.mark.parametrize("sigma", [0.1001, 1.0, 2.0])
def test_inside_the_interval_guidance_acts(sigma):
    denoiser = Recorder()
    classifier_free_guidance(denoiser, 3.0, NULL, interval=(0.1, 2.0))(X, levels(sigma), LABELS)
    assert [len(x) for x, _, _ in denoiser.calls] == [6]


@pytest.mark.parametrize("sigma", [1e-6, 1e6])
def test_guidance_acts_everywhere_unless_told(sigma):
    denoiser = Recorder()
    classifier_free_guidance(denoiser, 3.0, NULL)(X, levels(sigma), LABELS)
    assert [len(x) for x, _, _ in denoiser.calls] == [6]


def test_batch_permutation_permutes_the_estimates():
    guided = classifier_free_guidance(Recorder(), 3.0, NULL)
    order = torch.tensor([2, 0, 1])
    assert torch.equal(guided(X[order], levels(0.5), LABELS[order]), guided(X, levels(0.5), LABELS)[order])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtype_is_kept(dtype):
    guided = classifier_free_guidance(Recorder(), 3.0, NULL)
    assert guided(X.to(dtype), levels(0.5).to(dtype), LABELS).dtype == dtype


def worse(x, sigma, labels):
    return torch.cos(x) * (1 + labels.reshape(-1, 1, 1, 1))


def test_autoguidance_of_scale_one_is_the_very_same_denoiser():
    denoiser = Recorder()
    assert autoguidance(denoiser, worse, 1.0) is denoiser


@pytest.mark.parametrize("scale", [0.0, 0.5, 2.0, 3.5])
def test_autoguidance_is_linear_between_the_two_and_beyond(scale):
    sigma = levels(0.5)
    good, bad = Recorder()(X, sigma, LABELS), worse(X, sigma, LABELS)
    guided = autoguidance(Recorder(), worse, scale)(X, sigma, LABELS)
    torch.testing.assert_close(guided, bad + scale * (good - bad), rtol=1e-12, atol=1e-12)


def test_autoguidance_gives_both_the_labels_and_needs_no_null_label():
    denoiser, guide = Recorder(), Recorder()
    autoguidance(denoiser, guide, 2.0)(X, levels(0.5), LABELS)
    for model in (denoiser, guide):
        ((x, _, labels),) = model.calls
        assert torch.equal(x, X)
        assert torch.equal(labels, LABELS)


def test_autoguidance_by_itself_changes_nothing():
    guided = autoguidance(Recorder(), Recorder(), 3.0)(X, levels(0.5), LABELS)
    torch.testing.assert_close(guided, estimates(0.5)[0], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("sigma", [0.05, 0.1, 2.0001])
def test_outside_the_interval_the_guide_is_not_asked(sigma):
    guide = Recorder()
    guided = autoguidance(Recorder(), guide, 3.0, interval=(0.1, 2.0))(X, levels(sigma), LABELS)
    assert not guide.calls
    assert torch.equal(guided, estimates(sigma)[0])
