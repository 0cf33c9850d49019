from __future__ import annotations

import warnings

import lightning.pytorch  # noqa: F401  (before torchmetrics)
import torch
from torch import Tensor, nn
from torchmetrics.image.inception import InceptionScore

from lightning_modules.metrics.figure import Comparison, Figure
from lightning_modules.metrics.pairs import EvaluationError, own_generator


def inception(comparison: Comparison) -> Figure:
    """Return `inception_score` with its deviation, or why it is refused."""
    network, fake = comparison.network, comparison.fake
    with torch.no_grad():
        device = next(iter(network.state_dict().values())).device if network else torch.device("cpu")
        logits = None if network is None else network.logits(fake.to(device))
    if network is None or logits is None:
        return Figure(None, note="the feature network is no classifier")
    try:
        mean, std = inception_score(logits.cpu())
    except EvaluationError as error:
        return Figure(None, note=str(error))
    return Figure(mean, mean - std, mean + std, f"mean and deviation over 10 splits, by {network.name}")


def inception_score(logits: Tensor, splits: int = 10) -> tuple[float, float]:
    """Return the Inception score and its standard deviation over splits: Salimans et al. 2016, section 4.

    It knows nothing of the training images, is blind to memorization and to what its classifier never saw,
    and says little of cats alone, which fall into few of the classifier's classes. Given for completeness.

    Args:
        logits: Of the samples, (N, K).
        splits: Parts whose scores are averaged.

    Raises:
        EvaluationError: If there are fewer than two images a split, or a logit is not finite.
    """
    if len(logits) < 2 * splits or not logits.isfinite().all():
        raise EvaluationError(
            f"an Inception score in {splits} splits needs {2 * splits} finite logits, not {len(logits)}"
        )
    with warnings.catch_warnings(), own_generator(0):
        warnings.filterwarnings("ignore", "Metric `InceptionScore` will save all")
        metric = InceptionScore(nn.Identity(), splits=splits)
        metric.update(logits.double())
        mean, std = metric.compute()
    return float(mean), float(std)
