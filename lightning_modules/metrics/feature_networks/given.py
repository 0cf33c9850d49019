"""Networks of the user: a file, or an attribute of a Python module."""

from __future__ import annotations

import hashlib
import importlib
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork, resized


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
    def cache_key(self) -> str:
        """Name and a hash of the file."""
        return f"{self.name}-{self._hash}"

    def features(self, images: Tensor) -> Tensor:
        """Map images to the file's first output."""
        x = images.float() if self._side is None else resized(images, self._side)
        x = x.round().to(torch.uint8) if self._bytes else x / 127.5 - 1
        return torch.from_numpy(self._session.run(None, {self._input: x.cpu().numpy()})[0])


def from_file(path: Path) -> FeatureNetwork:
    """Read a network from a file.

    Raises:
        ModuleNotFoundError: If a package that reads it is missing.
        ValueError: If it is of neither kind, or takes no images.
    """
    if path.suffix == ".onnx":
        return OnnxFile(path)
    try:
        module = torch.jit.load(str(path), map_location="cpu")
    except RuntimeError as error:
        raise ValueError(f"{path} is neither a .onnx nor a TorchScript file") from error
    return GivenModule(module, path.name)


def from_python(spec: str, module_name: str, attribute: str) -> FeatureNetwork:
    """Import a network, or what makes one when called.

    Raises:
        ValueError: If it cannot be imported, or takes no images.
    """
    try:
        found = getattr(importlib.import_module(module_name), attribute)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"the feature network {spec} cannot be imported ({error})") from error
    module = found if isinstance(found, nn.Module) else found()
    return module if isinstance(module, FeatureNetwork) else GivenModule(module, spec)
