"""What an evaluation takes from a run directory: its data and its step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jsonargparse import ArgumentError, ArgumentParser

from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.models import checkpoint_facts
from lightning_modules.runs import run_config


def run_data(checkpoint: Path, root: Path | None = None) -> ImageFolderDataModule:
    """Open the data that a run was trained on.

    Args:
        checkpoint: A checkpoint of the run, beside whose folder `config.yaml` lies.
        root: The folder of images, where it has moved since.

    Raises:
        FileNotFoundError: If the run's configuration is not there.
        DataError: If the images cannot be opened.
        ValueError: If the configuration is none of this project's.
    """
    config = checkpoint.parent.parent / "config.yaml"
    settings = run_config(checkpoint)
    if settings is None:
        raise FileNotFoundError(
            f"{config} is not there, which says what the run was trained on; give a checkpoint in its run"
        )
    section: dict[str, Any] = settings.get("data") or {}
    if not isinstance(section, dict):
        raise ValueError(f"the data section of {config} cannot be used (it holds {type(section).__name__})")
    if root is not None:
        section["root"] = str(root)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageFolderDataModule, "data")
    try:
        data: ImageFolderDataModule = parser.instantiate_classes(parser.parse_object({"data": section})).data
    except ArgumentError as error:
        raise ValueError(f"the data section of {config} cannot be used ({error})") from error
    data.prepare_data()
    data.setup()
    return data


def checkpoint_step(checkpoint: Path) -> int:
    """Return the step that a checkpoint was saved at."""
    return checkpoint_facts(checkpoint).step
