from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.helpers.scenes import scene


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes with one of everything that is to be found."""
    root = tmp_path / "pets"
    for name in ("cats", "dogs"):
        (root / name).mkdir(parents=True)
    for seed in range(12):
        scene(seed).save(root / "cats" / f"{seed:02}.png")
    for seed in range(12, 14):
        scene(seed).save(root / "dogs" / f"{seed}.jpg", quality=95)
    (root / "cats" / "copy.png").write_bytes((root / "cats" / "00.png").read_bytes())
    scene(1).resize((60, 45), Image.Resampling.BICUBIC).save(root / "cats" / "small.jpg", quality=90)
    (root / "dogs" / "cat.png").write_bytes((root / "cats" / "02.png").read_bytes())
    barred = Image.new("RGB", (120, 120))
    barred.paste(scene(20), (0, 15))
    barred.save(root / "cats" / "barred.png")
    Image.new("RGB", (90, 90), (250, 250, 250)).save(root / "cats" / "blank.png")
    scene(21).save(root / "cats" / "webp.jpg", "WEBP", lossless=True)
    (root / "dogs" / "page.jpg").write_text("<!doctype html><title>404</title>")
    (root / "dogs" / "empty.jpg").touch()
    (root / "dogs" / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    return root
