"""The Trainer's own switches, each for one real step or two, and exact resume."""

from __future__ import annotations

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.diffusion.preconditioning import EDM, Preconditioner
from lightning_modules.ema.callback import EMA
from lightning_modules.module import AdamWSettings
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import (
    KINDS,
    EachStep,
    Memory,
    assert_bitwise_equal,
    batches,
    data,
    fit,
    load,
    module,
    randomize,
    weights,
    without_trainer,
)

every_kind = pytest.mark.parametrize("kind", KINDS)


class Gradients(Callback):
    """The gradients with which the optimizer stepped, clipped if they were, by step."""

    def __init__(self) -> None:
        self.steps: list[dict[str, torch.Tensor]] = []
        self.images: list[torch.Tensor] = []

    def on_train_start(self, trainer, pl_module):
        def note(*_):
            self.steps.append({n: p.grad.clone() for n, p in pl_module.named_parameters()})

        trainer.optimizers[0].register_step_post_hook(note)

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.images.append(batch.images)


class Dtypes(Callback):
    """What the layers inside compute in, and what the denoiser returns."""

    def on_train_start(self, trainer, pl_module):
        self.inside: set[torch.dtype] = set()
        self.denoised: set[torch.dtype] = set()
        for layer in pl_module.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                layer.register_forward_hook(lambda *a: self.inside.add(a[-1].dtype))
        inner = Preconditioner.denoise

        def denoise(*args):
            result = inner(EDM(), *args)
            self.denoised.add(result.dtype)
            return result

        object.__setattr__(pl_module.preconditioner, "denoise", denoise)


def train_by(precision: str, kind: str, image_folder, folder):
    logger, dtypes = Memory(), Dtypes()
    model = randomize(module(kind, preconditioner=EDM()))
    before = weights(model)
    options = {"max_steps": 2, "precision": precision, "logger": logger, "log_every_n_steps": 1}
    run = fit(folder, model, data(image_folder), [dtypes], **options, gradient_clip_val=1.0)
    moved = [name for name, value in weights(model).items() if not torch.equal(value, before[name])]
    assert moved == list(before)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    losses = torch.tensor(list(logger.metrics["loss"].values()))
    assert len(losses) == 2
    assert losses.isfinite().all()
    return run, dtypes, losses


@every_kind
def test_single_precision(image_folder, tmp_path, kind):
    run, dtypes, _ = train_by("32-true", kind, image_folder, tmp_path)
    assert run.precision == "32-true"
    assert dtypes.inside == dtypes.denoised == {torch.float32}


@every_kind
def test_bfloat16_runs_the_layers_in_half_and_mixes_in_single(image_folder, tmp_path, kind):
    _, _, expected = train_by("32-true", kind, image_folder, tmp_path / "single")
    run, dtypes, losses = train_by("bf16-mixed", kind, image_folder, tmp_path / "half")
    assert run.precision == "bf16-mixed"
    assert dtypes.inside == {torch.bfloat16}
    assert dtypes.denoised == {torch.float32}
    torch.testing.assert_close(losses, expected, rtol=0.05, atol=0.05)


@every_kind
def test_float16_falls_back_to_bfloat16_on_the_cpu_and_says_so(image_folder, tmp_path, kind):
    with pytest.warns(UserWarning, match="bf16-mixed"):
        run, dtypes, _ = train_by("16-mixed", kind, image_folder, tmp_path)
    assert run.precision == "bf16-mixed"
    assert dtypes.inside == {torch.bfloat16}


@pytest.mark.parametrize(("precision", "fused"), [("16-mixed", False), ("32-true", True)])
def test_the_optimiser_leaves_unscaling_to_the_scaler(precision, fused):
    model = without_trainer(module())
    model.trainer.precision = precision
    assert model.configure_optimizers().defaults["fused"] is fused


@every_kind
@pytest.mark.parametrize("accumulation", [1, 2])
def test_clipping_caps_the_norm_that_is_applied(image_folder, tmp_path, kind, accumulation):
    def norms(name, **options):
        gradients = Gradients()
        options |= {"max_steps": 2, "accumulate_grad_batches": accumulation}
        fit(tmp_path / name, randomize(module(kind)), data(image_folder), [gradients], **options)
        flat = [torch.cat([g.flatten() for g in step.values()]) for step in gradients.steps]
        assert len(flat) == 2
        return flat

    free, clipped = norms("free"), norms("clipped", gradient_clip_val=0.01)
    assert free[0].norm() > 0.05
    assert [g.norm().item() for g in clipped] == pytest.approx([0.01, 0.01], rel=1e-3)
    torch.testing.assert_close(clipped[0], 0.01 * free[0] / free[0].norm(), rtol=1e-3, atol=1e-6)


@every_kind
def test_accumulation_sees_the_images_of_the_large_batch(image_folder, tmp_path, kind):
    def run(name, batch_size, accumulation):
        gradients = Gradients()
        images = data(image_folder, batch_size=batch_size)
        options = {"max_steps": 3, "accumulate_grad_batches": accumulation}
        result = fit(tmp_path / name, module(kind), images, [gradients], **options)
        assert result.global_step == len(gradients.steps) == 3
        return torch.cat(gradients.images)

    assert torch.equal(run("whole", 8, 1), run("split", 4, 2))


@every_kind
def test_accumulation_steps_with_the_mean_gradient_of_its_micro_batches(image_folder, tmp_path, kind):
    gradients = Gradients()
    options = {"max_steps": 1, "accumulate_grad_batches": 3}
    fit(tmp_path, randomize(module(kind)), data(image_folder), [gradients], **options)
    model = without_trainer(randomize(module(kind)), step=0, accumulation=3)
    losses = [model.training_step(b, i)["loss"] for i, b in enumerate(batches(data(image_folder), 3))]
    assert len({loss.item() for loss in losses}) == 3
    torch.stack(losses).mean().backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(gradients.steps[0][name], parameter.grad, rtol=1e-3, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@every_kind
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_resumed_run_ends_with_the_very_weights_of_an_uninterrupted_one(
    image_folder, tmp_path, kind, accumulation
):
    """With dropout, label dropout, EMA, warm-up, cooldown, clipping, validation and grids on the way."""

    def run(name, start, ckpt_path=None):
        torch.manual_seed(start)
        model = module(kind, dropout=0.3, optimizer=AdamWSettings(3e-3))
        grid = SampleGrid(2, rows=1, columns=2, sampling=Sampling("ancestral", steps=2))
        callbacks = [LearningRate(2, 2), EMA(0.8), StepSeed(), grid, StepCheckpoint(3, keep_last=9)]
        options = {"max_steps": 7, "accumulate_grad_batches": accumulation, "gradient_clip_val": 1.0}
        losses = EachStep(lambda run, _: run.callback_metrics["loss"].item())
        images = data(image_folder)
        callbacks.append(losses)
        fit(tmp_path / name, model, images, callbacks, ckpt_path, val_check_interval=2, **options)
        return tmp_path / name / "checkpoints", losses.seen

    straight, losses = run("straight", 1)
    resumed, later = run("resumed", 2, straight / "step=00000003.ckpt")
    assert [later[step] for step in (4, 5, 6, 7)] == [losses[step] for step in (4, 5, 6, 7)]
    one, other = (load(folder / "step=00000007.ckpt") for folder in (straight, resumed))
    for part in ("current_model_state", "state_dict"):
        assert_bitwise_equal(one[part], other[part])
    moments = [checkpoint["optimizer_states"][0]["state"] for checkpoint in (one, other)]
    assert moments[0].keys() == moments[1].keys()
    for index in moments[0]:
        assert_bitwise_equal(moments[0][index], moments[1][index])
    picture = "samples/step=00000007.png"
    assert (tmp_path / "straight" / picture).read_bytes() == (tmp_path / "resumed" / picture).read_bytes()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's compiler itself
@every_kind
def test_a_compiled_network_gives_the_same_losses(image_folder, tmp_path, kind):
    def losses(name, **options):
        logger, model = Memory(), randomize(module(kind, **options))
        compiled = []
        note = EachStep(lambda _, m: compiled.append(m.network._compiled_call_impl is not None))
        fit(
            tmp_path / name,
            model,
            data(image_folder),
            [note],
            max_steps=2,
            logger=logger,
            log_every_n_steps=1,
        )
        return compiled, torch.tensor(list(logger.metrics["loss"].values()))

    small = {"dit": {"depth": 1}, "unet": {"channels": (8,), "attention": ()}}[kind]  # the compiler is slow
    plain, expected = losses("eager", **small)
    compiled, actual = losses("compiled", **small, compile=True)
    assert not any(plain)
    assert all(compiled)
    torch.testing.assert_close(actual, expected, rtol=1e-3, atol=1e-4)
