from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.recording import MakeFolder


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "ninelives"


@pytest.fixture
def make_folder(tmp_path: Path) -> MakeFolder:
    """A folder with so many images of distinct content per sub-folder ("." for none)."""

    def make(counts: dict[str, int], name: str = "images", size: int = 8, seed: int = 0) -> Path:
        rng = np.random.default_rng(seed)
        for folder, count in counts.items():
            path = tmp_path / name / folder
            path.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                pixels = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(path / f"{number:04}.png")
        return tmp_path / name

    return make
