"""The command line of training: LightningCLI, with one complete YAML per experiment."""

from __future__ import annotations

import logging
import sys
import traceback
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_info
from torch.utils.tensorboard.summary import hparams

from datamodules.augmentation import AUGMENTATIONS
from datamodules.drawn_cats import DrawnCats
from datamodules.image_folder import ImageFolderDataModule
from datamodules.oxford_pets import OxfordPetCats
from lightning_modules.base import DiffusionModule
from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.ema import EMA
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.progress import StepProgressBar
from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.callbacks.step_seed import StepSeed
from lightning_modules.callbacks.telemetry import Telemetry
from lightning_modules.parser import HelpFormatter, TeachingParser, with_config
from lightning_modules.runs import next_run_directory, start_run_directory

DESCRIPTION = """Train a diffusion model on a folder of images.

  fit.py                                             the demo: drawn cats, a DiT, ten minutes on a CPU
  fit.py --data.root my_images                       the same on your own folder; sub-folders are classes
  fit.py --config cats --data.root my_images         another config, from configs/ or a path
  fit.py --model UNetDiffusion --trainer.max_steps 500 --data.batch_size 32
  fit.py --fast-dev-run                              one batch of training and validation, writes nothing
  fit.py --model.help DiTDiffusion                   the options of a model
  fit.py --config cats --print_config                the complete configuration, without training

Every option can stand in the YAML or on the command line, which wins. Runs go to
runs/<experiment>/<start time>/; look at them with: tensorboard --logdir runs
"""

SOURCES = (DrawnCats, OxfordPetCats)
"""Imported here so that their bare names can be used for --data.source."""


class RunConfig(SaveConfigCallback):
    """Write the resolved configuration to the run directory and, as hyper-parameters, to TensorBoard."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write TensorBoard's hyper-parameter summaries."""
        flat = dict(_flatten(self.config.as_dict()))
        flat.pop("config", None)  # the paths it was parsed from
        flat["model.init_args.class_names"] = ", ".join(pl_module.hparams["class_names"])
        for run_logger in trainer.loggers:
            if isinstance(run_logger, TensorBoardLogger):
                for summary in hparams(flat, {"loss_held_out": 0.0}):  # type: ignore[no-untyped-call]
                    run_logger.experiment.file_writer.add_summary(summary)


class FitCLI(LightningCLI):
    """Parse a command line into a trainer, a module and a data module, wired to a run directory.

    Args:
        args: The command line; none takes the process's.
    """

    def __init__(self, args: Sequence[str] | None = None) -> None:
        resolved, self.config_name = with_config(sys.argv[1:] if args is None else args, default="demo")
        super().__init__(
            DiffusionModule,
            ImageFolderDataModule,
            save_config_callback=RunConfig,
            trainer_defaults={
                "default_root_dir": "runs",
                "check_val_every_n_epoch": None,
                "num_sanity_val_steps": 1,
            },
            seed_everything_default=0,
            parser_kwargs={
                "description": DESCRIPTION,
                "usage": "%(prog)s [--config NAME_OR_PATH] [--OPTION VALUE ...]",
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
            help="Name of the experiment. Default: the config's.",
        )
        parser.add_lightning_class_args(LearningRate, "learning_rate")
        parser.add_lightning_class_args(EMA, "ema")
        parser.add_lightning_class_args(StepSeed, "step_seed")
        parser.add_lightning_class_args(LossByNoiseLevel, "loss_by_noise_level")
        parser.add_lightning_class_args(Telemetry, "telemetry")
        parser.add_lightning_class_args(SampleGrid, "sample_grid")
        parser.add_lightning_class_args(StepCheckpoint, "checkpoint")
        parser.add_lightning_class_args(StepProgressBar, "progress_bar")
        parser.link_arguments("seed_everything", "data.seed")
        parser.link_arguments("seed_everything", "model.init_args.seed")
        parser.link_arguments("data.image_size", "model.init_args.image_size")
        parser.link_arguments("data.augmentation", "model.init_args.augmentations", compute_fn=_augmentations)
        parser.link_arguments(
            "data", "model.init_args.class_names", compute_fn=_class_names, apply_on="instantiate"
        )

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the resolved command line, whatever the process's own was."""
        self.config = parser.parse_args(list(args or ()))

    def before_instantiate_classes(self) -> None:
        """Choose the run directory, and refuse what cannot work."""
        trainer = self.config.trainer
        if self.config.fast_dev_run:
            trainer.fast_dev_run = True
        if trainer.max_epochs is not None:
            self.parser.error(
                "the length of a run is counted in steps: use --trainer.max_steps, not max_epochs"
            )
        if trainer.max_steps < 0 and trainer.max_time is None and not trainer.fast_dev_run:
            self.parser.error("how long shall it train? Give --trainer.max_steps or --trainer.max_time")
        self.config.experiment = self.config.experiment or self.config_name
        self.run_directory = next_run_directory(Path(trainer.default_root_dir) / self.config.experiment)
        # Lightning refuses these beside the callbacks, which are always there and can be silent instead.
        if trainer.enable_progress_bar is False:
            trainer.enable_progress_bar, self.config.progress_bar.refresh_rate = None, 0
        if trainer.enable_checkpointing is False:
            trainer.enable_checkpointing, self.config.checkpoint.every_n_steps = None, 0

    def after_instantiate_classes(self) -> None:
        """Refuse a schedule that does not fit the run, before there is a run directory."""
        if not self.config.trainer.fast_dev_run:
            self.config_init.learning_rate.check(self.trainer.max_steps)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:  # noqa: ANN401
        """Make the Trainer, which logs to the run directory unless the configuration says otherwise."""
        if self.config.trainer.logger in (None, True):
            folder = self.run_directory
            kwargs["logger"] = TensorBoardLogger(folder.parent, "", folder.name, default_hp_metric=False)
        trainer: Trainer = super().instantiate_trainer(**kwargs)
        return trainer


def fit(args: Sequence[str] | None = None) -> FitCLI:
    """Run a training command line to its end.

    Args:
        args: The command line; none takes the process's.

    Returns:
        The trainer, module and data module as training left them.
    """
    quiet_lightning()
    try:
        cli = FitCLI(args)
    except (OSError, ValueError) as error:
        print(f"error: {_own_error(error)}", file=sys.stderr)
        sys.exit(2)
    kept = len(cli.datamodule.train_labels), len(cli.datamodule.held_out_labels)
    rank_zero_info(
        "Data: %d images to train on, %d held out, classes: %s", *kept, ", ".join(cli.model.class_names)
    )
    if cli.config.trainer.fast_dev_run:
        cli.trainer.fit(cli.model, datamodule=cli.datamodule)
        return cli
    start_run_directory(cli.run_directory)
    rank_zero_info("Run directory: %s", cli.run_directory)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    rank_zero_info(
        "Trained to step %d. Pictures: %s/samples. Draw more: python scripts/sample.py %s",
        cli.trainer.global_step,
        cli.run_directory,
        cli.run_directory,
    )
    return cli


def quiet_lightning() -> None:
    """Silence what Lightning says at every start and nobody can act on."""
    warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated", FutureWarning)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: "litlogger" not in record.getMessage())


def _own_error(error: BaseException) -> BaseException:
    """Return what this project's own code raised, which jsonargparse wraps in a description of its state."""
    link: BaseException | None = error
    while link is not None:
        frames = traceback.extract_tb(link.__traceback__)
        if frames and {"lightning_modules", "datamodules"} & set(Path(frames[-1].filename).parts):
            return link
        link = link.__cause__ or link.__context__
    return error


def _class_names(data: ImageFolderDataModule) -> tuple[str, ...]:
    data.prepare_data()
    data.setup("fit")
    return data.class_names


def _augmentations(augmentation: object) -> int:
    return 0 if augmentation is None else AUGMENTATIONS


def _flatten(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str | int | float | bool]]:
    pairs: list[tuple[str, str | int | float | bool]] = []
    for key, value in config.items():
        if isinstance(value, Mapping):
            pairs += _flatten(value, f"{prefix}{key}.")
        elif value is not None:
            pairs.append((prefix + key, value if isinstance(value, str | int | float | bool) else str(value)))
    return pairs
