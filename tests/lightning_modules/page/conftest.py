from __future__ import annotations

from pathlib import Path

import pytest

from lightning_modules.checkpoints.facts import CheckpointFacts
from lightning_modules.module import DiffusionModule
from lightning_modules.page import front_end, writing
from lightning_modules.sampling.settings import Sampling
from lightning_modules.trained.trained import Trained
from tests.helpers.site import stand_in
from tests.helpers.tiny import module, randomize

GUIDE = 0.25


@pytest.fixture(autouse=True)
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The front end, as if it were built."""
    folder = stand_in(tmp_path / "site")
    monkeypatch.setattr(front_end, "SITE", folder)
    return folder


def run_in(folder: Path, model: DiffusionModule, sampling: Sampling = Sampling()) -> Trained:
    """A run with a model, as it is when it is loaded; its checkpoint is not one."""
    checkpoint = folder / "checkpoints" / "step=00000009.ckpt"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_text("a checkpoint")
    return Trained(checkpoint, model.eval(), sampling, CheckpointFacts(9, "averaged"))


def learned(kind: str = "dit", **options: object) -> DiffusionModule:
    """A model that gives each image and class something of its own, with an average of another length."""
    model = module(kind, **options)
    randomize(model.network)
    average = module(kind, **options)
    randomize(average.network, seed=1)
    model.ema = {GUIDE: {name: weight.detach() for name, weight in average.named_parameters()}}
    return model


def load(monkeypatch: pytest.MonkeyPatch, trained: Trained) -> Path:
    """Let a run be loaded, and return its folder."""
    monkeypatch.setattr(writing, "load_trained", lambda place, weights=None: trained)
    return trained.home.folder
