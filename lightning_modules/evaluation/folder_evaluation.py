"""Evaluating images, wherever they are from, against those of a folder."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lightning_modules.evaluation.image_sets import (
    ImageSet,
    RealSplit,
    array_images,
    class_shares,
    folder_images,
    split_real,
)
from lightning_modules.evaluation.report import Report, Row
from lightning_modules.evaluation.setup import Setup, describe, protocol_of


def evaluate_folder(place: Path, against: Path, setup: Setup) -> Report:
    """Evaluate images, in a folder or an .npz file, against those of a folder, whose halves give the floor.

    Raises:
        EvaluationError, DataError: With what to do.
    """
    samples = array_images(place) if place.is_file() else folder_images(place, cache_dir=setup.cache_dir)
    real = folder_images(against, samples.images.shape[-1], setup.cache_dir)
    shares, balance = class_shares(samples, real)
    split = split_real(real, min(setup.count, len(samples)), shares, setup.seed)
    protocol = protocol_of(real, split, setup)
    rows = _rows_like(samples, real, split, setup.seed, matched=shares is not None)
    features = protocol.features(samples.images[rows], "features of the samples")
    row = Row(samples.name, {"folder": samples.name}, protocol.figures(features))
    described = describe(real, split, setup, len(protocol)) | {
        "samples": f"{samples.name}, {len(rows)} of {len(samples)} images, fingerprint {samples.fingerprint}",
        "class balance": balance,
    }
    return Report(described, protocol.floor, protocol.ceiling, [row])


def _rows_like(
    samples: ImageSet, real: ImageSet, split: RealSplit, seed: int, matched: bool
) -> np.typing.NDArray[np.int64]:
    """Choose as many samples as there are reference images, of the same classes where these match."""
    rng = np.random.default_rng(seed)
    if not matched:
        return np.sort(rng.permutation(len(samples))[: len(split.reference)])
    names = [real.class_names[label] for label in real.labels[split.reference]]
    rows = []
    for label, name in enumerate(samples.class_names):
        of_class = rng.permutation(np.flatnonzero(samples.labels == label))
        rows.append(of_class[: names.count(name)])
    return np.sort(np.concatenate(rows))
