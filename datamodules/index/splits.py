"""Folders that are parts of a data set rather than classes."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from datamodules.errors import DataError
from datamodules.utils.text import listed

SplitFolders = Literal["ask", "classes", "merge"]

_PARTS = frozenset(
    (
        *("train", "training", "trainset", "val", "valid", "validation", "validate", "dev"),
        *("test", "testing", "testset", "eval", "evaluation", "holdout", "val"),
        *("images", "imgs", "img", "jpegimages", "annotations", "annotation", "labels", "label"),
        *("masks", "mask", "segmentations", "segmentation", "imagesets"),
    )
)
"""First-level folders, in lower case and without digits at their end, as data sets come divided."""


def parts_of_a_data_set(class_names: Sequence[str]) -> bool:
    """Tell whether first-level folders are the parts of a data set by their names, all of them."""
    parts = [name.lower().rstrip("0123456789_-") for name in class_names]
    return len(parts) > 1 and all(part in _PARTS for part in parts)


def ask_about(root: Path, class_names: Sequence[str]) -> DataError:
    """The question whether such folders are classes."""
    one = root / class_names[_most_likely(class_names)]
    return DataError(
        f"{root} holds the folders {listed(class_names)}: are they parts of a data set, or classes? Train on "
        f"one with --data.root {shlex.quote(str(one))}, on all with --data.split_folders merge (classes are "
        "then the folders inside them), or take them for classes with --data.split_folders classes"
    )


def _most_likely(class_names: Sequence[str]) -> int:
    lowered = [name.lower() for name in class_names]
    return next((row for row, name in enumerate(lowered) if name.startswith(("train", "im", "jpeg"))), 0)
