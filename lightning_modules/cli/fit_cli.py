"""The command line of training: LightningCLI, with one complete YAML per experiment."""

from __future__ import annotations

import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI
from lightning.pytorch.loggers import Logger

from datamodules.batches.augmentation import AUGMENTATIONS
from datamodules.image_folder import ImageFolderDataModule
from datamodules.sources.table import SOURCES
from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.evaluation import Evaluation
from lightning_modules.callbacks.hyper_parameters import HyperParameters
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.lives import Lives
from lightning_modules.callbacks.loss_plot import LossPlot
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.progress import StepProgressBar
from lightning_modules.callbacks.rehearsal import rehearse
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.callbacks.spike_guard import SpikeGuard
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.callbacks.telemetry import Telemetry
from lightning_modules.cli.names import as_typed, program
from lightning_modules.cli.parsing.help import DEFAULT_CONFIG, DESCRIPTION, USAGE
from lightning_modules.cli.parsing.monitors import check_monitors
from lightning_modules.cli.parsing.parser import (
    GIVEN,
    HelpFormatter,
    TeachingParser,
    given_names,
    refuse_foreign_code,
    with_config,
)
from lightning_modules.cli.parsing.trainer_flags import check_trainer
from lightning_modules.cli.parsing.trainer_parts import RUN, with_trainer_parts
from lightning_modules.cost.settings import ModalSettings
from lightning_modules.diffusion.tables import NOISE_DISTRIBUTIONS, PRECONDITIONERS, WEIGHTINGS
from lightning_modules.ema.callback import EMA
from lightning_modules.logs.metrics_file import MetricsFile
from lightning_modules.logs.run_logger import RunLogger
from lightning_modules.module import DiffusionModule
from lightning_modules.run.choice import RunRequest, choose_run, continue_run
from lightning_modules.run.data_index import DataIndex
from lightning_modules.run.manifest import run_identity
from lightning_modules.run.names import check_folder_name, experiment_name
from lightning_modules.utils.lightning_internals import callbacks_of, set_callbacks, set_logger_folder

CHOSEN_BY_NAME = {
    "data.source": SOURCES,
    "model.noise_levels": NOISE_DISTRIBUTIONS,
    "model.preconditioner": PRECONDITIONERS,
    "model.weighting": WEIGHTINGS,
}
"""Options that take the bare name of a class, with the tables of those that they take."""

for _path in [path for table in CHOSEN_BY_NAME.values() for path in table.values()]:
    pkgutil.resolve_name(_path)  # jsonargparse knows the bare names of classes that are imported


class FitCLI(LightningCLI):
    """Parse a command line into a trainer, a module and a data module, wired to a run directory.

    Args:
        args: The command line; None takes the process's.
        continued: The run directory, where this process trains in it already.
        extra_callbacks: Further callbacks, behind those of the configuration.
    """

    def __init__(
        self,
        args: Sequence[str] | None = None,
        continued: Path | None = None,
        extra_callbacks: Sequence[Callback] = (),
    ) -> None:
        self._continued = continued
        self._extra_callbacks = list(extra_callbacks)
        given = sys.argv[1:] if args is None else args
        resolved, self.config_name = with_config(with_trainer_parts(given), default=DEFAULT_CONFIG)
        GIVEN.set(given_names(resolved))
        if "--safe" in given:
            refuse_foreign_code(resolved)
        super().__init__(
            DiffusionModule,
            ImageFolderDataModule,
            save_config_callback=HyperParameters,
            save_config_kwargs={"save_to_log_dir": False},
            trainer_defaults={
                "default_root_dir": "runs",
                "check_val_every_n_epoch": None,
                "num_sanity_val_steps": 1,
                "enable_model_summary": False,  # a line says what it would
            },
            seed_everything_default=0,
            parser_kwargs={
                "prog": program("fit"),
                "description": as_typed(DESCRIPTION),
                "usage": f"%(prog)s {USAGE}",
                "formatter_class": HelpFormatter,
                "allow_abbrev": False,
            },
            parser_class=TeachingParser,
            subclass_mode_model=True,
            args=resolved,
            run=False,
            auto_configure_optimizers=False,
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the callbacks as sections of the configuration, and tie together what must agree."""
        parser.add_argument(
            "--fast-dev-run",
            action="store_true",
            help="One batch of training and validation; writes nothing.",
        )
        parser.add_argument(
            "--experiment",
            type=str | None,
            default=None,
            help="Name of the experiment. Default: the config's; with --data.root the folder's, and the "
            "config's behind it unless it is the demo's: my_images, my_images-cats.",
        )
        parser.add_argument(
            "--run",
            type=str | None,
            default=None,
            help="Name of the run to continue or start. Default: the newest one, if it is unfinished.",
        )
        parser.add_argument("--fresh", action="store_true", help="Start another run.")
        parser.add_argument(
            "--allow-mismatch",
            action="store_true",
            help="Continue a run although its model, data, seed or optimizer are not these.",
        )
        parser.add_argument(
            "--safe",
            action="store_true",
            help="Run no code that is neither this project's nor Lightning's, even if a config names some.",
        )
        parser.add_lightning_class_args(LearningRate, "learning_rate")
        parser.add_lightning_class_args(EMA, "ema")
        parser.add_lightning_class_args(StepSeed, "step_seed")
        parser.add_lightning_class_args(LossByNoiseLevel, "loss_by_noise_level")
        parser.add_lightning_class_args(SpikeGuard, "spike_guard")
        parser.add_lightning_class_args(Telemetry, "telemetry")
        parser.add_lightning_class_args(SampleGrid, "sample_grid")
        parser.add_lightning_class_args(Evaluation, "evaluation")
        parser.add_lightning_class_args(StepCheckpoint, "checkpoint")
        parser.add_lightning_class_args(StepProgressBar, "progress_bar")
        parser.add_class_arguments(ModalSettings, "modal")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.init_args.seed")
        parser.link_arguments("data.image_size", "model.init_args.image_size")
        parser.link_arguments("data.augmentation", "model.init_args.augmentations", compute_fn=_augmentations)
        parser.link_arguments(
            "data", "model.init_args.class_names", compute_fn=self.class_names, apply_on="instantiate"
        )

    def class_names(self, data: ImageFolderDataModule) -> tuple[str, ...]:
        """Open the data and return its classes."""
        data.prepare_data()
        data.setup("fit")
        return data.class_names

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the resolved command line instead of the process's own."""
        self.config = parser.parse_args(list(args or ()))

    def before_instantiate_classes(self) -> None:
        """Choose the run directory, and refuse what cannot work."""
        trainer = self.config.trainer
        if self.config.fast_dev_run:
            trainer.fast_dev_run = True
        check_trainer(trainer)
        if self.config.run == "":
            raise ValueError(
                "--run is empty: is a variable of the shell not set? Give a name, or leave it out."
            )
        if self.config.run and self.config.fresh:
            raise ValueError("--run names a run to continue and --fresh starts another: give one of them.")
        named = experiment_name(self.config_name, self.config.data.root, DEFAULT_CONFIG)
        if self.config.experiment is None:
            self.config.experiment = named
        check_folder_name("--experiment", self.config.experiment)
        self.request = RunRequest(
            Path(trainer.default_root_dir) / self.config.experiment,
            trainer.max_steps,
            self.config.run,
            self.config.fresh,
            self.config.allow_mismatch,
        )
        # These belong to a command line, not to the configuration that a run leaves behind.
        self.config.run, self.config.fresh, self.config.allow_mismatch = None, False, False
        self.config.safe = False
        # Lightning refuses these together with the callbacks, which are always there; silence them instead.
        if trainer.enable_progress_bar is False:
            trainer.enable_progress_bar, self.config.progress_bar.refresh_rate = None, 0
        if trainer.enable_checkpointing is False:
            trainer.enable_checkpointing, self.config.checkpoint.every_n_steps = None, 0

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401
        """Make the Trainer, and choose the run that it starts or continues."""
        if self._continued is None:
            self.check_parts(self.datamodule)
        if any(isinstance(each, ProgressBar) for each in _as_list(self.config_init.trainer.callbacks)):
            # Lightning takes one bar only: this project's leaves its place to one that was asked for.
            self.parser.callback_keys.remove("progress_bar")
        replaced = self.config.trainer.logger in (None, True)
        made: Trainer = super().instantiate_trainer(**{**kwargs, "logger": False} if replaced else kwargs)
        # As Lightning does: those that save, or publish what was saved, come last.
        callbacks = [*callbacks_of(made, Callback), LossPlot(), Lives(), *self._extra_callbacks]
        set_callbacks(made, sorted(callbacks, key=lambda each: isinstance(each, Checkpoint)))
        if not self.config.trainer.fast_dev_run:
            self.take_run(made)
        return made

    def check_parts(self, data: ImageFolderDataModule | None) -> None:
        """Refuse what would fail later, before there is a run.

        Args:
            data: The data, set up; None if they are on another machine.

        Raises:
            ValueError: With the option to change.
        """
        parts = self.config_init
        if not self.config.trainer.fast_dev_run:
            parts.learning_rate.check(self.config.trainer.max_steps)
            for section in ("sample_grid", "evaluation"):
                parts.ema.check_guide(parts[section].sampling.own_guide, section)
        check_monitors([*self._callbacks(), *_as_list(parts.trainer.callbacks), *self._extra_callbacks])
        rehearse([*self._callbacks(), *self._extra_callbacks], self.model, data)

    def _callbacks(self) -> list[Callback]:
        return [part for part in vars(self.config_init).values() if isinstance(part, Callback)]

    def take_run(self, made: Trainer) -> None:
        """Choose the run that the Trainer starts or continues, and point everything to it."""
        self.identity = self._identity(made.world_size)
        self.data_index = DataIndex.of(self.datamodule.files)
        if self._continued is None:
            self.choice = choose_run(self.request, self.identity, self.data_index)
        else:
            self.choice = continue_run(self._continued, self.config.trainer.max_steps)
        for callback in (self.config_init.checkpoint, self.config_init.sample_grid):
            callback.run_directory = self.choice.folder
        recovery = self.choice.recovery.for_batches_of(self.datamodule.batch_size)
        self.datamodule.split, self.datamodule.left_out = recovery.split, recovery.left_out
        made.accumulate_grad_batches *= recovery.split
        made.loggers = self._loggers(made.loggers)

    def _loggers(self, others: Sequence[Logger]) -> list[Logger]:
        """Return all loggers, the first of which is one of this project's: it tells the run directory."""
        folder = self.choice.folder
        for each in others:
            set_logger_folder(each, RUN, folder)
        table = MetricsFile(folder, self.choice.step)
        if not self._own_logger:
            return [table, *others]
        before = self.choice.step if folder.is_dir() else None
        return [RunLogger(folder, before), *others, table]

    @property
    def _own_logger(self) -> bool:
        """Whether there is the run's own logger: unless another takes its place. A list adds to it."""
        return self.config.trainer.logger in (None, True) or isinstance(self.config.trainer.logger, list)

    def _identity(self, world_size: int) -> dict[str, Any]:
        plain = yaml.safe_load(self.parser.dump(self.config, skip_none=False, skip_link_targets=False))
        return run_identity(plain, self.datamodule.fingerprint, world_size)


def _as_list(value: Any) -> list[Any]:  # noqa: ANN401
    return value if isinstance(value, list) else [] if value is None else [value]


def _augmentations(augmentation: object) -> int:
    return 0 if augmentation is None else AUGMENTATIONS
