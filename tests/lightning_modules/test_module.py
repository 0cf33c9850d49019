from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lightning_modules.conditioning.class_labels import ClassCondition, ClassLabels
from lightning_modules.diffusion.noise_levels import LogNormal
from lightning_modules.diffusion.preconditioning import EDM, Eps, FlowVelocity, FlowX, V
from lightning_modules.diffusion.weighting import UniformWeighting
from lightning_modules.models import DiTDiffusion, UNetDiffusion
from lightning_modules.module import AdamWSettings, DiffusionModule
from lightning_modules.networks.config import NetworkConfig
from lightning_modules.networks.dit import DiTConfig
from lightning_modules.networks.unet import UNetConfig
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import KINDS, classes, data, draw, fit, module, randomize, without_trainer

ASKED = classes(0, 1, 2, 0)
every_kind = pytest.mark.parametrize("kind", KINDS)


def batch(count: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    return draw(count, 3, 8, 8, seed=seed).clamp(-1, 1), torch.arange(count) % 2


class Noter(nn.Module):
    """A network that predicts 0 and notes the labels that it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(()))
        self.labels: list[Tensor] = []

    def forward(self, x: Tensor, noise_level: Tensor, condition: ClassCondition) -> Tensor:
        self.labels.append(condition.labels)
        return x * self.scale


class NoterConfig(NetworkConfig):
    """The shape of a `Noter`: it has none."""

    def build(self, *_: object) -> Noter:
        return Noter()


def noting(cond_dropout: float = 0.0, seed: int = 0) -> DiffusionModule:
    settings = {"preconditioner": EDM(), "noise_levels": LogNormal(), "cond_dropout": cond_dropout}
    return DiffusionModule(8, ("a", "b", "c"), network=NoterConfig(), seed=seed, **settings)


def coarse(width: int) -> DiTConfig:
    """Patches of 768 values."""
    return DiTConfig(patch_size=16, width=width, depth=1, heads=4)


@pytest.mark.parametrize("preconditioner", [EDM(), V(), Eps(), FlowVelocity()], ids=repr)
def test_noise_through_a_bottleneck_is_refused(preconditioner):
    """16 * 16 * 3 = 768 values through 384 channels: the rest of the noise could never be removed."""
    with pytest.raises(ValueError, match=r"\b768\b.*\b384\b.*\b384\b.*network\.width"):
        DiTDiffusion(32, coarse(384), preconditioner)
    DiTDiffusion(32, coarse(768), preconditioner)


def test_clean_images_through_a_bottleneck_are_allowed():
    DiTDiffusion(32, coarse(384), FlowX())


@pytest.mark.parametrize("preconditioner", [EDM(), V(), Eps(), FlowVelocity()], ids=repr)
def test_noise_through_a_folded_bottleneck_is_refused(preconditioner):
    """`unshuffle` 8 squeezes 192 values of each place through 16 channels: the trap of too wide a patch."""
    with pytest.raises(ValueError, match="192"):
        UNetDiffusion(16, UNetConfig(channels=(16,), blocks=1, unshuffle=8), preconditioner)


@every_kind
def test_forward_is_the_preconditioned_network(kind):
    model = randomize(module(kind))
    x, sigma = draw(4, 3, 8, 8), torch.tensor([0.01, 0.5, 3.0, 80.0])
    c = model.preconditioner.coefficients(sigma)
    expected = c.c_skip * x + c.c_out * model.network(c.c_in * x, sigma.log() / 4, ASKED)
    torch.testing.assert_close(model(x, sigma, ASKED), expected)


def test_published_defaults():
    assert module("dit").preconditioner == FlowX()
    assert module("unet").preconditioner == EDM()
    assert module("unet").weighting == EDM().default_weighting()
    assert module("dit", weighting=UniformWeighting()).weighting == UniformWeighting()


@every_kind
def test_the_network_holds_the_embedding_of_the_classes(kind):
    assert module(kind).conditioner == ClassLabels(("a", "b"))
    assert module(kind, class_names=("images",)).network.condition.embedding is None
    assert module(kind).network.condition.embedding.table.num_embeddings == 3


@every_kind
def test_untrained_loss_is_one(kind):
    """`c_skip x` has the error (sigma sd)^2 / (sigma^2 + sd^2) on data of variance sd^2: times lambda, 1."""
    model = without_trainer(module(kind, preconditioner=EDM()))
    images = 0.5 * draw(64, 3, 8, 8).sign()
    output = model.training_step((images, torch.zeros(64, dtype=torch.int64)), 0)
    variance = output["sigma"] ** 2
    assert output["loss"].item() == pytest.approx(1, abs=0.05)
    ratio = output["error"] / (0.25 * variance / (0.25 + variance))
    assert ratio.mean().item() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize(("kind", "rate", "options"), [("dit", 5e-3, {"width": 32}), ("unet", 1e-2, {})])
def test_overfits_one_batch_far_below_the_constant_baseline(kind, rate, options):
    options |= {"class_names": ("a", "b", "c", "d"), "cond_dropout": 0.0, "preconditioner": EDM()}
    model = without_trainer(module(kind, noise_levels=LogNormal(0.5, 0.8), **options))
    images, labels = batch()[0] / 2, torch.arange(4)
    optimizer = torch.optim.AdamW(model.parameters(), rate, betas=(0.9, 0.99))
    for step in range(170):
        model.trainer.global_step = step
        loss = model.training_step((images, labels), 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    constant = (images - images.mean(0)).square().mean()
    sigma, noise = torch.full((4,), 2.0), draw(4, 3, 8, 8, seed=9)
    with torch.no_grad():
        error = (model(images + 2 * noise, sigma, ClassCondition(labels)) - images).square().mean()
    assert error < 0.2 * constant


@pytest.mark.parametrize("rate", [0.0, 0.25, 1.0])
def test_labels_are_dropped_at_the_asked_rate(rate):
    model = without_trainer(noting(cond_dropout=rate))
    images, labels = torch.zeros(4000, 3, 1, 1), torch.arange(4000) % 3
    model.training_step((images, labels), 0)
    (seen,) = model.network.labels
    dropped = seen == 3
    assert torch.equal(seen[~dropped], labels[~dropped])
    assert dropped.float().mean().item() == pytest.approx(rate, abs=0.03)
    assert labels.max() == 2  # the batch's own labels are left alone


def test_other_labels_are_dropped_at_other_steps():
    model = noting(cond_dropout=0.5)
    for step in (0, 1):
        without_trainer(model, step).training_step((torch.zeros(64, 3, 1, 1), torch.zeros(64).long()), 0)
    assert not torch.equal(*model.network.labels)


@every_kind
def test_training_step_is_a_pure_function_of_weights_seed_and_step(kind):
    model = randomize(module(kind, cond_dropout=0.5))

    def step(number: int, global_seed: int, model: DiffusionModule = model) -> dict[str, Tensor]:
        torch.manual_seed(global_seed)
        return without_trainer(model, number).training_step(batch(), number)

    first, again, later = step(3, 0), step(3, 1), step(4, 0)
    assert all(torch.equal(first[name], again[name]) for name in ("loss", "error", "sigma"))
    assert not torch.equal(first["sigma"], later["sigma"])
    other_seed = randomize(module(kind, cond_dropout=0.5, seed=1))
    assert not torch.equal(first["sigma"], step(3, 0, other_seed)["sigma"])
    before = torch.get_rng_state()
    without_trainer(model, 3).training_step(batch(), 3)
    assert torch.equal(torch.get_rng_state(), before)


def test_training_step_returns_unweighted_errors_and_no_graph():
    output = without_trainer(module("unet")).training_step(batch(), 0)
    expected = (module("unet").weighting(output["sigma"]) * output["error"]).mean()
    torch.testing.assert_close(output["loss"], expected)
    assert output["loss"].requires_grad
    assert not output["error"].requires_grad


def test_ranks_draw_different_noise():
    model = without_trainer(module())
    first = model.training_step(batch(), 0)["sigma"]
    model.trainer.global_rank = 1
    assert not torch.equal(first, model.training_step(batch(), 0)["sigma"])


@pytest.mark.parametrize("accumulation", [1, 2, 3])
def test_batches_are_numbered_without_gap_or_repeat(accumulation):
    model = module()
    places = [without_trainer(model, index // accumulation, accumulation).place(index) for index in range(12)]
    assert places == [(number, 0) for number in range(12)]


@every_kind
def test_validation_loss_is_the_same_again(kind):
    model = randomize(module(kind))
    logged: list[dict[str, Tensor]] = []
    for step, index in [(0, 0), (7, 0), (0, 1)]:
        without_trainer(model, step)
        model.log = lambda name, value, **_: logged.append({name: value})
        torch.manual_seed(step)
        model.validation_step(batch(), index)
    assert logged[0]["loss/val"] == logged[1]["loss/val"]
    assert logged[0]["loss/val"] != logged[2]["loss/val"]


@every_kind
@pytest.mark.parametrize("sampler", ["dpmpp_2m", "ancestral"])
def test_an_image_does_not_depend_on_its_batch(kind, sampler):
    model = randomize(module(kind))
    settings = Sampling(sampler, steps=3, guidance=2.0)
    together = sample(model, ASKED, settings, seed=5)
    assert together.shape == (4, 3, 8, 8)
    assert torch.pdist(together.flatten(1)).min() > 0.1
    for i in range(4):
        alone = sample(model, ASKED[i : i + 1], settings, seed=5, indices=[i])
        torch.testing.assert_close(alone[0], together[i], rtol=1e-4, atol=1e-4)
    backwards = sample(model, classes(0, 2, 1, 0), settings, seed=5, indices=[3, 2, 1, 0])
    torch.testing.assert_close(backwards.flip(0), together, rtol=1e-4, atol=1e-4)


def test_sampling_is_repeatable_and_seeded():
    model, settings = randomize(module()), Sampling(steps=2)
    torch.manual_seed(1)
    first = sample(model, ASKED, settings)
    torch.manual_seed(2)
    assert torch.equal(sample(model, ASKED, settings), first)
    assert not torch.equal(sample(model, ASKED, settings, seed=1), first)


@pytest.mark.parametrize("training", [True, False])
def test_sampling_leaves_the_mode_and_has_no_graph(training):
    model = randomize(module(dropout=0.5)).train(training)
    images = sample(model, ASKED, Sampling(steps=2))
    assert model.training is model.network.training is training
    assert not images.requires_grad
    assert torch.equal(images, sample(model, ASKED, Sampling(steps=2)))  # dropout was off
    with pytest.raises(IndexError):
        sample(model, classes(99), Sampling(steps=2))
    assert model.training is training


def test_guidance_of_one_is_none_and_more_is_not():
    model = randomize(module())

    def at(guidance: float, **options) -> Tensor:
        return sample(model, ASKED, Sampling(steps=2, guidance=guidance, **options))

    plain = at(1.0)
    torch.testing.assert_close(at(1.0 + 1e-6), plain, rtol=1e-3, atol=1e-3)
    assert not torch.allclose(at(3.0), plain, atol=0.1)
    assert torch.equal(at(3.0, guidance_interval=(200.0, 300.0)), plain)


def test_other_class_names_than_the_data_s_are_refused(image_folder, tmp_path):
    with pytest.raises(ValueError, match=r": a, b;.*: b, a"):
        fit(tmp_path, module(class_names=("b", "a")), data(image_folder), max_steps=1)


def test_without_a_data_module_the_classes_are_not_compared():
    without_trainer(module()).setup("fit")


def test_the_optimiser_has_the_settings():
    settings = AdamWSettings(0.5, (0.7, 0.8), 0.3, 1e-6)
    model = without_trainer(module(optimizer=settings))
    model.trainer.precision = "32-true"
    optimizer = model.configure_optimizers()
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.3, 0.0]
    for group in optimizer.param_groups:
        assert (group["lr"], group["betas"], group["eps"]) == (0.5, (0.7, 0.8), 1e-6)
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(model.parameters()))
