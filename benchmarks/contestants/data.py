"""The common images: decoded once by this project's data path, split by content."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from machine import write
from PIL import Image
from tqdm import tqdm

from datamodules.image_folder import ImageFolderDataModule


def prepare(source: Path, folder: Path, size: int, val: float, labels: bool) -> dict[str, Any]:
    """Write the training and the held-out images as arrays, and the training images as PNG files too.

    The files are of the size that is trained at: decoding them again changes no pixel.

    Args:
        source: Folder of images.
        folder: Where `train.npy`, `val.npy`, their labels and `images/` go; kept if complete.
        size: Side in pixels.
        val: Share that is held out.
        labels: Whether names of sub-folders are classes.

    Raises:
        DataError: If the images cannot be used.
    """
    facts_file = folder / "facts.json"
    if facts_file.is_file():
        facts: dict[str, Any] = json.loads(facts_file.read_text())
        return facts
    module = ImageFolderDataModule(source, image_size=size, val_fraction=val, class_labels=labels)
    module.prepare_data()
    module.setup()
    folder.mkdir(parents=True, exist_ok=True)
    train = np.asarray(module.train_images)
    for name, array in {
        "train": train,
        "train_labels": module.train_labels,
        "val": module.val_images,
        "val_labels": module.val_labels,
    }.items():
        np.save(folder / f"{name}.npy", array)
    shutil.rmtree(folder / "images", ignore_errors=True)
    pairs = zip(train, module.train_labels, strict=True)
    for number, (image, label) in enumerate(tqdm(pairs, "writing", len(train), unit="image", delay=1.0)):
        place = folder / "images" / (module.class_names[label] if labels else "")
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.transpose(1, 2, 0)).save(place / f"{number:06}.png")
    facts = {
        "train": len(train),
        "val": len(module.val_images),
        "classes": list(module.class_names),
        "fingerprint": module.fingerprint,
    }
    write(facts, facts_file)
    return facts
