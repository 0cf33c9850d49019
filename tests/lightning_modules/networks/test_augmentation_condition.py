"""The network's condition on what was done to an image."""

from __future__ import annotations

import pytest
import torch

from datamodules.batches.augmentation import AUGMENTATIONS, Augmentation
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import (
    KINDS,
    assert_bitwise_equal,
    classes,
    data,
    draw,
    fit,
    module,
    randomize,
    weights,
    without_trainer,
)

ASKED = classes(0, 1, 2, 0)
SIGMA = torch.tensor([0.1, 0.5, 3.0, 20.0])
every_kind = pytest.mark.parametrize("kind", KINDS)


@every_kind
def test_augmentation_is_off_by_default_and_adds_one_parameter(kind):
    plain, told = module(kind), module(kind, augmentations=AUGMENTATIONS)
    extra = set(told.state_dict()) - set(plain.state_dict())
    assert extra == {"network.condition.augmentation"}
    assert not told.network.condition.augmentation.any()
    shared = {name: value for name, value in weights(told).items() if name not in extra}
    assert_bitwise_equal(shared, weights(plain))


@every_kind
def test_before_it_is_learnt_the_condition_changes_no_bit(kind):
    """The modulation of a network that has never been trained is 0: so give all else random weights."""
    plain, told = randomize(module(kind)), module(kind, augmentations=AUGMENTATIONS)
    told.load_state_dict(plain.state_dict())
    x = draw(4, 3, 8, 8)
    assert told(x, SIGMA, ASKED, draw(4, AUGMENTATIONS)).equal(plain(x, SIGMA, ASKED))


@every_kind
def test_zeros_are_as_good_as_none_and_others_are_not(kind):
    told = randomize(module(kind, augmentations=AUGMENTATIONS))
    x = draw(4, 3, 8, 8)
    none = told(x, SIGMA, ASKED)
    assert told(x, SIGMA, ASKED, torch.zeros(4, AUGMENTATIONS)).equal(none)
    for column in range(AUGMENTATIONS):
        one = torch.zeros(4, AUGMENTATIONS)
        one[:, column] = 1
        assert not told(x, SIGMA, ASKED, one).allclose(none)


@every_kind
def test_condition_belongs_to_its_image(kind):
    told = randomize(module(kind, augmentations=AUGMENTATIONS))
    x, augmentation, order = draw(4, 3, 8, 8), draw(4, AUGMENTATIONS), torch.tensor([2, 0, 3, 1])
    whole = told(x, SIGMA, ASKED, augmentation)
    mixed = told(x[order], SIGMA[order], ASKED[order], augmentation[order])
    torch.testing.assert_close(mixed, whole[order])


@every_kind
def test_training_teaches_the_condition_and_sampling_goes_without(kind, image_folder, tmp_path):
    told = module(kind, augmentations=AUGMENTATIONS)
    images = data(image_folder, augmentation=Augmentation(1.0))
    fit(tmp_path, told, images, max_steps=4)
    assert told.network.condition.augmentation.any()
    seen = []
    told.network.condition.register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    samples = sample(told, classes(0, 1), Sampling(steps=2))
    assert samples.isfinite().all()
    assert seen
    assert all(condition is None for condition in seen)


@every_kind
def test_batch_without_augmentation_trains_as_before(kind):
    plain, told = module(kind), module(kind, augmentations=AUGMENTATIONS)
    batch = (draw(4, 3, 8, 8), torch.arange(4) % 2)
    losses = [without_trainer(model).training_step(batch, 0)["loss"] for model in (plain, told)]
    assert losses[0].equal(losses[1])
