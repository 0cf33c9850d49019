"""What TensorBoard says about a run's curves, and how it groups them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from lightning_modules.metrics.table import METRICS

Layout = dict[str, dict[str, tuple[str, list[str]]]]
"""Chart by category and title: what kind, and regular expressions of its curves."""

_DESCRIPTIONS = {
    r"loss": "Loss of the step's training images, weighted by noise level.",
    r"loss/val": "The same on held-out images: averaged weights, the same noise at every validation.",
    r"learning_rate": "Learning rate of the step.",
    r"gradient_norm": "Norm of the gradient before clipping.",
    r"images_seen": "Images trained on so far: steps times the images of a step, over all devices.",
    r"skipped_steps": "Steps that were not taken, because loss or gradient was not finite or an outlier.",
    r"cost/usd": "US dollars spent on the run so far.",
    r"throughput/images_per_second": "Without validation, saving and sampling.",
    r"throughput/data_wait_share": "Share of the time that training waits for data; workers help.",
    r"error_sigma_.*/train": "Squared error per pixel value on training images in this band of noise levels.",
    r"error_sigma_.*/val": (
        "The same on held-out images, with the averaged weights. Nothing is learned in this band until it is "
        "below identity and constant. Where it rises while train falls, the model memorizes."
    ),
    r"error_sigma_.*/identity": "Baseline: the noisy image itself is the answer.",
    r"error_sigma_.*/constant": "Baseline: the mean training image is the answer.",
    **{rf"evaluation/{name}": metric.text for name, metric in METRICS.items()},
    r"evaluation/kid_floor": "The KID of other real images: no model gets below it, except by chance.",
    r"evaluation/copies": "Share of samples that are copies of training images.",
    r"evaluation/copies_val": "The same of held-out images: near-duplicates in the data.",
    r"evaluation/nearest_distance_over_val": (
        "Median distance of samples to the nearest training image, over that of held-out images. Well below "
        "1 the model memorizes."
    ),
    r"samples": "The same noise and classes at every step, sampled with the averaged weights.",
    r"evaluation/samples": "Sampled with the averaged weights; the class that was asked for stands below.",
    r"evaluation/closest_pairs": "The samples nearest to a training image, next to that image.",
}


def description(tag: str) -> str:
    """Return what TensorBoard says about a curve or a picture; empty where its name says all."""
    return next((text for pattern, text in _DESCRIPTIONS.items() if re.fullmatch(pattern, tag)), "")


def layout(groups: Sequence[str], evaluated: bool) -> Layout:
    """Return TensorBoard's custom scalars: what belongs together in one chart.

    Args:
        groups: The groups of the errors by noise level, `error_sigma_low_to_high`.
        evaluated: Whether samples are evaluated in training.
    """
    charts: Layout = {"Loss": {"Training and held-out images": _chart("loss", "loss/val")}}
    names = ("train", "val", "identity", "constant")
    if groups:
        charts["Error by noise level"] = {
            group.removeprefix("error_").replace("_", " "): _chart(*(f"{group}/{name}" for name in names))
            for group in groups
        }
    if evaluated:
        charts["Evaluation"] = {
            "Kernel Inception distance": _chart("evaluation/kid", "evaluation/kid_floor"),
            "Copies": _chart("evaluation/copies", "evaluation/copies_val"),
        }
    return charts


def _chart(*tags: str) -> tuple[str, list[str]]:
    return "Multiline", [f"^{re.escape(tag)}$" for tag in tags]
