"""Small text files of a run directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from datamodules.utils.io import whole_file
from lightning_modules.checkpoints.errors import write_error


def write_text(path: Path, text: str) -> None:
    """Write a text file: the old one or this one is always there, whole.

    Raises:
        CheckpointWriteError: If the file system refuses.
    """
    try:
        with whole_file(path) as temporary:
            temporary.write_text(text)
    except OSError as error:
        raise write_error(path, error) from error


def read_json(path: Path, what: str) -> dict[str, Any]:
    """Read a JSON object of a run directory.

    Args:
        path: The file.
        what: What may be done where it cannot be restored, for the message of an error.

    Raises:
        ValueError: If the file is damaged, with what to do.
    """
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict):
            raise TypeError(f"it holds {type(content).__name__}")
    except (ValueError, TypeError) as error:
        raise damaged(path, what, error) from error
    return content


def damaged(path: Path, what: str, error: Exception) -> ValueError:
    """Make the error of a file that is not what was written; the run's checkpoints are not touched."""
    said = " ".join(str(error).split())  # YAML's errors have several lines
    return ValueError(f"{path} is damaged ({said}). Nothing was changed. Restore it, or {what}.")
