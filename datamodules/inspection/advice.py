"""Which config suits a folder of images, as a command that can be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from datamodules.inspection.findings import UNBALANCED, Finding
from datamodules.inspection.inspection import Inspection

PAGE = "docs/how-many-images.md"

_FEW, _MANY = 2_000, 20_000
"""Distinct images below which a small network is enough, and from which on a large one is worth its hours."""

_PASSES = 150  # times that each image of a small set is seen: more, and the network knows it by heart
_DEMO_BATCH = 32
_DEMO_STEPS = (1_000, 9_000)


def suggestion(
    inspection: Inspection, folder: str, flags: Sequence[str] = (), fit: Sequence[str] = ("ninelives", "fit")
) -> Finding:
    """Say how to train on a folder, by the number of its distinct images, their size and their classes.

    Args:
        inspection: What was found.
        folder: The folder as it is to stand in the command.
        flags: Further options of training that belong to what was inspected.
        fit: How training is started here.
    """
    count, size = inspection.distinct, inspection.suggested_size
    images = f"{count:,} distinct images"
    if count < _FEW:
        config, options = "demo", _small(count)
        title = f"{images} are few: a small network, augmented, and not for long"
        advice = f"Samples will be variations of what is there. More: {PAGE}"
    elif count < _MANY:
        config = "cats-dit" if size >= 64 else "l4-32"
        options = ["--data.augmentation.probability", "0.12"] if config == "cats-dit" else []
        title = f"{images} are enough for a network of middle size, on a GPU"
        advice = f"On a CPU, the same with --config demo. More: {PAGE}"
    else:
        config, options = {32: "l4-32", 64: "h100-64"}.get(size, "h100-128"), []
        title = f"{images} are enough for a large network, on a large GPU"
        advice = f"Try --config l4-32 first, for half an hour. More: {PAGE}"
    counts = [number for number in inspection.class_counts.values() if number]
    if len(counts) > 1 and max(counts) > UNBALANCED * min(counts):
        options = [*options, "--data.class_balanced", "true"]
    command = [*fit, "--config", config, "--data.root", folder, *options, *flags]
    return Finding("look" if count < _FEW else "good", title, advice, shlex.join(command))


def _small(count: int) -> list[str]:
    fewest, most = _DEMO_STEPS
    steps = min(max(100 * round(_PASSES * count / _DEMO_BATCH / 100), fewest), most)
    augmented = ["--data.augmentation.probability", "0.12", "--model.network.dropout", "0.1"]
    return [*augmented, "--trainer.max_steps", str(steps)]
