from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.callbacks.base import StepCallback, diffusion_module
from lightning_modules.callbacks.rehearsal import rehearse_drawing
from lightning_modules.callbacks.telemetry import between_steps, write_picture
from lightning_modules.ema.callback import averaged_weights
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.captions import class_captions
from lightning_modules.pictures.images import save_png, to_uint8
from lightning_modules.pictures.sheets import Sheet
from lightning_modules.sampling.settings import Sampling
from lightning_modules.sampling.stored import SAMPLING
from lightning_modules.utils.lightning_internals import is_fast_dev_run
from lightning_modules.utils.ranges import Rule, at_least, check_ranges

logger = logging.getLogger(__name__)

_MOST = 4096


class SampleGrid(StepCallback):
    """Draw the same noise and the same labels again and again, so that the pictures can be compared.

    Writes `samples/step=00012000.png` in the run directory and an image to TensorBoard, drawn with the
    averaged weights. A column is a class, the classes in order, as many as there are columns; their names
    stand above.

    Args:
        every_n_steps: Optimizer steps between grids; one more is drawn at the end. 0 draws none.
        rows: Images per column.
        columns: Images per row.
        sampling: Sampler, steps, guidance.
        seed: Seed of the fixed noise.

    Raises:
        ValueError: If a setting is out of its range.

    Attributes:
        run_directory: Where `samples/` lies; None takes the logger's directory, or the Trainer's.
    """

    def __init__(
        self,
        every_n_steps: int = 500,
        rows: int = 4,
        columns: int = 8,
        sampling: Sampling = Sampling(),
        seed: int = 0,
    ) -> None:
        check_ranges(
            at_least("sample_grid.every_n_steps", every_n_steps, 0),
            at_least("sample_grid.rows", rows, 1),
            at_least("sample_grid.columns", columns, 1),
            Rule(
                "sample_grid.rows x columns",
                rows * columns,
                rows * columns <= _MOST,
                f"at most {_MOST:,} images",
            ),
            at_least("sample_grid.seed", seed, 0),
        )
        self.every_n_steps = every_n_steps
        self.rows = rows
        self.columns = columns
        self.sampling = sampling
        self.seed = seed
        self.run_directory: Path | None = None
        self._last_drawn = -1
        self._folder: Path | str | None = None

    def rehearse(self, module: DiffusionModule, data: object) -> None:
        """Draw two tiny images with a stand-in for the network.

        Raises:
            ValueError: If the settings draw none.
        """
        if self.every_n_steps:
            rehearse_drawing(self.sampling, "sample_grid", self.seed)

    def labels(self, num_classes: int) -> Tensor:
        """Return the grid's labels, (rows * columns,), row by row."""
        return (torch.arange(self.columns) % num_classes).repeat(self.rows)

    def sheet(self, class_names: Sequence[str], step: int) -> Sheet:
        """Return how the grid is laid out, and its text."""
        title, count = f"step {step:,}", len(class_names)
        if count > self.columns > 0:
            title += f" · {self.columns:,} of {count:,} classes"
        names = class_captions(class_names, (column % count for column in range(self.columns)))
        return Sheet(self.columns, title, names)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the run directory here, where all processes do: Lightning broadcasts the answer."""
        self._folder = self.run_directory or trainer.log_dir

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note how the model is to be drawn from, so that its checkpoint alone says so."""
        checkpoint[SAMPLING] = self.sampling.to_dict()

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Draw the grid when a step that is due has just ended."""
        if self.every_n_steps and step % self.every_n_steps == 0:
            self._draw(trainer, module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the grid at the end of training."""
        if self.every_n_steps:
            self._draw(trainer, diffusion_module(pl_module))

    def _draw(self, trainer: Trainer, module: DiffusionModule) -> None:
        step = trainer.global_step
        if step == self._last_drawn or is_fast_dev_run(trainer) or not trainer.is_global_zero:
            return
        self._last_drawn = step
        try:
            self._show(trainer, module, step)
        except OSError as error:
            logger.error("Training goes on without the pictures of step %d: %s", step, error)

    def _show(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        with averaged_weights(trainer, module), between_steps(trainer):
            images = module.sample(self.labels(module.num_classes), self.sampling, self.seed)
        grid = self.sheet(module.class_names, step).draw(to_uint8(images))
        if self._folder is not None:
            path = Path(self._folder) / "samples" / f"step={step:08d}.png"
            save_png(grid, path)
        write_picture(trainer, "samples", grid, step)
