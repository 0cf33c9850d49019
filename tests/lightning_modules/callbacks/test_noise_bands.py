from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.conditioning.class_labels import ClassLabels
from lightning_modules.diffusion.preconditioning import EDM
from lightning_modules.ema.callback import EMA
from lightning_modules.encoders import RGB
from tests.helpers.tiny import Memory, classes, data, draw, fit, module

EDGES = (0.1, 1.0, 10.0)


class Stub:
    """A module whose denoiser is any function, and that notes what is logged."""

    device, seed, conditioner, encoder = torch.device("cpu"), 0, ClassLabels(), RGB()

    def __init__(self, denoiser=None) -> None:
        self.denoiser = denoiser
        self.logged: dict[str, float] = {}

    def bind(self, condition):
        return self.denoiser

    def log_metrics(self, values, step):
        self.logged |= values

    def save(self):
        pass

    def log_dict(self, values, **_):
        self.logged |= values


def validate(denoiser, images, edges=EDGES, mean_image=None, size=32):
    """Run a validation over the images by batches and return what is logged."""
    mean_image = images.mean(0) if mean_image is None else mean_image
    run = SimpleNamespace(datamodule=SimpleNamespace(mean_image=lambda: mean_image), global_rank=0)
    callback, stub = LossByNoiseLevel(edges), Stub(denoiser)
    callback.on_validation_epoch_start(run, stub)
    for number, batch in enumerate(images.split(size)):
        labels = torch.zeros(len(batch), dtype=torch.int64)
        callback.on_validation_batch_end(run, stub, None, (batch, labels), number)
    callback.on_validation_epoch_end(run, stub)
    return stub.logged


def levels(low: float, high: float, count: int = 32) -> torch.Tensor:
    return low * (high / low) ** ((torch.arange(count, dtype=torch.float64) + 0.5) / count)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Pixels of +-0.5: variance 0.25 about 0."""
    return 0.5 * draw(64, 3, 16, 16).sign()


def test_groups_have_the_names_of_their_bands():
    assert LossByNoiseLevel((0.02, 0.1, 3, 80)).groups == [
        "error_sigma_0.02_to_0.1",
        "error_sigma_0.1_to_3",
        "error_sigma_3_to_80",
    ]


@pytest.mark.parametrize("edges", [(), (1.0,), (1.0, 0.5), (0.0, 1.0), (1.0, 1.0), (-1.0, 1.0)])
def test_edges_ascend_and_are_positive(edges):
    with pytest.raises(ValueError, match="edges"):
        LossByNoiseLevel(edges)


def test_the_identity_has_the_noise_s_variance(images):
    logged = validate(lambda x, sigma: x, images)
    for group, band in zip(LossByNoiseLevel(EDGES).groups, [(0.1, 1.0), (1.0, 10.0)], strict=True):
        expected = levels(*band).square().mean().item()
        assert logged[f"{group}/identity"] == pytest.approx(expected, rel=0.03)
        assert logged[f"{group}/val"] == pytest.approx(logged[f"{group}/identity"], rel=1e-5)


def test_the_constant_has_the_variance_about_the_mean_training_image(images):
    mean = draw(3, 16, 16, seed=1)
    logged = validate(lambda x, sigma: mean.expand_as(x), images, mean_image=mean)
    expected = (images - mean).square().mean().item()
    for group in LossByNoiseLevel(EDGES).groups:
        assert logged[f"{group}/constant"] == pytest.approx(expected, rel=1e-5)
        assert logged[f"{group}/val"] == pytest.approx(expected, rel=1e-5)


def test_an_untrained_denoiser_has_its_closed_form(images):
    """`c_skip x` errs by (sigma sd)^2 / (sigma^2 + sd^2), below the identity and the constant."""
    model = module("unet", image_size=16, preconditioner=EDM())
    logged = validate(model.bind(classes(*[0] * 32)), images)
    for group, band in zip(LossByNoiseLevel(EDGES).groups, [(0.1, 1.0), (1.0, 10.0)], strict=True):
        variance = levels(*band).square()
        expected = (0.25 * variance / (0.25 + variance)).mean().item()
        assert logged[f"{group}/val"] == pytest.approx(expected, rel=0.03)
        assert logged[f"{group}/val"] < logged[f"{group}/identity"]


def test_every_image_counts_once_whatever_the_batches(images):
    def one_image_wrong(x, sigma):
        clean = torch.zeros_like(x)
        clean[0] = 1
        return clean

    zeros = torch.zeros(5, 3, 4, 4)
    logged = validate(one_image_wrong, zeros, size=4)  # batches of 4 and 1, one image off by 1 in each
    assert logged["error_sigma_0.1_to_1/val"] == pytest.approx(2 / 5)
    assert logged["error_sigma_0.1_to_1/constant"] == 0


def test_the_noise_is_the_same_at_every_validation(images):
    first = validate(lambda x, sigma: x, images)
    torch.manual_seed(5)
    assert validate(lambda x, sigma: x, images) == first


def train(callback, stub, step, sigma, error, log_every=1):
    run = SimpleNamespace(
        global_step=step, log_every_n_steps=log_every, loggers=[stub], accumulate_grad_batches=1
    )
    outputs = {"sigma": torch.tensor(sigma), "error": torch.tensor(error)}
    stub.logged.clear()
    callback.on_train_batch_end(run, stub, outputs, None, 0)
    return dict(stub.logged)


def test_training_errors_are_binned_by_their_noise_level():
    callback, stub = LossByNoiseLevel(EDGES), Stub()
    sigma, error = [0.05, 0.2, 0.9, 1.1, 9.0, 11.0], [100.0, 1.0, 3.0, 5.0, 9.0, 100.0]
    assert train(callback, stub, 1, sigma, error) == {
        "error_sigma_0.1_to_1/train": 2,
        "error_sigma_1_to_10/train": 7,
    }


def test_training_errors_are_means_since_the_last_logging():
    callback, stub = LossByNoiseLevel(EDGES), Stub()
    assert train(callback, stub, 1, [0.5], [4.0], log_every=2) == {}
    assert train(callback, stub, 2, [0.5], [6.0], log_every=2) == {"error_sigma_0.1_to_1/train": 5}
    assert train(callback, stub, 3, [0.5], [1.0], log_every=2) == {}
    assert train(callback, stub, 4, [5.0], [7.0], log_every=2) == {
        "error_sigma_0.1_to_1/train": 1,
        "error_sigma_1_to_10/train": 7,
    }


def test_a_band_without_an_image_is_not_logged_with_its_value_of_before(image_folder, tmp_path):
    class Alternating(LossByNoiseLevel):
        def on_train_batch_end(self, trainer, pl_module, output, *args):
            sigma = torch.full_like(output["sigma"], 0.5 if trainer.global_step == 1 else 5.0)
            super().on_train_batch_end(trainer, pl_module, {**output, "sigma": sigma}, *args)

    logger = Memory()
    options = {"max_steps": 3, "log_every_n_steps": 1, "logger": logger}
    fit(tmp_path, module(), data(image_folder), [Alternating(EDGES)], **options)
    assert list(logger.metrics["error_sigma_0.1_to_1/train"]) == [0]
    assert list(logger.metrics["error_sigma_1_to_10/train"]) == [1, 2]


def test_a_resumed_run_logs_the_mean_that_an_undisturbed_one_does():
    undisturbed, killed, resumed = LossByNoiseLevel(EDGES), LossByNoiseLevel(EDGES), LossByNoiseLevel(EDGES)
    for callback in (undisturbed, killed):
        train(callback, Stub(), 1, [0.5, 5.0], [4.0, 2.0], log_every=2)
    resumed.load_state_dict(killed.state_dict())
    expected = train(undisturbed, Stub(), 2, [0.5], [7.0], log_every=2)
    assert train(resumed, Stub(), 2, [0.5], [7.0], log_every=2) == expected
    assert expected["error_sigma_0.1_to_1/train"] == 5.5


def test_sums_of_other_bands_are_not_taken_up():
    callback = LossByNoiseLevel(EDGES)
    train(callback, Stub(), 1, [0.5], [4.0], log_every=2)
    other = LossByNoiseLevel((0.1, 10.0))
    other.load_state_dict(callback.state_dict())
    assert train(other, Stub(), 2, [0.5], [7.0], log_every=2) == {"error_sigma_0.1_to_10/train": 7}


@pytest.mark.parametrize("accumulation", [1, 2])
def test_logged_training_errors_are_those_of_whole_steps(image_folder, tmp_path, accumulation):
    """Every micro-batch since the last logging is in the mean, also where a step has several."""
    logger, outputs = Memory(), []

    class Noting(LossByNoiseLevel):
        def on_train_batch_end(self, trainer, pl_module, output, *args):
            outputs.append(output["error"].mean().item())
            super().on_train_batch_end(trainer, pl_module, output, *args)

    options = {"max_steps": 6, "log_every_n_steps": 2, "accumulate_grad_batches": accumulation}
    fit(tmp_path, module(), data(image_folder), [Noting((1e-6, 1e6))], logger=logger, **options)
    logged = logger.metrics["error_sigma_1e-06_to_1e+06/train"]
    assert sorted(logged) == [1, 3, 5]
    for number, step in enumerate(sorted(logged)):
        mine = outputs[number * 2 * accumulation : (number + 1) * 2 * accumulation]
        assert logged[step] == pytest.approx(sum(mine) / len(mine), rel=1e-4)


def test_val_errors_of_a_run_are_those_of_the_averaged_weights(image_folder, tmp_path):
    logger, model, images = Memory(), module(), data(image_folder)
    options = {"max_steps": 4, "val_check_interval": 4, "logger": logger, "log_every_n_steps": 1}
    fit(tmp_path, model, images, [EMA(0.9), LossByNoiseLevel(EDGES)], **options)
    # After the fit the module holds the averaged weights.
    mean = images.mean_image()
    run = SimpleNamespace(datamodule=SimpleNamespace(mean_image=lambda: mean), global_rank=0)
    callback, stub = LossByNoiseLevel(EDGES), Stub()
    stub.conditioner, stub.bind = model.conditioner, model.bind
    callback.on_validation_epoch_start(run, stub)
    with torch.no_grad():
        for number, batch in enumerate(images.val_dataloader()):
            callback.on_validation_batch_end(
                run, stub, None, images.on_after_batch_transfer(batch, 0), number
            )
    callback.on_validation_epoch_end(run, stub)
    assert len(stub.logged) == 6
    for name, value in stub.logged.items():
        assert list(logger.metrics[name].values()) == [pytest.approx(value, rel=1e-5)]
