from __future__ import annotations

import numpy as np
from PIL import Image


def scene(seed: int, width: int = 120, height: int = 90) -> Image.Image:
    """Something with shapes at every scale, as photographs have; each seed's is far from the others'."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(40, 256, (side, side, 3), dtype=np.uint8)).resize(
            (width, height), Image.Resampling.BICUBIC
        )
        for side in (3, 6, 12, 24)
    ]
    return Image.fromarray(np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8))
