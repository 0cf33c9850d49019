from __future__ import annotations

import logging
import time

from lightning.pytorch import LightningModule, Trainer

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.callbacks.run_folder import run_folder
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.callbacks.telemetry import between_steps
from lightning_modules.logs.metrics_table import read_metrics
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.loss_plot import plot_losses
from lightning_modules.run.directory import RunDirectory
from lightning_modules.utils.lightning_internals import callbacks_of

logger = logging.getLogger(__name__)


class LossPlot(StepCallback):
    """Draw the run's losses as `loss.png`: after validations and sample grids, and at the end.

    It is drawn from `metrics.csv`, and so shows the whole run, however often that was continued; without
    that file there is no picture. Plotting takes at most `share` of the time: a plot that would come too
    early is left out.

    Args:
        share: Largest share of the time that is spent on it before the end.
    """

    def __init__(self, share: float = 0.01) -> None:
        self.share = share
        self._not_before = 0.0

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw what was just measured."""
        if not trainer.sanity_checking:
            self._draw(trainer)

    def on_step_start(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Draw after a step with a sample grid, when all of the step is logged."""
        if step and _has_grid(trainer, step):
            self._draw(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw the whole run."""
        self._not_before = 0.0
        self._draw(trainer)

    def _draw(self, trainer: Trainer) -> None:
        folder, began = run_folder(trainer), time.monotonic()
        if folder is None or began < self._not_before:
            return
        run = RunDirectory(folder)
        try:
            with between_steps(trainer):
                plot_losses(read_metrics(run.metrics), run.loss_plot)
        except OSError as error:
            logger.error("Training goes on without %s: %s", run.loss_plot, error)
        self._not_before = began + (time.monotonic() - began) / self.share


def _has_grid(trainer: Trainer, step: int) -> bool:
    grids = callbacks_of(trainer, SampleGrid)
    return any(grid.every_n_steps and step % grid.every_n_steps == 0 for grid in grids)
