from __future__ import annotations

import math

import pytest
import torch
from lightning.pytorch import Callback
from torch import nn
from torch.optim.swa_utils import AveragedModel

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.ema.callback import EMA, averaged_weights
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import (
    KINDS,
    EachStep,
    assert_bitwise_equal,
    data,
    draw,
    fit,
    load,
    module,
    trainer,
    weights,
)


def averages(ema: EMA) -> dict[str, torch.Tensor]:
    return weights(ema._average_model.module)


def test_decay_by_hand():
    ema = EMA(0.999)
    assert [ema.decay_at(step) for step in (0, 1, 8, 90)] == [0.1, 2 / 11, 0.5, 0.91]
    assert ema.decay_at(8990) == pytest.approx(0.999)
    assert ema.decay_at(10**6) == 0.999
    assert EMA(0.0).decay_at(100) == 0


@pytest.mark.parametrize("decay", [-0.1, 1.0, 1.1])
def test_decays_that_forget_nothing_are_refused(decay):
    with pytest.raises(ValueError, match=rf"ema: decay .* {decay}"):
        EMA(decay)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"length": 0.1}, r"--ema\.decay null --ema\.length 0\.1"),
        ({"decay": None}, "decay .*length"),
        ({"lengths": (0.05, 0.1, 0.05)}, r"lengths .*0\.05, 0\.1, 0\.05"),
        ({"decay": None, "length": 0.1, "lengths": (0.05, 0.1)}, r"lengths .*0\.1\b.*0\.1\b"),
        ({"lengths": (0.1, 0.3)}, r"0\.288675.* 0\.3"),
        ({"lengths": (0.0,)}, r"0\.288675.* 0\b"),
        ({"decay": None, "length": -0.1}, r"0\.288675.* -0\.1"),
        ({"decay": None, "length": math.nan}, r"0\.288675.* nan"),
    ],
    ids=str,
)
def test_settings_that_contradict_or_mean_nothing_are_refused(settings, says):
    with pytest.raises(ValueError, match=f"ema: .*{says}"):
        EMA(**settings)


def share_of_the_start(decay: float, updates: int) -> float:
    """What is left in the average of the first weights it saw, when all later ones are 0."""
    ema, model = EMA(decay), nn.Linear(1, 1, bias=False).double()
    average = AveragedModel(model, **{"use_buffers": False, **ema._kwargs})
    for step in range(updates):
        nn.init.constant_(model.weight, 1.0 if step == 0 else 0.0)
        assert ema.should_update(step_idx=step)
        average.update_parameters(model)
    return average.module.weight.item()


@pytest.mark.parametrize("updates", [2, 10, 2000])
def test_the_initial_weights_are_forgotten(updates):
    """The product of (1 + n) / (10 + n); a constant 0.9999 would leave 82 % after 2,000 updates."""
    closed_form = math.prod((1 + n) / (10 + n) for n in range(1, updates))
    share = share_of_the_start(0.9999, updates)
    assert share == pytest.approx(closed_form, rel=1e-9, abs=1e-30)


def test_a_warm_average_has_the_asked_memory():
    assert share_of_the_start(0.5, 12) == pytest.approx(
        math.prod(min(0.5, (1 + n) / (10 + n)) for n in range(1, 12)), rel=1e-9
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("accumulation", [1, 2])
def test_the_average_of_a_real_run_is_the_recursion(image_folder, tmp_path, kind, accumulation):
    ema, raw = EMA(0.6), EachStep(lambda _, model: weights(model))
    options = {"max_steps": 8, "accumulate_grad_batches": accumulation}
    model = module(kind)
    fit(tmp_path, model, data(image_folder), [LearningRate(0), ema, raw, StepCheckpoint(8)], **options)
    assert sorted(raw.seen) == list(range(1, 9))
    saved = load(tmp_path / "checkpoints" / "last.ckpt")
    for name in raw.seen[1]:
        expected = raw.seen[1][name].double()  # the average starts as the first step's weights
        for step in range(1, 8):
            decay = min(0.6, (1 + step) / (10 + step))
            expected = decay * expected + (1 - decay) * raw.seen[step + 1][name].double()
        torch.testing.assert_close(saved["state_dict"][name].double(), expected, rtol=1e-5, atol=1e-6)
    assert any((raw.seen[1][name] != raw.seen[8][name]).any() for name in raw.seen[1])


def power_share(step: int, seen_from: int, gamma: float) -> float:
    """The integral of (gamma + 1) tau^gamma / t^(gamma + 1) over [s - 1, s]."""
    return (step ** (gamma + 1) - (step - 1) ** (gamma + 1)) / seen_from ** (gamma + 1)


@pytest.mark.parametrize("accumulation", [1, 2])
def test_power_function_averages_of_a_real_run_are_the_closed_form(image_folder, tmp_path, accumulation):
    """Gamma 0 is the plain mean, 1 / sqrt(12) long; gamma 1 is sqrt(2) / 6 long, gamma 6 sqrt(7) / 24."""
    lengths = {math.sqrt(2) / 6: 1, math.sqrt(7) / 24: 6, 1 / math.sqrt(12): 0}
    main, *beside = lengths
    ema = EMA(decay=None, length=main, lengths=tuple(beside))
    raw, validated = EachStep(lambda _, model: weights(model)), ValidationWeights()
    options = {"max_steps": 8, "accumulate_grad_batches": accumulation}
    options |= {"val_check_interval": 8 * accumulation, "limit_val_batches": 1}
    model = module()
    callbacks = [LearningRate(0), ema, raw, validated, StepCheckpoint(8)]
    fit(tmp_path, model, data(image_folder), callbacks, **options)
    saved = load(tmp_path / "checkpoints" / "step=00000008.ckpt")
    assert saved["power_averages"].keys() == {str(length) for length in lengths}
    parameters = dict(model.named_parameters())
    for name in parameters:
        for length, gamma in lengths.items():
            shares = {step: power_share(step, 8, gamma) for step in range(1, 9)}
            assert math.fsum(shares.values()) == pytest.approx(1, rel=1e-12)
            expected = sum(share * raw.seen[step][name].double() for step, share in shares.items())
            kept = saved["power_averages"][str(length)]["weights"][name]
            torch.testing.assert_close(kept.double(), expected, rtol=1e-5, atol=1e-6)
        main_kept = saved["power_averages"][str(main)]["weights"][name]
        assert torch.equal(saved["state_dict"][name], main_kept)
        assert torch.equal(validated.during[-1][name], main_kept)
        assert torch.equal(parameters[name], main_kept)
    assert any((raw.seen[1][name] != raw.seen[8][name]).any() for name in parameters)


def test_the_checkpoint_holds_both_and_the_module_ends_with_the_average(image_folder, tmp_path):
    raw, model = EachStep(lambda _, model: weights(model)), module()
    fit(tmp_path, model, data(image_folder), [EMA(0.9), raw, StepCheckpoint(2)], max_steps=4)
    saved = load(tmp_path / "checkpoints" / "step=00000004.ckpt")
    assert_bitwise_equal(saved["current_model_state"], raw.seen[4])
    assert_bitwise_equal(saved["state_dict"], weights(model))
    moved = [n for n in saved["state_dict"] if (saved["state_dict"][n] != raw.seen[4][n]).any()]
    assert len(moved) == len(saved["state_dict"])
    loaded = type(model).load_from_checkpoint(
        tmp_path / "checkpoints" / "step=00000004.ckpt", weights_only=True
    )
    assert_bitwise_equal(weights(loaded), saved["state_dict"])


class ValidationWeights(Callback):
    """The weights in the module before, in and after validation."""

    def __init__(self) -> None:
        self.before, self.during, self.after = [], [], []

    def on_validation_start(self, trainer, pl_module):
        self.before.append(weights(pl_module))

    def on_validation_batch_start(self, trainer, pl_module, *_):
        self.during.append(weights(pl_module))

    def on_validation_end(self, trainer, pl_module):
        self.after.append(weights(pl_module))


def test_validation_uses_the_average_and_puts_the_raw_weights_back(image_folder, tmp_path):
    ema, seen = EMA(0.9), ValidationWeights()
    average = EachStep(lambda *_: averages(ema))
    callbacks = [ema, average, seen]
    options = {"max_steps": 4, "val_check_interval": 2, "limit_val_batches": 1}
    fit(tmp_path, module(), data(image_folder), callbacks, **options)
    assert len(seen.before) == 2
    for i, step in enumerate((2, 4)):
        assert_bitwise_equal(seen.during[i], average.seen[step])
        assert_bitwise_equal(seen.before[i], seen.after[i])
        assert any(not torch.equal(seen.before[i][n], seen.during[i][n]) for n in seen.before[i])


class WithBuffer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(draw(3))
        self.register_buffer("count", torch.tensor([5.0]))


def ready(model: nn.Module) -> EMA:
    """An EMA whose average differs from the model."""
    ema = EMA(0.5)
    ema._average_model = AveragedModel(model, use_buffers=False, multi_avg_fn=ema._update)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    return ema


def test_an_exception_under_the_average_leaves_the_raw_weights():
    model = WithBuffer()
    ema = ready(model)
    raw, average = weights(model), averages(ema)

    def fails() -> None:
        with ema.averaged(model):
            assert torch.equal(model.weight, average["weight"])
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert_bitwise_equal(weights(model), raw)
    assert_bitwise_equal(averages(ema), average)


def test_averaged_weights_of_a_run_with_and_without_an_average(tmp_path):
    model = WithBuffer()
    ema = ready(model)
    raw, average = weights(model), averages(ema)
    with averaged_weights(trainer(tmp_path, [ema]), model):
        assert_bitwise_equal(weights(model), average)
    with averaged_weights(trainer(tmp_path), model):
        assert_bitwise_equal(weights(model), raw)


def test_buffers_are_not_averaged():
    model = WithBuffer()
    ema = ready(model)
    for step, count in enumerate((7.0, 9.0)):
        model.count.fill_(count)
        ema.should_update(step_idx=step)
        ema._average_model.update_parameters(model)
        assert ema._average_model.module.count.item() == count


def test_the_module_has_the_averages_beside_it(image_folder, tmp_path):
    model, ema = module(), EMA(0.9, lengths=(0.1, 0.25))
    fit(tmp_path, model, data(image_folder), [ema], max_steps=3)
    assert model.ema.keys() == {0.1, 0.25}
    for length, kept in ema._others.items():
        assert_bitwise_equal(dict(model.ema[length]), kept)


def test_a_guide_is_one_of_the_lengths():
    ema = EMA(lengths=(0.1,))
    ema.check_guide(Sampling(guidance=3.0, guide_length=0.1).own_guide, "sample_grid")
    ema.check_guide(Sampling(guidance=1.0, guide_length=0.2).own_guide, "sample_grid")
    ema.check_guide(Sampling(guidance=3.0).own_guide, "sample_grid")
    with pytest.raises(ValueError, match=r"evaluation\.sampling\.guide_length 0\.2\b.*ema\.lengths \[0\.1\]"):
        ema.check_guide(Sampling(guidance=3.0, guide_length=0.2).own_guide, "evaluation")


def test_an_update_reads_nothing_from_the_device(tmp_path):
    """On the meta device there are no values, and reading one is an error."""
    model, ema = module(), EMA(0.9, lengths=(0.1,))
    ema._device = torch.device("meta")
    ema.setup(trainer(tmp_path), model, "fit")
    for step in range(3):
        ema.should_update(step_idx=step)
        ema._average_model.update_parameters(model)
    assert int(ema._average_model.n_averaged) == 3


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_resumed_average_goes_on_exactly(image_folder, tmp_path, accumulation):
    def run(name: str, ckpt_path=None):
        callbacks = [LearningRate(2), EMA(0.7), StepCheckpoint(3, keep_last=9)]
        options = {"max_steps": 7, "accumulate_grad_batches": accumulation, "ckpt_path": ckpt_path}
        fit(tmp_path / name, module(), data(image_folder), callbacks, **options)
        return tmp_path / name / "checkpoints"

    straight = run("straight")
    resumed = run("resumed", straight / "step=00000003.ckpt")
    one, other = (load(folder / "step=00000007.ckpt") for folder in (straight, resumed))
    for part in ("state_dict", "current_model_state", "averaging_state"):
        assert_bitwise_equal(one[part], other[part])
