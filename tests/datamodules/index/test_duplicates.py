from __future__ import annotations

import io
import itertools
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

from datamodules.index.duplicates import NEAR, equal_rows, near_rows, perceptual_hash
from datamodules.index.index import scan_folder
from tests.helpers.image_files import touch


def groups(found: tuple[np.ndarray, ...]) -> list[list[int]]:
    return [group.tolist() for group in found]


def test_copies_are_grouped(tmp_path: Path) -> None:
    root = touch(tmp_path, "a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg")
    (root / "d.jpg").write_bytes(b"a.jpg")
    (root / "e.jpg").write_bytes(b"b.jpg")
    (root / "f.jpg").write_bytes(b"a.jpg")
    assert groups(scan_folder(root).duplicates) == [[0, 3, 5], [1, 4]]


def test_equal_rows_of_none_one_and_random() -> None:
    assert equal_rows(np.empty((0, 16), np.uint8)) == ()
    assert equal_rows(np.zeros((1, 16), np.uint8)) == ()
    rows = np.random.default_rng(0).integers(0, 2, (500, 16), dtype=np.uint8)
    rows[:, 4:] = 0
    expected: dict[bytes, list[int]] = {}
    for number, row in enumerate(rows):
        expected.setdefault(row.tobytes(), []).append(number)
    assert groups(equal_rows(rows)) == [group for group in expected.values() if len(group) > 1]


def scene(seed: int) -> Image.Image:
    """Something with shapes at every scale, as photographs have."""
    rng = np.random.default_rng(seed)
    layers = [
        Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8)).resize(
            (200, 150), Image.Resampling.BICUBIC
        )
        for side in (3, 6, 12, 24)
    ]
    return Image.fromarray(np.mean([np.asarray(layer) for layer in layers], axis=0).astype(np.uint8))


def hashed(image: Image.Image) -> np.ndarray:
    return perceptual_hash(np.asarray(image.convert("L").resize((64, 64), Image.Resampling.BICUBIC)))


def distance(one: np.ndarray, two: np.ndarray) -> int:
    return int(np.bitwise_count(one ^ two).sum())


def compressed(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file)


def test_what_looks_the_same_is_near_and_another_picture_is_far() -> None:
    images = [scene(seed) for seed in range(12)]
    hashes = [hashed(image) for image in images]
    for image, own in zip(images, hashes, strict=True):
        for again in (
            compressed(image),
            image.resize((100, 75), Image.Resampling.BICUBIC),
            image.convert("L"),
            ImageEnhance.Brightness(image).enhance(1.1),
        ):
            assert distance(hashed(again), own) <= NEAR
    assert min(distance(a, b) for a, b in itertools.combinations(hashes, 2)) > 3 * NEAR


def test_near_rows_finds_what_comparing_all_pairs_finds() -> None:
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2, (300, 256), dtype=np.uint8)
    for row in range(150, 300):  # a chain of groups: each differs from an earlier row in up to 24 bits
        bits[row] = bits[rng.integers(row)]
        bits[row, rng.permutation(256)[: rng.integers(0, 25)]] ^= 1
    hashes = np.packbits(bits, axis=1)
    near = (bits[:, None] ^ bits[None]).sum(axis=2) <= NEAR
    reached = near
    while (further := (reached.astype(int) @ near) > 0).sum() > reached.sum():
        reached = further
    expected = sorted({tuple(np.flatnonzero(row).tolist()) for row in reached if row.sum() > 1})
    assert [tuple(group) for group in groups(near_rows(hashes))] == expected
    assert near_rows(hashes[:1]) == () == near_rows(hashes[:0])


def test_a_crowd_of_the_same_is_one_group() -> None:
    rng = np.random.default_rng(0)
    bits = np.zeros((3000, 256), np.uint8)
    for row in bits:
        row[rng.integers(0, 256, 4)] = 1
    assert groups(near_rows(np.packbits(bits, axis=1))) == [list(range(3000))]


def test_flat_images_have_a_hash() -> None:
    assert perceptual_hash(np.full((64, 64), 200, np.uint8)).shape == (32,)
