"""Evaluating the checkpoints of a run, and folders of images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from datamodules.cache import default_cache_dir
from lightning_modules.averages.loading import load_weights
from lightning_modules.base import DiffusionModule
from lightning_modules.captions import class_captions
from lightning_modules.diffusion.samplers import evaluations
from lightning_modules.drawing import draw_images
from lightning_modules.images import save_png
from lightning_modules.metrics.copies import CopyDetector
from lightning_modules.metrics.denoising import BandError, errors_by_noise_level
from lightning_modules.metrics.features import FeatureNetwork, Images
from lightning_modules.metrics.image_sets import (
    ImageSet,
    RealSplit,
    class_shares,
    equal_sides,
    folder_images,
    split_real,
    training_images,
)
from lightning_modules.metrics.memorisation import Memorisation
from lightning_modules.metrics.protocol import Protocol, compare, over_seeds
from lightning_modules.metrics.report import Report, Row
from lightning_modules.metrics.run_inputs import checkpoint_step, run_data
from lightning_modules.sampling import Sampling
from lightning_modules.sheets import Sheet

_MAX_BAND_IMAGES = 512


@dataclass(frozen=True)
class Setup:
    """How to evaluate.

    Args:
        network: The feature network.
        out: Folder for pictures.
        count: Largest number of images on each side, N.
        seed: Seed of the choice of images and of the first set of samples.
        seeds: Sets of samples drawn for every row.
        batch_size: Images at a time.
        cache_dir: Where features of real images are kept.
    """

    network: FeatureNetwork
    out: Path
    count: int = 1000
    seed: int = 0
    seeds: int = 1
    batch_size: int = 64
    cache_dir: Path = dataclasses.field(default_factory=default_cache_dir)


@dataclass(frozen=True)
class Variant:
    """What draws a set of samples.

    Args:
        checkpoint: The checkpoint.
        weights: `ema`, the main average, `ema=0.1`, that of this length, or `raw`, what the optimiser left.
        sampling: Sampler, steps, guidance.
    """

    checkpoint: Path
    weights: str
    sampling: Sampling


class RunEvaluation:
    """Evaluate variants of one run against the images that it was trained on and those held out.

    Args:
        real: The run's images, or others to compare with.
        trained_on: The run's images, for memorisation and the denoising error; none leaves these out.
        setup: How to evaluate.
        mirrored: Whether training mirrors images, so that mirrored copies are copies.
    """

    def __init__(self, real: ImageSet, trained_on: ImageSet | None, setup: Setup, mirrored: bool) -> None:
        self.real, self.trained_on, self.setup, self.mirrored = real, trained_on, setup, mirrored
        self.split = split_real(real, setup.count, seed=setup.seed)
        self.protocol = _protocol(real, self.split, setup)
        self.sides = equal_sides(trained_on, _MAX_BAND_IMAGES, setup.seed) if trained_on is not None else None
        # The reference's labels, so that the class balance of the samples is the reference's.
        self.labels = [int(label) for label in real.labels[self.split.reference]]
        self.same_classes = trained_on is None or real.class_names == trained_on.class_names
        self._detector: CopyDetector | None = None

    def report(self, variants: Sequence[Variant]) -> Report:
        """Evaluate every variant, and write `report.json` anew after each, so that nothing is lost.

        Raises:
            EvaluationError: If something cannot be evaluated honestly.
        """
        rows: list[Row] = []
        bands: dict[str, list[BandError]] = {}
        report = Report(self.described(), self.protocol.floor, self.protocol.ceiling, rows, bands)
        with tqdm(variants, desc="evaluating", unit="set", disable=len(variants) < 2) as bar:
            for variant in bar:
                loaded = load_weights(variant.checkpoint, variant.weights, _device())
                module, words = loaded.module, loaded.words
                step = checkpoint_step(variant.checkpoint)
                name = f"step {step}, {words}"
                if name not in bands and self.sides is not None:
                    bands[name] = errors_by_noise_level(module, self.sides, batch_size=self.setup.batch_size)
                rows.append(self.row(module, variant, step, words))
                report.save(self.setup.out / "report.json")
        return report

    def described(self) -> dict[str, str | int | float]:
        """Say what is compared with what."""
        return _describe(self.real, self.split, self.setup, len(self.protocol)) | {
            "class balance": "samples have the reference's labels"
            if self.same_classes
            else f"NOT matched: {self.real.name} has other classes than the model, whose samples have none",
            "seeds": self.setup.seeds,
        }

    def row(self, module: DiffusionModule, variant: Variant, step: int, words: str) -> Row:
        """Draw a variant's samples and evaluate them."""
        settings = variant.sampling
        nfe = evaluations(settings.sampler, settings.steps)
        facts: dict[str, str | int | float] = {"step": step, "weights": words, "sampler": settings.sampler}
        facts |= {"nfe": nfe, "steps": settings.steps, "grid": settings.grid, "guidance": settings.guidance}
        facts |= {"sigma_min": settings.sigma_min}
        name = f"step {step}, {words}, {settings.sampler}, NFE {nfe}, to sigma {settings.sigma_min:g}"
        if settings.guidance != 1:
            name += f", guidance {settings.guidance:g} (2 x {nfe} of the network)"
        if settings.own_guide is not None:
            name += f" away from length {settings.own_guide:g}"
            facts |= {"guide_length": settings.own_guide}
        figures, found = [], None
        for seed in range(self.setup.seed, self.setup.seed + self.setup.seeds):
            images = self.draw(module, settings, seed, f"drawing, {settings.sampler} NFE {nfe}")
            features = self.protocol.features(images)
            figures.append(compare(self.protocol.reference, features, self.setup.network))
            if seed == self.setup.seed:
                plain = f"{step:08d}-{variant.weights}-{settings.sampler}-nfe{nfe:03d}"
                plain += f"-sigma{settings.sigma_min:g}-guidance{settings.guidance:g}"
                found = self.memorised(images, features, plain, name)
                self.picture(images, plain, name)
        return Row(name, facts | {"checkpoint": str(variant.checkpoint)}, over_seeds(figures), found)

    def draw(self, module: DiffusionModule, settings: Sampling, seed: int, what: str) -> Images:
        """Draw N images, uint8 and rounded, with the reference's labels."""
        labels = self.labels
        if not self.same_classes:
            labels = [module.null_label if module.num_classes > 1 else 0] * len(self.labels)
        batches = []
        with tqdm(total=len(labels), desc=what, unit="image", delay=1.0) as bar:
            for batch in draw_images(module, settings, labels, seed, self.setup.batch_size):
                batches.append(batch.images)
                bar.update(len(batch.images))
        return torch.cat(batches).numpy()

    def memorised(self, images: Images, features: Tensor, name: str, title: str) -> Memorisation | None:
        """Measure how near samples are to the training images, and write a picture of the closest pairs."""
        real = self.trained_on
        if real is None or not real.held_out.any():
            return None
        if self._detector is None:
            train, held_out = real.images[~real.held_out], real.images[real.held_out]
            self._detector = CopyDetector(self.protocol, train, held_out, self.mirrored)
        found, pairs = self._detector.look(images, features)
        save_png(pairs.laid_out(title).draw(), self.setup.out / f"closest-pairs-{name}.png")
        return found

    def picture(self, images: Images, name: str, title: str) -> None:
        """Write a grid of the first samples, with the classes that they were asked for."""
        labels = self.labels[:64] if self.same_classes else []
        captions = class_captions(self.real.class_names, labels)
        sheet = Sheet(8, title, captions=captions)
        save_png(sheet.draw(torch.from_numpy(images[:64])), self.setup.out / f"samples-{name}.png")


def evaluate_run(
    variants: Sequence[Variant], setup: Setup, root: Path | None = None, against: Path | None = None
) -> Report:
    """Evaluate variants of a run against its own images, or against those of another folder.

    Args:
        variants: Checkpoints, weights and samplers, at least one.
        setup: How to evaluate.
        root: The run's folder of images, where it has moved since training.
        against: Another folder to compare with.

    Raises:
        EvaluationError, DataError, FileNotFoundError: With what to do.
    """
    data = run_data(variants[0].checkpoint, root)
    own = training_images(data, str(data.root or "the run's images"))
    real = own if against is None else folder_images(against, data.image_size)
    return RunEvaluation(real, own, setup, mirrored=data.flip).report(variants)


def evaluate_folder(folder: Path, against: Path, setup: Setup) -> Report:
    """Evaluate a folder of images against another one, whose halves give the floor.

    Raises:
        EvaluationError, DataError: With what to do.
    """
    samples = folder_images(folder)
    real = folder_images(against, samples.images.shape[-1])
    shares, balance = class_shares(samples, real)
    split = split_real(real, min(setup.count, len(samples)), shares, setup.seed)
    protocol = _protocol(real, split, setup)
    rows = _rows_like(samples, real, split, setup.seed, matched=shares is not None)
    features = protocol.features(samples.images[rows], "features of the samples")
    row = Row(samples.name, {"folder": samples.name}, protocol.figures(features))
    described = _describe(real, split, setup, len(protocol)) | {
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


def _protocol(real: ImageSet, split: RealSplit, setup: Setup) -> Protocol:
    reference, other = (np.ascontiguousarray(real.images[rows]) for rows in (split.reference, split.other))
    return Protocol(setup.network, reference, other, setup.cache_dir, setup.batch_size)


def _describe(real: ImageSet, split: RealSplit, setup: Setup, count: int) -> dict[str, str | int | float]:
    return {
        "N on each side": count,
        "features": f"{setup.network.name}, {setup.network.num_features} features",
        "images": f"{real.images.shape[-1]} px, rounded to bytes, resized once, by the feature network",
        "reference": f"{real.name}, {split.note}; fingerprint {real.fingerprint}",
        "floor": "as many other real images of the same classes, none of them in the reference",
        "ceiling": "uniform noise",
    }


def _device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"
