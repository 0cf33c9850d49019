from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from datamodules.errors import DataError
from lightning_modules.evaluation.image_sets import (
    ImageSet,
    class_shares,
    equal_sides,
    folder_images,
    matched_counts,
    split_real,
)
from lightning_modules.metrics.pairs import EvaluationError
from lightning_modules.sampling.figures import FIGURES, FOLDER_MANIFEST


def image_set(sizes, val=0.0, names=None, seed=0) -> ImageSet:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (len(labels), 3, 4, 4), dtype=np.uint8)
    names = names or tuple("abcdefgh"[: len(sizes)])
    return ImageSet("real", images, labels, names, rng.random(len(labels)) < val, "0")


def images(folder, *names):
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", (8, 8), (len(name), 0, 0)).save(folder / name)
    return folder


def test_pictures_of_samples_are_left_out_where_a_manifest_lies(tmp_path):
    folder = images(tmp_path / "drawn", "00000.png", "00001.png", *FIGURES)
    (folder / FOLDER_MANIFEST).write_text("{}")
    found = folder_images(folder, cache_dir=tmp_path / "cache")
    assert found.images.shape == (2, 3, 8, 8)
    assert folder_images(folder, 4, tmp_path / "cache").images.shape == (2, 3, 4, 4)


def test_somebody_s_own_images_of_such_names_are_images(tmp_path):
    folder = images(tmp_path / "mine", "one.png", *FIGURES)
    assert len(folder_images(folder, cache_dir=tmp_path / "cache")) == 1 + len(FIGURES)
    (folder / "set.npz.json").write_text("{}")  # beside samples in one file, which is not among them
    assert len(folder_images(folder, cache_dir=tmp_path / "cache")) == 1 + len(FIGURES)


def test_pictures_of_samples_alone_are_no_samples(tmp_path):
    folder = images(tmp_path / "drawn", *FIGURES)
    (folder / FOLDER_MANIFEST).write_text("{}")
    with pytest.raises(DataError, match=str(folder)):
        folder_images(folder, cache_dir=tmp_path / "cache")


@pytest.mark.parametrize(
    ("available", "shares", "wanted", "counts"),
    [
        ([50, 50], [0.5, 0.5], 40, [20, 20]),
        ([50, 50], [0.5, 0.5], 1000, [50, 50]),
        ([50, 10], [0.5, 0.5], 1000, [10, 10]),
        ([90, 10], [0.9, 0.1], 50, [45, 5]),
        ([5, 5, 5], [1 / 3, 1 / 3, 1 / 3], 10, [4, 3, 3]),
        ([50, 0], [0.9, 0.1], 20, [20, 0]),
        ([0, 0], [0.5, 0.5], 20, [0, 0]),
    ],
)
def test_counts_have_the_shares_and_are_there(available, shares, wanted, counts):
    assert matched_counts(np.array(available), np.array(shares), wanted).tolist() == counts


@pytest.mark.parametrize("sizes", [(40, 40), (90, 9, 30), (31,)])
@pytest.mark.parametrize("wanted", [12, 10_000])
def test_halves_are_disjoint_equal_and_of_the_same_classes(sizes, wanted):
    real = image_set(sizes, val=0.2)
    split = split_real(real, wanted)
    assert len(split.reference) == len(split.other) <= wanted
    assert not set(split.reference.tolist()) & set(split.other.tolist())
    balance = [
        np.bincount(real.labels[rows], minlength=len(sizes)) for rows in (split.reference, split.other)
    ]
    assert balance[0].tolist() == balance[1].tolist()
    share = balance[0] / balance[0].sum()
    np.testing.assert_allclose(share, np.array(sizes) / sum(sizes), atol=1.5 / len(split.reference))


def test_val_images_come_first_into_the_reference():
    real = image_set((60, 60), val=0.2)
    split = split_real(real, 40)
    assert real.val[split.reference].sum() == real.val.sum()
    assert not real.val[split.other].any()
    assert f"{real.val.sum()} held out" in split.note


def test_fewer_images_than_asked_for_are_said():
    assert "1000 were asked for" in split_real(image_set((60,)), 1000).note


def test_choice_depends_on_the_seed_alone():
    real = image_set((60, 60))
    assert np.array_equal(split_real(real, 20).reference, split_real(real, 20).reference)
    assert not np.array_equal(split_real(real, 20).reference, split_real(real, 20, seed=1).reference)


def test_too_few_images_are_refused():
    with pytest.raises(EvaluationError, match=r"\b18\b.*\b9\b"):
        split_real(image_set((18,)), 100)


def test_shares_follow_the_samples_where_the_names_match():
    samples = image_set((10, 30), names=("c", "a"))
    shares, note = class_shares(samples, image_set((50, 50, 50)))
    assert shares.tolist() == [0.75, 0.0, 0.25]
    assert "matched" in note
    shares, note = class_shares(image_set((5,), names=("out",)), image_set((50, 50)))
    assert shares is None
    assert note.startswith("NOT matched")
    assert class_shares(samples, image_set((50,)))[1] == "one class"


def test_sides_are_equal_and_apart():
    real = image_set((60, 60), val=0.2)
    sides = equal_sides(real, 1000)
    count = int(real.val.sum())
    assert len(sides.train.images) == len(sides.val.images) == len(sides.train.labels) == count
    assert np.array_equal(sides.val.images, real.images[real.val])
    assert len(equal_sides(real, 7).train.labels) == 7
    assert equal_sides(image_set((60,)), 10) is None
