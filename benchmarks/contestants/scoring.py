"""Scores of all samples by one feature network, against one held-out reference, at one N."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
from machine import write

from contestants.task import Images
from lightning_modules.evaluation.copies import CopyDetector
from lightning_modules.evaluation.protocol import Protocol
from lightning_modules.metrics.feature_networks.table import load_features
from lightning_modules.metrics.figure import Figures


class Scores:
    """Score sets of N samples.

    Args:
        data: Folder of the common images.
        n: N.
        features: The feature network, as evaluate.py takes it.
    """

    def __init__(self, data: Path, n: int, features: str) -> None:
        train, val = (np.load(data / f"{name}.npy", mmap_mode="r") for name in ("train", "val"))
        rng = np.random.default_rng(0)
        reference, other = (_choose(images, n, rng) for images in (val, train))
        self.protocol = Protocol(load_features(features), reference, other, data / "features")
        self.detector = CopyDetector(self.protocol, np.asarray(train), reference, mirrored=True)

    def bounds(self) -> dict[str, Any]:
        """Return the floor and the ceiling."""
        return {"floor": plain(self.protocol.floor), "ceiling": plain(self.protocol.ceiling)}

    def score(self, place: Path) -> None:
        """Score the samples of a folder, and write `result.json` next to them."""
        with np.load(place / "samples.npz") as file:
            images = file["images"]
        facts = {name: json.loads((place / f"{name}.json").read_text()) for name in ("training", "sampling")}
        write(self.measure(images, place.parent.name) | facts, place / "result.json")

    def measure(self, images: Images, name: str) -> dict[str, Any]:
        """Return the figures and the memorization of N samples, uint8 (N, 3, S, S)."""
        features = self.protocol.features(images, f"features of {name}")
        memorization, _ = self.detector.look(images, features)
        rings = {"rings": memorization.rings}
        return {
            "figures": plain(self.protocol.figures(features)),
            "memorization": dataclasses.asdict(memorization) | rings,
        }


def plain(figures: Figures) -> dict[str, Any]:
    """Turn figures into plain values."""
    return {name: dataclasses.asdict(figure) for name, figure in figures.items()}


def _choose(images: Images, n: int, rng: np.random.Generator) -> Images:
    return np.asarray(images[np.sort(rng.permutation(len(images))[:n])])
