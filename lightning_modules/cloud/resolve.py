"""The checks of a cloud run on the user's machine: `python -m lightning_modules.cloud.resolve OUT ARGS`."""

from __future__ import annotations

import hashlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import yaml
from lightning.pytorch import Trainer

from datamodules.image_folder import ImageFolderDataModule
from datamodules.utils.exit_codes import REFUSED
from lightning_modules.cli.configuring import trial_of
from lightning_modules.cli.fit_cli import FitCLI
from lightning_modules.cli.parsing.culprit import in_a_line, own_error, refusal
from lightning_modules.cli.parsing.parser import GIVEN
from lightning_modules.cloud.job import Job
from lightning_modules.cloud.paths import DATA, RUNS
from lightning_modules.cloud.preflight import count_images, flop_per_image
from lightning_modules.cost.cost import Work, forecast
from lightning_modules.cost.settings import ModalSettings
from lightning_modules.utils.lightning_internals import quiet_lightning


class CloudCLI(FitCLI):
    """A training command line that is checked in all its parts, and neither opens the data nor trains."""

    def class_names(self, data: ImageFolderDataModule) -> tuple[str, ...]:
        """Return a stand-in for the classes: the data may be on the Volume only."""
        return ("images",)

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make a Trainer as far as it does not depend on the container's devices."""
        here = {"accelerator": "cpu", "devices": 1, "num_nodes": 1, "strategy": "auto"}
        return super().instantiate_trainer(**kwargs, **here)

    def check_parts(self, data: ImageFolderDataModule | None) -> None:
        """Check the parts without data."""
        super().check_parts(None)

    def take_run(self, made: Trainer) -> None:
        """Take none: runs are on the Volume."""


def main(args: Sequence[str]) -> None:
    """Check a command line and write the job.

    Args:
        args: Where to write the job, and the command line.
    """
    quiet_lightning()
    logging.getLogger("lightning.fabric.utilities.seed").setLevel(logging.WARNING)  # nothing is drawn here
    out, *command_line = args
    try:
        job = resolve_job(command_line)
    except Exception as error:
        said = refusal(error, command_line, GIVEN.get(), _trial)
        if said is None and not isinstance(error, (OSError, ValueError)):
            raise
        said = said or in_a_line(own_error(error))
        print(f"error: {said}", file=sys.stderr)
        sys.exit(REFUSED)
    Path(out).write_text(job.as_json())


def _trial(args: Sequence[str]) -> BaseException | None:
    return trial_of(CloudCLI, _as_settings(args))


def resolve_job(args: Sequence[str]) -> Job:
    """Return the job of a training command line.

    Raises:
        SystemExit: If an option is refused, with status 2.
        OSError, ValueError: If a part of the configuration cannot work.
    """
    cli = CloudCLI(_as_settings(args))
    config = yaml.safe_load(cli.parser.dump(cli.config, skip_none=False))
    settings = ModalSettings(**config["modal"])
    root = config["data"]["root"]
    summary = [_local_data(Path(root))] if root is not None else []
    _use_the_volumes(config)
    files = _take_along(config)
    request, trainer = cli.request, config["trainer"]
    flop = flop_per_image(cli.model)
    work = Work(
        steps=request.max_steps if request.max_steps > 0 else None,
        images_per_step=config["data"]["batch_size"] * trainer["accumulate_grad_batches"],
        flop_per_image=flop,
        half_precision="16" in str(trainer["precision"]),
    )
    millions = sum(parameter.numel() for parameter in cli.model.parameters()) / 1e6
    name = type(cli.model).__name__
    summary.append(f"Model: {name}, {millions:.1f} M parameters, {flop / 1e9:.1f} GFLOP per image.")
    shortened = cli.config_init.learning_rate.shortened(request.max_steps)
    summary += (
        [] if config["fast_dev_run"] else [*([shortened] if shortened else []), *forecast(work, settings)]
    )
    return Job(
        config=yaml.safe_dump(config, sort_keys=False),
        experiment=config["experiment"],
        max_steps=request.max_steps,
        run=request.run,
        trial=config["fast_dev_run"],
        fresh=request.fresh,
        allow_mismatch=request.allow_mismatch,
        data=config["data"]["root"],
        settings=settings,
        files=files,
        folder=root if root is not None and Path(root).expanduser().is_dir() else None,
        summary=summary,
    )


def _as_settings(args: Sequence[str]) -> list[str]:
    return [arg.replace("--max-usd", "--modal.max_usd", 1) for arg in args]


def _local_data(root: Path) -> str:
    """Say what is in the data folder here, if it is here.

    Raises:
        ValueError: If there are no images in it.
    """
    if not root.expanduser().is_dir():
        return f"Data: {root.name} on the data Volume; there is no such folder here to look into."
    found = count_images(root.expanduser())
    if not found:
        raise ValueError(f"there are no images in {root}")
    return f"Data: {root} has {found:,} images here; {root.name} on the data Volume is what is trained on."


def _use_the_volumes(config: dict[str, Any]) -> None:
    """Set the container's paths: runs, caches and data go to the Volumes."""
    config["trainer"]["default_root_dir"] = RUNS
    config["data"]["cache_dir"] = f"{DATA}/cache"
    root, source = config["data"]["root"], config["data"]["source"]
    if root is not None:
        on_volume = root.startswith(f"{DATA}/")
        config["data"]["root"] = root if on_volume else str(PurePosixPath(DATA) / Path(root).name)
    if source is not None and "folder" in source.get("init_args", {}):
        source["init_args"]["folder"] = DATA
    elif source is None and root is None:
        config["data"]["source"] = {"class_path": "RenderedCats", "init_args": {"folder": DATA}}


def _take_along(config: dict[str, Any]) -> dict[str, str]:
    """Return the local files that the configuration names, and name them by their places in the container.

    Raises:
        ValueError: If one cannot be read.
    """
    listed = config["data"]["quarantine"]
    if listed is None or listed.startswith(f"{DATA}/"):
        return {}
    try:
        text = Path(listed).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise ValueError(f"--data.quarantine {listed} cannot be read: {error}") from error
    place = f"{DATA}/.quarantine/{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt"
    config["data"]["quarantine"] = place
    return {place: text}


if __name__ == "__main__":
    main(sys.argv[1:])
