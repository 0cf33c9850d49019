"""Metrics tested on real images that were damaged in known ways: what is worse must be measured as worse."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageFilter

from lightning_modules.evaluation.image_sets import ImageSet, split_real
from lightning_modules.evaluation.protocol import Protocol
from lightning_modules.evaluation.report import figures_table
from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork
from lightning_modules.metrics.features import Images, extract
from lightning_modules.metrics.figure import Figure, Figures
from lightning_modules.metrics.frechet import frechet_distance, frechet_refusal
from lightning_modules.metrics.memorization import Memorization, Nearest, memorization, nearest_images
from lightning_modules.metrics.pairs import EvaluationError
from lightning_modules.metrics.table import METRICS

BLURS = (0.5, 1.0, 2.0)
"""Standard deviations of the blur, in pixels."""

NOISES = (10, 20, 40)
"""Standard deviations of the noise, in levels of 255."""

DISTINCT = (0.5, 0.1, 0.02)
"""Shares of distinct images in a set filled up with their duplicates."""


@dataclass(frozen=True)
class Expectation:
    """A claim about the metrics, and whether it held.

    Args:
        claim: The claim.
        held: Whether it held.
        seen: The numbers that decided.
    """

    claim: str
    held: bool
    seen: str


@dataclass(frozen=True)
class SelfTest:
    """What a self-test found.

    Args:
        protocol: What was tested on what.
        figures: Figures of every set, by its name.
        gauges: The memorization gauge on every set of queries, by its name.
        checks: The claims.
    """

    protocol: str
    figures: dict[str, Figures]
    gauges: dict[str, Memorization]
    checks: Sequence[Expectation]

    @property
    def passed(self) -> bool:
        """Whether every claim held."""
        return all(check.held for check in self.checks)

    def describe(self) -> str:
        """Return the figures, the gauges and the verdicts for a terminal."""
        wide = max(len(name) for name in self.gauges)
        gauges = [f"{name:<{wide}}  {gauge.describe()}" for name, gauge in self.gauges.items()]
        verdicts = [
            f"{'ok  ' if check.held else 'FAIL'} {check.claim}: {check.seen}" for check in self.checks
        ]
        failed = sum(not check.held for check in self.checks)
        end = (
            f"{len(self.checks)} checks passed"
            if not failed
            else f"{failed} of {len(self.checks)} checks FAILED"
        )
        table = figures_table(list(self.figures.items()))
        return "\n\n".join([self.protocol, table, "\n".join(gauges), "\n".join(verdicts), end])


def self_test(
    real: ImageSet, network: FeatureNetwork, count: int = 500, seed: int = 0, cache_dir: Path | None = None
) -> SelfTest:
    """Test the metrics on real images and on damaged ones.

    Args:
        real: Real images.
        network: The feature network.
        count: Largest number of images in a set.
        seed: Seed of every choice.
        cache_dir: Where features of real images are kept.

    Raises:
        EvaluationError: If there are too few images.
    """
    split = split_real(real, count, seed=seed)
    reference, other = (np.ascontiguousarray(real.images[rows]) for rows in (split.reference, split.other))
    protocol = Protocol(network, reference, other, cache_dir)
    figures = {"real": protocol.floor}
    for name, images in degraded_sets(other, real.labels[split.other], seed).items():
        figures[name] = protocol.figures(protocol.features(images, f"features of {name}"))
    figures["noise"] = protocol.ceiling
    gauges = _gauges(real, split.other, reference, network, seed)
    checks = [*_graded_checks(figures), _floor_check(figures), *_shape_checks(figures)]
    checks += _gauge_checks(gauges)
    checks.append(_refusal_check(protocol))
    words = (
        f"{len(protocol)} images a side of {real.name} ({real.images.shape[-1]} px), features: {network.name}"
    )
    return SelfTest(words, figures, gauges, checks)


def degraded_sets(images: Images, labels: np.typing.NDArray[np.int64], seed: int) -> dict[str, Images]:
    """Return sets of as many images, each damaged in one way.

    Args:
        images: Real images, uint8 (N, 3, S, S).
        labels: Their classes, (N,).
        seed: Seed of the noise and the choices.
    """
    rng = np.random.default_rng(seed)
    sets = {f"blur {sigma:g} px": blurred(images, sigma) for sigma in BLURS}
    sets |= {f"noise {sigma} of 255": noisy(images, sigma, rng) for sigma in NOISES}
    sizes = np.bincount(labels)
    if np.count_nonzero(sizes) > 1:
        of_class = np.flatnonzero(labels == np.where(sizes >= 5, sizes, len(labels) + 1).argmin())
        sets["one class"] = images[rng.choice(of_class, len(images))]
    for share in DISTINCT:
        distinct = max(2, round(share * len(images)))
        sets[f"{share:.0%} distinct"] = images[np.arange(len(images)) % distinct]
    return sets


def blurred(images: Images, sigma: float) -> Images:
    """Blur images with a Gaussian of `sigma` pixels."""
    gauss = ImageFilter.GaussianBlur(sigma)
    pictures = (Image.fromarray(image.transpose(1, 2, 0)).filter(gauss) for image in images)
    return np.stack([np.asarray(picture).transpose(2, 0, 1) for picture in pictures])


def noisy(images: Images, sigma: float, rng: np.random.Generator) -> Images:
    """Add Gaussian noise of `sigma` levels and round."""
    noise = sigma * rng.standard_normal(images.shape, np.float32)
    return np.clip(np.rint(images + noise), 0, 255).astype(np.uint8)


def _gauges(
    real: ImageSet, train_rows: np.typing.NDArray[np.int64], kept: Images, network: FeatureNetwork, seed: int
) -> dict[str, Memorization]:
    """Run the gauge with one half as training images: on the other half, and on copies of several kinds."""
    rng = np.random.default_rng(seed)
    train_images = np.ascontiguousarray(real.images[train_rows])
    half = len(kept) // 2
    fresh, baseline = kept[:half], kept[half : 2 * half]
    copies = train_images[rng.permutation(len(train_images))[:half]]
    tenth = fresh.copy()
    tenth[: max(1, half // 10)] = copies[: max(1, half // 10)]
    sets = {
        "held-out images": fresh,
        "copies": copies,
        "mirrored copies": copies[..., ::-1],
        "copies with noise": noisy(copies, 4, rng),
        "a tenth copies": tenth,
        "noise": rng.integers(0, 256, fresh.shape, dtype=np.uint8),
    }
    train = extract(network, train_images, what="features of training images")

    def nearest(images: Images) -> Nearest:
        return nearest_images(
            extract(network, images, quiet=True), train, extract(network, images[..., ::-1], quiet=True)
        )

    val = nearest(baseline)
    return {name: memorization(nearest(images), val) for name, images in sets.items()}


def _graded_checks(figures: dict[str, Figures]) -> list[Expectation]:
    return [
        _ladder(f"{name} {'rises' if metric.lower_is_better else 'falls'} with {what}", figures, name, sets)
        for name, metric in METRICS.items()
        if metric.graded and all(each[name].value is not None for each in figures.values())
        for what, sets in _ladders(figures)
    ]


def _floor_check(figures: dict[str, Figures]) -> Expectation:
    floor, ceiling = _value(figures, "real", "kid"), _value(figures, "noise", "kid")
    seen = f"{floor:.4g} against {ceiling:.4g} for noise"
    return Expectation("kid of real against real is nearly 0", abs(floor) < 0.02 * ceiling, seen)


def _ladders(figures: dict[str, Figures]) -> list[tuple[str, list[str]]]:
    ladders = [
        ("more blur", ["real", *(f"blur {sigma:g} px" for sigma in BLURS)]),
        ("more noise", ["real", *(f"noise {sigma} of 255" for sigma in NOISES), "noise"]),
        ("fewer distinct images", ["real", *(f"{share:.0%} distinct" for share in DISTINCT)]),
    ]
    return ladders + ([("one class instead of all", ["real", "one class"])] if "one class" in figures else [])


def _shape_checks(figures: dict[str, Figures]) -> list[Expectation]:
    few = f"{DISTINCT[-1]:.0%} distinct"
    # Precision on one rung only: the ball of one real outlier can reach as far as noise.
    blurred_most = f"blur {BLURS[-1]:g} px"
    checks = [_ladder(f"precision falls at {blurred_most}", figures, "precision", ["real", blurred_most])]
    checks += [
        _ladder(f"recall falls at {name}", figures, "recall", ["real", name])
        for name in (few, "one class")
        if name in figures
    ]
    spread, whole = _value(figures, few, "precision"), _value(figures, "real", "precision")
    seen = f"{spread:.3f} against {whole:.3f}"
    checks.append(
        Expectation("few images many times over are as precise as all", abs(spread - whole) <= 0.25, seen)
    )
    density = _value(figures, "real", "density")
    checks.append(Expectation("density of real images is about 1", abs(density - 1) < 0.35, f"{density:.3f}"))
    covered = _value(figures, "noise", "coverage")
    return [*checks, Expectation("noise covers next to nothing", covered < 0.05, f"{covered:.3f}")]


def _value(figures: dict[str, Figures], name: str, metric: str) -> float:
    value = figures[name][metric].value
    if value is None:
        raise EvaluationError(f"the {metric} of {name} was refused")
    return value


def _gauge_checks(gauges: dict[str, Memorization]) -> list[Expectation]:
    silent = ("held-out images", "noise")
    return [
        Expectation(
            f"the memorization gauge {'is silent' if name in silent else 'rings'} on {name}",
            gauge.rings == (name not in silent),
            f"ratio {gauge.distance_ratio:.3f}, z {gauge.z:+.1f}, copies {gauge.copies:.1%}",
        )
        for name, gauge in gauges.items()
    ]


def _refusal_check(protocol: Protocol) -> Expectation:
    few = min(len(protocol), protocol.network.num_features)
    try:
        frechet_distance(protocol.reference[:few], protocol.other[:few])
    except EvaluationError as error:
        return Expectation(f"the Fréchet distance of {few} images is refused", True, str(error))
    refused = frechet_refusal(few, protocol.network.num_features)
    return Expectation(f"the Fréchet distance of {few} images is refused", False, f"it was given; {refused}")


def _ladder(claim: str, figures: dict[str, Figures], metric: str, names: Sequence[str]) -> Expectation:
    """Check that a figure worsens from the first set to the last, and nowhere gets better on the way.

    Both beyond its 95 % intervals: a rung on which the estimate cannot tell two sets apart proves nothing.
    """
    sign = 1 if METRICS[metric].lower_is_better else -1
    rungs = [figures[name][metric] for name in names]
    ends = [sorted(sign * _known(end, rung) for end in (rung.low, rung.high)) for rung in rungs]
    values = [_known(rung.value, rung) for rung in rungs]
    worse = ends[-1][0] > ends[0][1] and sign * values[-1] > sign * values[0]
    never_better = all(before[0] <= after[1] for before, after in itertools.pairwise(ends))
    seen = (" < " if sign > 0 else " > ").join(f"{value:.4g}" for value in values)
    return Expectation(claim, worse and never_better, seen)


def _known(end: float | None, rung: Figure) -> float:
    """Return an end of an interval; the figure itself without an interval."""
    found = rung.value if end is None else end
    if found is None:
        raise EvaluationError(rung.note)
    return found
