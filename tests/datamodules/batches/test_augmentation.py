from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from datamodules.batches.augmentation import AUGMENTATIONS, Augmentation
from datamodules.batches.batches import TrainBatches
from datamodules.batches.finishing import AugmentedBatch
from datamodules.index.index import DataError
from tests.helpers.recording import MakeFolder, data_module, first, fit, ready

ALWAYS = Augmentation(probability=1.0)


def parameters(**values: float) -> Tensor:
    names = ("mirror", "scale", "cosine", "sine", "along", "across", "right", "down")
    return torch.tensor([[values.get(name, 0.0) for name in names]], dtype=torch.float64)


def turned(degrees: float) -> dict[str, float]:
    return {"cosine": math.cos(math.radians(degrees)) - 1, "sine": math.sin(math.radians(degrees))}


def blob(
    size: int = 48, right: float = 0.0, down: float = 0.0, width: float = 5.0, height: float = 5.0
) -> Tensor:
    """A soft spot off the center by (right, down) pixels, (1, 1, size, size) float64."""
    place = torch.arange(size, dtype=torch.float64) + 0.5 - size / 2
    across, along = torch.exp(-(((place - right) / width) ** 2)), torch.exp(-(((place - down) / height) ** 2))
    return (along[:, None] * across[None])[None, None]


def close(one: Tensor, other: Tensor, tolerance: float = 0.02) -> bool:
    """Compare the middle, as near the edges there may be reflections."""
    middle = slice(one.shape[-1] // 4, -one.shape[-1] // 4)
    return bool((one - other)[..., middle, middle].abs().max() < tolerance)


def test_nothing_is_done_bit_for_bit_where_the_parameters_are_zero() -> None:
    images = torch.randn(5, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    varied = ALWAYS.parameters(0, np.arange(5), 16)
    varied[[1, 3]] = 0
    result = ALWAYS.apply(images, torch.from_numpy(varied))
    assert [bool(a.equal(b)) for a, b in zip(result, images, strict=True)] == [
        False,
        True,
        False,
        True,
        False,
    ]


def test_mirroring_is_exact() -> None:
    images = torch.randn(2, 3, 8, 8)
    mirrored = parameters(mirror=1.0).float().expand(2, -1)
    assert ALWAYS.apply(images, mirrored).equal(images.flip(-1))


def test_translation_is_right_and_down() -> None:
    shifted = ALWAYS.apply(blob(), parameters(right=1.0, down=-0.5))  # 0.125 * 48 = 6 pixels a unit
    assert close(shifted, blob(right=6.0, down=-3.0))


def test_scale_is_in_octaves() -> None:
    grown = Augmentation(scale=1.0).apply(blob(width=4.0, height=3.0), parameters(scale=1.0))
    assert close(grown, blob(width=8.0, height=6.0))
    shrunk = Augmentation(scale=0.5).apply(blob(width=8.0, height=6.0), parameters(scale=-2.0))
    assert close(shrunk, blob(width=4.0, height=3.0))


def test_rotation_takes_right_to_down() -> None:
    """Rows count downwards, so a positive angle turns clockwise to the eye."""
    assert close(ALWAYS.apply(blob(right=10.0), parameters(**turned(90))), blob(down=10.0))
    half = 10 * math.sqrt(0.5)
    assert close(ALWAYS.apply(blob(right=10.0), parameters(**turned(-45))), blob(right=half, down=-half))


def test_anisotropy_stretches_along_its_axis_and_squeezes_across() -> None:
    stretch = Augmentation(anisotropy=0.5)
    assert close(stretch.apply(blob(), parameters(along=1.0)), blob(width=5 * 2**0.5, height=5 * 2**-0.5))
    assert close(stretch.apply(blob(), parameters(along=-1.0)), blob(width=5 * 2**-0.5, height=5 * 2**0.5))
    diagonal = stretch.apply(blob(), parameters(across=1.0))
    upright = ALWAYS.apply(diagonal, parameters(**turned(-45)))
    assert close(upright, blob(width=5 * 2**0.5, height=5 * 2**-0.5))
    area = torch.linalg.det(stretch.sources(parameters(along=0.3, across=-0.7))[:, :, :2])
    assert area.item() == pytest.approx(1.0)


def test_different_deformations_have_different_parameters() -> None:
    side = torch.linspace(-3, 3, 25, dtype=torch.float64)
    pairs = torch.cartesian_prod(side, side)
    drawn = torch.zeros(len(pairs), AUGMENTATIONS, dtype=torch.float64)
    drawn[:, 4:6] = pairs
    between = torch.pdist(ALWAYS.sources(drawn).flatten(1))
    assert (between / torch.pdist(pairs)).min() > 0.1


def test_parts_are_composed_in_the_published_order() -> None:
    """Scale, rotation, anisotropy, translation, each undone in the opposite order."""
    parts = [{"scale": 0.7}, turned(33), {"along": 0.4, "across": -0.8}, {"right": 0.6, "down": 0.2}]
    last = torch.tensor([[[0.0, 0.0, 1.0]]], dtype=torch.float64)
    way_back = torch.eye(3, dtype=torch.float64)
    for part in parts:
        way_back = way_back @ torch.cat([ALWAYS.sources(parameters(**part)), last], dim=1)[0]
    together = ALWAYS.sources(parameters(**{name: value for part in parts for name, value in part.items()}))
    torch.testing.assert_close(together[0], way_back[:2])


def test_shrinking_does_not_alias() -> None:
    """Stripes finer than the shrunken pixels become their mean, not other stripes."""
    stripes = (torch.arange(64, dtype=torch.float64) % 2).expand(1, 1, 64, 64)
    shrunk = Augmentation(scale=1.0).apply(stripes, parameters(scale=-1.0))
    assert close(shrunk, torch.full((1, 1, 64, 64), 0.5, dtype=torch.float64), 0.1)


def test_parameters_are_pure_in_seed_and_position() -> None:
    whole = ALWAYS.parameters(5, np.arange(100), 32)
    assert whole.shape == (100, AUGMENTATIONS)
    np.testing.assert_array_equal(ALWAYS.parameters(5, np.arange(40, 60), 32), whole[40:60])
    assert not np.array_equal(ALWAYS.parameters(6, np.arange(100), 32), whole)


def test_parameters_have_the_published_distributions() -> None:
    n = 40_000
    drawn = ALWAYS.parameters(0, np.arange(n), 32).astype(np.float64)
    mirror, scale, cosine, sine, along, across, right, down = drawn.T
    assert abs(mirror.mean() - 0.5) < 0.02
    np.testing.assert_allclose((cosine + 1) ** 2 + sine**2, 1.0, atol=1e-6)
    assert abs(np.arctan2(sine, cosine + 1).std() - math.pi / math.sqrt(3)) < 0.03
    for normal in (scale, right, down):
        assert abs(normal.mean()) < 0.03
        assert abs(normal.std() - 1) < 0.03
        assert abs((normal**4).mean() - 3) < 0.3
    assert abs((along**2 + across**2).mean() - 1) < 0.03
    table = np.corrcoef(drawn.T) - np.eye(AUGMENTATIONS)
    assert np.abs(table).max() < 0.03


@pytest.mark.parametrize("probability", [0.0, 0.12])
def test_each_part_happens_at_the_asked_rate_and_by_itself(probability: float) -> None:
    drawn = Augmentation(probability).parameters(1, np.arange(20_000), 32)
    happened = np.stack([drawn[:, 1] != 0, drawn[:, 3] != 0, drawn[:, 4] != 0, drawn[:, 6] != 0])
    np.testing.assert_allclose(happened.mean(axis=1), probability, atol=0.01)
    assert abs((happened[0] & happened[1]).mean() - probability**2) < 0.006
    assert abs((drawn[:, 0] != 0).mean() - probability / 2) < 0.01


def test_what_is_switched_off_is_zero() -> None:
    off = Augmentation(1.0, mirror=False, scale=0.0, rotation=0.0, anisotropy=0.0, translation=0.0)
    assert not off.parameters(0, np.arange(100), 32).any()


def test_whole_pixels_need_no_interpolation() -> None:
    only = Augmentation(1.0, False, scale=0, rotation=0, anisotropy=0, translation=0.125, whole_pixels=True)
    shifts = only.parameters(0, np.arange(100), 32)[:, 6:] * 0.125 * 32
    np.testing.assert_allclose(shifts, np.rint(shifts), atol=1e-5)
    assert (np.abs(shifts) > 0.5).any()


@pytest.mark.parametrize(("name", "value"), [("probability", 1.1), ("scale", -1.0), ("translation", -0.1)])
def test_settings_out_of_range_are_refused_by_name(name: str, value: float) -> None:
    with pytest.raises(DataError, match=rf"augmentation\.{name}"):
        Augmentation(**{name: value})


def test_batches_carry_the_condition_and_val_ones_do_not(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 12})
    module = ready(root, augmentation=ALWAYS, val_fraction=0.3)
    batch = module.on_after_batch_transfer(first(module.train_dataloader(), 1)[0], 0)
    assert isinstance(batch, AugmentedBatch)
    assert module.augmentations == batch.augmentation.shape[1] == AUGMENTATIONS
    plain = ready(root, val_fraction=0.3)
    assert plain.augmentations == 0
    wanted = plain.on_after_batch_transfer(first(plain.train_dataloader(), 1)[0], 0)
    assert batch.images.equal(ALWAYS.apply(wanted.images, batch.augmentation))
    assert [len(val) for val in module.val_dataloader()] == [2] * len(module.val_dataloader())
    assert len(fit(tmp_path, data_module(root, augmentation=ALWAYS), max_steps=2).steps) == 2


def test_augmentation_does_not_depend_on_ranks_and_micro_batches(make_folder: MakeFolder) -> None:
    data = ready(make_folder({"a": 12}), val_fraction=0)._opened.train
    options = {"flip": True, "seed": 3, "augmentation": ALWAYS, "crop_limit": 0.7, "size": 8}
    whole = TrainBatches(data, 8, **options)
    parts = [TrainBatches(data, 4, rank=rank, world_size=2, **options) for rank in (0, 1)]
    for name in ("images", "labels", "boxes", "augmentation"):
        together = torch.cat([getattr(part[9], name) for part in parts])
        assert together.equal(getattr(whole[9], name))
