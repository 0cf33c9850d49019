"""The features of images, and where they are kept."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from datamodules.utils.io import atomic_write, write_text
from datamodules.utils.progress import progress
from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork

_FORMAT = 1
_log = logging.getLogger(__name__)
Images = npt.NDArray[np.uint8]


class PrecomputedFeatures(nn.Module):
    """Stand in for a feature network in a torchmetrics metric that is given features instead of images.

    Args:
        num_features: Length of a feature vector.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        """Return the features as they are."""
        return features


def extract(
    network: FeatureNetwork, images: Images, batch_size: int = 64, what: str = "features", quiet: bool = False
) -> Tensor:
    """Take the features of images in batches.

    Args:
        network: The feature network, on the device to use.
        images: uint8, (N, 3, H, W).
        batch_size: Images at a time.
        what: Text of the progress bar.
        quiet: Show no bar.

    Returns:
        Features, float32, (N, F), on the CPU.
    """
    network.eval()
    device = next((tensor.device for tensor in network.state_dict().values()), torch.device("cpu"))
    parts = []
    with progress(total=len(images), desc=what, unit="image", disable=quiet, delay=1.0) as bar:
        for start in range(0, len(images), batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(images[start : start + batch_size]))
            parts.append(network(batch.to(device)).cpu())
            bar.update(len(batch))
    return torch.cat(parts) if parts else torch.empty(0, network.num_features)


def cached_features(
    network: FeatureNetwork,
    images: Images,
    cache_dir: Path,
    batch_size: int = 64,
    what: str = "features",
    quiet: bool = False,
) -> Tensor:
    """Take the features of images, or read them if they were taken before.

    The file is named by a hash of the pixels themselves and of the network's weights, so that it can never
    belong to other data, another crop or another network, and it is published whole.

    Args:
        network: The feature network.
        images: uint8, (N, 3, H, W).
        cache_dir: Folder of the cache.
        batch_size: Images at a time.
        what: Text of the progress bar.
        quiet: Show no bar.

    Returns:
        Features, float32, (N, F), on the CPU.
    """
    key = hashlib.blake2b(f"{_FORMAT} {network.cache_key} {images.shape}".encode(), digest_size=16)
    for start in range(0, len(images), 1024):
        key.update(np.ascontiguousarray(images[start : start + 1024]).tobytes())
    path = cache_dir.expanduser() / "features" / f"{key.hexdigest()}.npy"
    found = _read(path, (len(images), network.num_features))
    if found is not None:
        return found
    features = extract(network, images, batch_size, what, quiet)
    try:
        _publish(path, features)
    except OSError as error:  # the next evaluation takes them again, no more
        _log.warning("Features are not kept in %s: %s", path.parent, error.strerror or error)
    return features


def _read(path: Path, shape: tuple[int, int]) -> Tensor | None:
    """Return what a cache file holds, or none if it is missing, torn or altered."""
    try:
        stored = np.load(path, allow_pickle=False)
        digest = path.with_suffix(".blake2b").read_text()
    except (OSError, ValueError, EOFError):
        return None
    whole = stored.shape == shape and stored.dtype == np.float32 and _digest(stored) == digest
    return torch.from_numpy(stored) if whole else None


def _publish(path: Path, features: Tensor) -> None:
    array = features.numpy()
    with atomic_write(path) as file:
        np.save(file, array, allow_pickle=False)
    write_text(path.with_suffix(".blake2b"), _digest(array))


def _digest(array: npt.NDArray[np.float32]) -> str:
    return hashlib.blake2b(np.ascontiguousarray(array).tobytes(), digest_size=16).hexdigest()
