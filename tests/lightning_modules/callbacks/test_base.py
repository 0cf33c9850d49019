from __future__ import annotations

import pytest

from lightning_modules.callbacks.base import StepCallback
from tests.helpers.tiny import data, fit, module


class Noting(StepCallback):
    """Notes its hooks with what they are given."""

    def __init__(self) -> None:
        self.calls: list[tuple] = []

    def on_step_start(self, trainer, module, step):
        self.calls.append(("step starts", step))

    def on_micro_batch_start(self, trainer, module, batch, batch_idx):
        self.calls.append(("micro-batch starts", batch_idx, len(batch[0])))

    def on_micro_batch_end(self, trainer, module, batch, outputs):
        self.calls.append(("micro-batch ends", sorted(outputs)))

    def on_step_end(self, trainer, module, step):
        self.calls.append(("step ends", step))


@pytest.mark.parametrize("accumulation", [1, 2])
def test_hooks_come_in_order_and_count_steps(image_folder, tmp_path, accumulation):
    noting, images = Noting(), data(image_folder)
    fit(tmp_path, module(), images, [noting], max_steps=2, accumulate_grad_batches=accumulation)
    expected: list[tuple] = []
    for step in range(2):
        expected.append(("step starts", step))
        for number in range(step * accumulation, (step + 1) * accumulation):
            expected.append(("micro-batch starts", number, images.batch_size))
            expected.append(("micro-batch ends", ["error", "loss", "sigma"]))
        expected.append(("step ends", step + 1))
    assert noting.calls == expected


def test_a_subclass_overrides_what_it_needs(image_folder, tmp_path):
    fit(tmp_path, module(), data(image_folder), [StepCallback()], max_steps=1)
