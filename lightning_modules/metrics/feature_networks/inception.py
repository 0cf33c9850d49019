from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import lightning.pytorch  # noqa: F401  (before torchmetrics)
from torch import Tensor

from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork


class Inception(FeatureNetwork):
    """The Inception network of the published Fréchet distances, through torchmetrics and torch-fidelity.

    2,048 features; images are resized to 299 px by torchmetrics. Without a weights file the weights are
    downloaded on first use.

    Args:
        weights: File of torch-fidelity's weights; None downloads them.

    Raises:
        ModuleNotFoundError: If torch-fidelity is not installed.
        ValueError: If the weights can be neither downloaded nor read.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__("inception-v3-compat", 2048)
        from torchmetrics.image.fid import NoTrainInceptionV3

        if find_spec("torch_fidelity") is None:
            raise ModuleNotFoundError(
                "the feature network 'inception' needs torch-fidelity and torchvision: "
                "pip install torch-fidelity torchvision (the torchvision of your torch build)"
            )
        try:
            path = None if weights is None else str(weights)
            self.body = NoTrainInceptionV3(self.name, ["2048"], path).requires_grad_(False)
        except (OSError, RuntimeError) as error:
            what = "downloaded" if weights is None else f"read from {weights}"
            raise ValueError(
                f"Inception's weights cannot be {what} ({str(error).splitlines()[0]}). Give them as "
                f"--features inception:WEIGHTS.pth, or take --features efficientnet, which needs no network"
            ) from error
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Map images to Inception's last pooling."""
        pooled: Tensor = self.body(images)
        return pooled

    def logits(self, features: Tensor) -> Tensor:
        """Map features to the 1,008 logits without bias that the published Inception score uses."""
        weight: Tensor = self.body.fc.weight
        return features @ weight.T
