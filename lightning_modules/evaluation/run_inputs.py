"""What an evaluation takes from a checkpoint and its run: the data, the step, which file it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from datamodules.errors import DataError
from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.checkpoints.facts import checkpoint_facts
from lightning_modules.checkpoints.opening import open_checkpoint
from lightning_modules.evaluation.request import AS_THE_RUN, DataOptions
from lightning_modules.run.finding import run_config

OTHER_WORDS = {
    "--data.root": "--data",
    "lower --data.val_fraction": "give a folder of more images, --data FOLDER",
    "--data.limits.": "training's data.limits.",
    "--data.source.": "training's data.source.",
    "--data.quarantine": "training's data.quarantine",
}
"""What fit's options are called where images are only evaluated."""


def run_data(checkpoint: Path, options: DataOptions = AS_THE_RUN) -> ImageFolderDataModule:
    """Open the data that a run was trained on.

    Args:
        checkpoint: A checkpoint, in its run or by itself. It says how its images are prepared; the run's
            configuration says where they are.
        options: What the command line says in place of the run.

    Raises:
        FileNotFoundError: If it is not known where the images are.
        DataError: If the images cannot be opened.
        ValueError: If the configuration is not of this project.
    """
    config, prepared = run_config(checkpoint), open_checkpoint(checkpoint).get(ImageFolderDataModule.__name__)
    if config is None and options.root is None:
        raise FileNotFoundError(
            f"{checkpoint} lies in no run, so it is not known what it was trained on: give the folder of "
            f"images with --data FOLDER, or compare with any others, --against FOLDER"
        )
    if config is None and prepared is None:
        raise ValueError(
            f"{checkpoint} does not say how its images were prepared: evaluate it in its run, or compare "
            f"with any images, --against FOLDER"
        )
    section: dict[str, Any] = {} if config is None else config.get("data") or {}
    if not isinstance(section, dict):
        raise ValueError(
            f"the data section of the run of {checkpoint} cannot be used (it holds {type(section).__name__})"
        )
    section = section | (prepared or {}) | options.given()
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageFolderDataModule, "data")
    try:
        data: ImageFolderDataModule = parser.instantiate_classes(parser.parse_object({"data": section})).data
    except ArgumentError as error:
        raise ValueError(f"the data section of the run of {checkpoint} cannot be used ({error})") from error
    try:
        data.prepare_data()
        data.setup()
    except DataError as error:
        moved = options.root is None and data.root is not None
        hint = "; if the run's images have moved, give --data FOLDER" if moved else ""
        raise DataError(f"{error}{hint}") from error
    return data


def checkpoint_step(checkpoint: Path) -> int:
    """Return the step that a checkpoint was saved at."""
    return checkpoint_facts(checkpoint).step


def in_other_words(message: str) -> str:
    """Return a message whose options are those of an evaluation."""
    for said, here in OTHER_WORDS.items():
        message = message.replace(said, here)
    return message
