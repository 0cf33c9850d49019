from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer

from lightning_modules.callbacks.base import StepCallback, diffusion_module
from lightning_modules.callbacks.rehearsal import rehearse_sampling
from lightning_modules.callbacks.telemetry import between_steps, write_picture
from lightning_modules.conditioning.conditioner import Conditioner
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.ema.callback import averaged_weights
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.images import save_png
from lightning_modules.pictures.sheets import Sheet
from lightning_modules.run.directory import RunDirectory
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.settings import Sampling
from lightning_modules.sampling.stored import SAMPLING
from lightning_modules.utils.lightning_internals import is_fast_dev_run
from lightning_modules.utils.ranges import Rule, at_least, check_ranges

logger = logging.getLogger(__name__)

_MOST = 4096


class SampleGrid(StepCallback):
    """Sample from the same noise under the same conditions again and again, so that pictures can be compared.

    Writes `samples/step=00012000.png` in the run directory and an image to TensorBoard, sampled with the
    averaged weights. A column is a class, the classes in order, as many as there are columns; their names
    stand above.

    Args:
        every_n_steps: Optimizer steps between grids; one more comes at the end. 0 makes none.
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
        self._last_sampled = -1
        self._folder: Path | str | None = None

    def rehearse(self, module: DiffusionModule, data: object) -> None:
        """Sample two tiny images with a stand-in for the network.

        Raises:
            ValueError: If the settings give none.
        """
        if self.every_n_steps:
            rehearse_sampling(self.sampling, "sample_grid", self.seed)

    def condition(self, conditioner: Conditioner) -> Condition:
        """Return what is asked of the grid's images, row by row."""
        row: Condition = conditioner.every().repeated(self.columns)
        return row.repeated(self.rows * self.columns)

    def sheet(self, conditioner: Conditioner, step: int) -> Sheet:
        """Return how the grid is laid out, and its text."""
        title, every = f"step {step:,}", conditioner.every()
        if len(every) > self.columns > 0:
            title += f" · {self.columns:,} of {len(every):,} classes"
        return Sheet(self.columns, title, conditioner.captions(every.repeated(self.columns)))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Ask for the run directory here, where all processes do: Lightning broadcasts the answer."""
        self._folder = self.run_directory or trainer.log_dir

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Note how the model is to be sampled from, so that its checkpoint alone says so."""
        checkpoint[SAMPLING] = self.sampling.to_dict()

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Sample the grid when a step that is due has just ended."""
        if self.every_n_steps and step % self.every_n_steps == 0:
            self._sample(trainer, module)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Sample the grid at the end of training."""
        if self.every_n_steps:
            self._sample(trainer, diffusion_module(pl_module))

    def _sample(self, trainer: Trainer, module: DiffusionModule) -> None:
        step = trainer.global_step
        if step == self._last_sampled or is_fast_dev_run(trainer) or not trainer.is_global_zero:
            return
        self._last_sampled = step
        try:
            self._show(trainer, module, step)
        except OSError as error:
            logger.error("Training goes on without the pictures of step %d: %s", step, error)

    def _show(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        with averaged_weights(trainer, module), between_steps(trainer):
            images = sample(module, self.condition(module.conditioner), self.sampling, self.seed)
        grid = self.sheet(module.conditioner, step).draw(module.encoder.decode(images))
        if self._folder is not None:
            save_png(grid, RunDirectory(Path(self._folder)).sample_grid(step))
        write_picture(trainer, "samples", grid, step)
