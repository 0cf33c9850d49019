"""Lightning's loggers, bars and monitors on a command line: what they need, and where they write."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Sequence

RUN = "{run}"
"""As a logger's `save_dir`: the run directory, which is not known when a command line is read."""

_LOGGER = re.compile(r"--trainer\.logger\+?")
_PART = re.compile(r"--trainer\.(logger|callbacks|profiler)\+?")
_NEED_FOLDER = ("CSVLogger", "TensorBoardLogger")
_NEED_PACKAGE = {
    "CometLogger": "comet_ml",
    "DeviceStatsMonitor": "psutil",
    "LitLogger": "litlogger",
    "MLFlowLogger": "mlflow",
    "NeptuneLogger": "neptune",
    "RichModelSummary": "rich",
    "RichProgressBar": "rich",
    "WandbLogger": "wandb",
}


def with_trainer_parts(args: Sequence[str]) -> list[str]:
    """Return a command line whose loggers of files have a folder: the run's, if no folder is given.

    Raises:
        ValueError: If a part of Lightning's needs a package that is not installed.
    """
    completed: list[str] = []
    for place, arg in enumerate(args):
        flag, equals, value = arg.partition("=")
        before = args[place - 1] if place else ""
        completed.append(arg)
        if not equals:
            flag, value = before, arg
        if not _PART.fullmatch(flag):
            continue
        name = value.rpartition(".")[2]
        _check_package(flag, name)
        if _LOGGER.fullmatch(flag) and name in _NEED_FOLDER:
            completed += ["--trainer.logger.save_dir", RUN]  # one that is given comes later, and wins
    return completed


def _check_package(flag: str, name: str) -> None:
    package = _NEED_PACKAGE.get(name)
    if package is not None and importlib.util.find_spec(package) is None:
        raise ValueError(
            f"{flag.removesuffix('+')}: {name} needs the package {package}: install it with "
            f"python -m pip install {package.replace('_', '-')}"
        )
