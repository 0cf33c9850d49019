"""The metrics there are. What is said about them can be read without importing torch."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from lightning_modules.metrics.figure import Comparison, Figure

_HERE = "lightning_modules.metrics"


@dataclass(frozen=True)
class Metric:
    """A figure of samples against real images.

    Args:
        title: What tables and plots call it.
        lower_is_better: Whether lower is better.
        path: Its function, `module:name`, from a `Comparison` to a `Figure`; imported when it is asked for.
        text: What TensorBoard says of its curve.
        axis: Its axis in plots: `share` of 0 to 1, `log`, or `signed`: linear as far as the floor's interval,
            logarithmic from there. None leaves it out of plots.
        graded: Whether the self-test expects it to worsen with every kind of damage.
        caution: What stands below a table that has it; follows its title.
    """

    title: str
    lower_is_better: bool
    path: str
    text: str
    axis: Literal["share", "log", "signed"] | None = None
    graded: bool = False
    caution: str = ""

    def compute(self, comparison: Comparison) -> Figure:
        """Compute it."""
        figure: Figure = pkgutil.resolve_name(self.path)(comparison)
        return figure


METRICS: dict[str, Metric] = {
    "kid": Metric(
        "KID",
        True,
        f"{_HERE}.kid:kid",
        "Kernel Inception distance of samples to real images; lower is better.",
        axis="signed",
        graded=True,
    ),
    "frechet": Metric(
        "Fréchet",
        True,
        f"{_HERE}.frechet:frechet",
        "Fréchet distance of samples to real images; lower is better. Needs more images than features.",
        axis="log",
        graded=True,
    ),
    "precision": Metric(
        "precision",
        False,
        f"{_HERE}.prdc:precision",
        "Share of samples that lie among the real images; higher is better.",
        axis="share",
    ),
    "recall": Metric(
        "recall",
        False,
        f"{_HERE}.prdc:recall",
        "Share of real images that lie among the samples; higher is better.",
        axis="share",
    ),
    "density": Metric(
        "density",
        False,
        f"{_HERE}.prdc:density",
        "How many real images a sample is near to, over what is usual; about 1 for real images.",
    ),
    "coverage": Metric(
        "coverage",
        False,
        f"{_HERE}.prdc:coverage",
        "Share of real images that a sample is near to; higher is better.",
        axis="share",
        graded=True,
    ),
    "inception_score": Metric(
        "IS",
        False,
        f"{_HERE}.inception_score:inception",
        "How sure a classifier is of each sample, and how many classes it sees; higher is better.",
        caution="knows nothing of the real images: it can exceed theirs and mean nothing",
    ),
}
"""In the order of tables."""
