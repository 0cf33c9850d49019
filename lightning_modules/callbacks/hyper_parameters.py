from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from inspect import Parameter, signature
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import TensorBoardLogger
from torch.utils.tensorboard.summary import hparams

from datamodules.utils.text import listed
from lightning_modules.callbacks.evaluation import Evaluation
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.logs.board import layout
from lightning_modules.utils.lightning_internals import callbacks_of
from lightning_modules.utils.tensorboard_internals import add_summary

_ELSEWHERE = ("config", "model.image_size", "model.seed", "model.augmentations", "data.seed")
"""The paths of the configuration, and what is linked to another setting."""


class HyperParameters(SaveConfigCallback):
    """Tell TensorBoard what a run is: settings that differ from their defaults, and how curves are grouped.

    `config.yaml`, which the base class would write, is written when the run directory is taken.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write nothing yet: the checkpoint to go on from may be refused."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write hyper-parameters and layout, before the first curve."""
        self.save_config(trainer, pl_module, "fit")

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write the summaries."""
        settings = changed(self.config.as_dict(), self.parser.get_defaults(skip_validation=True).as_dict())
        told = {name: value for name, value in settings.items() if name not in _ELSEWHERE}
        told["model.class_names"] = listed(pl_module.hparams["class_names"])
        groups = [group for each in callbacks_of(trainer, LossByNoiseLevel) for group in each.groups]
        evaluated = any(each.every_n_steps for each in callbacks_of(trainer, Evaluation))
        for run_logger in trainer.loggers:
            if isinstance(run_logger, TensorBoardLogger) and trainer.is_global_zero:
                for summary in hparams(told, {"loss/val": 0.0}):
                    add_summary(run_logger.experiment, summary)
                run_logger.experiment.add_custom_scalars(layout(groups, evaluated))
                run_logger.save()


def changed(config: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, str | int | float | bool]:
    """Return the settings that differ from their defaults, by the names that a command line has for them.

    Args:
        config: The configuration, nested.
        defaults: The defaults, nested; those of a class that was chosen are the class's own.
    """
    found: dict[str, str | int | float | bool] = {}
    for name, value in config.items():
        default = defaults.get(name)
        if not isinstance(value, Mapping):
            if value is not None and _plain(value) != _plain(default):
                found[name] = value if isinstance(value, str | int | float | bool) else str(value)
            continue
        if "class_path" in value:
            module, _, title = value["class_path"].rpartition(".")
            chosen = getattr(import_module(module), title)
            if type(default) is not chosen:
                found[name], default = chosen.__name__, _own_defaults(chosen)
            value = value.get("init_args") or {}
        inner = changed(value, default if isinstance(default, Mapping) else getattr(default, "__dict__", {}))
        found |= {f"{name}.{key}": each for key, each in inner.items()}
    return found


def _own_defaults(made: type) -> dict[str, Any]:
    """Return the defaults of a class, and of what it hands on to its base classes."""
    bases = [vars(each)["__init__"] for each in reversed(made.__mro__) if "__init__" in vars(each)]
    parameters = [each for made_by in bases for each in signature(made_by).parameters.values()]
    return {each.name: each.default for each in parameters if each.default is not Parameter.empty}


def _plain(value: object) -> object:
    """A command line gives lists where signatures have tuples."""
    return list(value) if isinstance(value, tuple) else value
