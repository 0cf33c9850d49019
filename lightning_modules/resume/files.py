"""Small text files of a run directory."""

from __future__ import annotations

from pathlib import Path

from lightning_modules.checkpoints.temporary import temporary_file


def write_text(path: Path, text: str) -> None:
    """Write a text file: whatever happens, the old one or this one is there, whole."""
    with temporary_file(path) as stream:
        stream.write(text.encode())
        stream.sync()
        stream.publish(path)
