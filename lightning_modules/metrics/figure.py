"""What a metric is given, and what it returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from torch import Tensor

from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork

T = TypeVar("T")


@dataclass(frozen=True)
class Figure:
    """A number that can be questioned.

    Args:
        value: The estimate; None if it is refused.
        low: Lower end of its 95 % interval, where there is one.
        high: Upper end.
        note: Where the interval comes from, or why the figure is refused.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    note: str = ""


Figures = dict[str, Figure]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Features of as many sampled as real images.

    Args:
        real: Features, (N, F).
        fake: Features, (N, F).
        network: Where they come from, if that is known.
    """

    real: Tensor
    fake: Tensor
    network: FeatureNetwork | None = None
    _results: dict[Callable[..., Any], Any] = field(default_factory=dict, repr=False)

    def once(self, function: Callable[[Tensor, Tensor], T]) -> T:
        """Return what a function makes of both sets, which several metrics share and is computed once."""
        if function not in self._results:
            self._results[function] = function(self.real, self.fake)
        result: T = self._results[function]
        return result
