from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, cast

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor

from lightning_modules.ema.post_hoc import KEY
from lightning_modules.ema.profiles import exponent_of, newest_share
from lightning_modules.utils.lightning_internals import (
    average_of,
    callback_of,
    make_average_on,
    step_of_average,
    swap_average,
)
from lightning_modules.utils.torch_internals import lerp_together


class EMA(WeightAveraging):
    """Averages of the weights: the main one, which is validated, sampled and saved first, and others.

    The main average is exponential with a decay that warms up: at step `n` it is
    `min(decay, (1 + n) / (10 + n))`, so that early averages forget the random initialization instead of
    keeping it. Or it is a power-function average (Karras et al. 2024, "Analyzing and Improving the Training
    Dynamics of Diffusion Models", equation 2), whose memory is a fixed share of the steps taken: it needs no
    warm-up, and the same length suits a run of any number of steps. The other averages are of this kind;
    from them any other length can be had after the run (`--weights ema=0.15`).

    Lightning's `WeightAveraging` validates with the main average, saves it as the checkpoint's `state_dict`
    with the raw weights, and leaves it in the module at the end. Every other average adds a
    copy of the parameters to the training device's memory and to each checkpoint.

    Args:
        decay: The main average's decay once warm, a memory of `1 / (1 - decay)` steps; None gives way to
            `length`.
        length: The main average's standard deviation as a share of the steps taken, sigma_rel, above 0 and at
            most 0.2886; 0.05 to 0.15 are usual. It takes the place of `decay`, which is then null.
        lengths: Relative lengths of averages that are kept as well, such as [0.05, 0.1].
    """

    def __init__(
        self, decay: float | None = 0.999, length: float | None = None, lengths: tuple[float, ...] = ()
    ) -> None:
        if decay is not None and length is not None:
            raise ValueError(
                "ema: decay and length are two kinds of average. With a length, decay is null: "
                f"--ema.decay null --ema.length {length}."
            )
        if decay is None and length is None:
            raise ValueError("ema: one of decay and length is given, not neither.")
        if decay is not None and not 0 <= decay < 1:
            raise ValueError(f"ema: decay is in [0, 1), not {decay}.")
        super().__init__(use_buffers=False, multi_avg_fn=self._update)
        self.decay, self.length, self.lengths = decay, length, lengths
        every = [float(each) for each in (*lengths, *([length] if length is not None else []))]
        if len(set(every)) < len(every):
            raise ValueError(
                f"ema: the lengths differ from one another and from the main one, unlike {every}."
            )
        try:
            self._exponents = {each: exponent_of(each) for each in every}
        except ValueError as error:
            raise ValueError(f"ema: {error}.") from error
        self._main_exponent = 0.0 if length is None else self._exponents[float(length)]
        self._others: dict[float, dict[str, Tensor]] = {}
        self._began = dict.fromkeys(every, 0)
        self._step = 0

    def decay_at(self, step: int) -> float:
        """Return the main average's decay in the update that follows optimizer step `step`, counted from 0.

        The very first update copies the weights for any decay.
        """
        if self.decay is None:
            return 1 - newest_share(self._main_exponent, step + 1)
        return min(self.decay, (1 + step) / (10 + step))

    def check_guide(self, length: float | None, section: str) -> None:
        """Refuse a section's sampling that guides by an average of a length that is not kept.

        Raises:
            ValueError: With what to add.
        """
        if length is not None and length not in self.lengths:
            kept = ",".join(f"{each:g}" for each in sorted({*self.lengths, length}))
            raise ValueError(
                f"{section}.sampling.guide_length {length:g} is not in ema.lengths {list(self.lengths)}: "
                f"add it there (--ema.lengths [{kept}]), or take the guidance away "
                f"(--{section}.sampling.guidance 1)."
            )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the averages on the device that training runs on; the module itself is still on the CPU."""
        device = make_average_on(self, trainer.strategy.root_device)
        super().setup(trainer, pl_module, stage)
        if stage == "fit":
            average = average_of(self)
            assert average is not None
            # torch reads this counter twice in every update: on the device, that would wait for the step.
            average.n_averaged = torch.zeros((), dtype=torch.long)
            self._others = {
                float(length): {
                    name: parameter.detach().to(device, copy=True)
                    for name, parameter in pl_module.named_parameters()
                }
                for length in self.lengths
            }
            # The same tensors, which every step updates.
            cast(Any, pl_module).ema = self._others

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Update after every optimizer step, and note which one it is."""
        if step_idx is not None:
            self._step = step_idx
        return step_idx is not None

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Update all averages, if the micro-batch has ended an optimizer step."""
        before = step_of_average(self)
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)
        if step_of_average(self) != before:
            self._update_others(pl_module)

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Add the power-function averages. The main one shares its memory with the `state_dict`."""
        super().on_save_checkpoint(trainer, pl_module, checkpoint)
        if average_of(self) is None or not self._exponents:
            return
        averages = dict(self._others)
        if self.length is not None:
            names = dict(pl_module.named_parameters())
            averages[float(self.length)] = {name: checkpoint["state_dict"][name] for name in names}
        checkpoint[KEY] = {
            str(length): {"began": self._began[length], "weights": weights}
            for length, weights in averages.items()
        }

    def on_load_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Take all averages up again. One that is not there begins with the raw weights."""
        super().on_load_checkpoint(trainer, pl_module, checkpoint)
        if average_of(self) is None:
            return
        stored, step = checkpoint.get(KEY, {}), int(checkpoint["global_step"])
        raw = checkpoint.get("current_model_state", checkpoint["state_dict"])
        for length in self._exponents:
            average = stored.get(str(length))
            self._began[length] = step if average is None else int(average["began"])
            if average is None:
                rank_zero_warn(
                    f"The average of length {length:g} begins at step {step}. It is as if it had been kept "
                    f"from the first step once the run is several times as long."
                )
            weights = raw if average is None else average["weights"]
            for name, value in self._others.get(length, {}).items():
                value.copy_(weights[name])
        left = sorted(set(stored) - {str(length) for length in self._exponents})
        if left:
            rank_zero_warn(
                f"The averages of length {', '.join(left)} are not kept any more from step {step} on."
            )

    @contextmanager
    def averaged(self, pl_module: LightningModule) -> Iterator[None]:
        """Run a block with the main average in the module, and put the raw weights back."""
        swap_average(self, pl_module)
        try:
            yield
        finally:
            swap_average(self, pl_module)

    @torch.no_grad()
    def _update(self, averages: Sequence[Tensor], weights: Sequence[Tensor], _count: Tensor) -> None:
        lerp_together(averages, weights, 1 - self.decay_at(self._step))

    @torch.no_grad()
    def _update_others(self, pl_module: LightningModule) -> None:
        weights: list[Tensor] = list(pl_module.parameters())
        for length, average in self._others.items():
            share = newest_share(self._exponents[length], self._step + 1)
            lerp_together(list(average.values()), weights, share)


@contextmanager
def averaged_weights(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Run a block with the averaged weights in the module, if the run keeps an average."""
    ema = callback_of(trainer, EMA)
    if ema is None:
        yield
    else:
        with ema.averaged(pl_module):
            yield
