"""A second kind of condition, several tags for an image: this file is all that it takes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lightning_modules.callbacks.sample_grid import SampleGrid
from lightning_modules.conditioning.conditioner import Conditioner
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.export.onnx_file import export_onnx
from lightning_modules.module import AdamWSettings, DiffusionModule
from lightning_modules.sampling.generate import sample, sample_images
from lightning_modules.sampling.settings import Sampling
from lightning_modules.sampling.store import begin, finish, sampled_set
from lightning_modules.trained.checkpoint import load_model
from tests.helpers.tiny import KINDS, module, trainer, without_trainer

NAMES = ("left", "right", "top")
HALVES = {"left": np.s_[:, :4], "right": np.s_[:, 4:], "top": np.s_[:4, :]}
SETTINGS = Sampling(steps=12, guidance=2.0)


# What a user would write


@dataclass(frozen=True, eq=False)
class TagCondition(Condition):
    """Which tags each image has, (B, T) float32, 0 or 1."""

    tags: Tensor


class TagEmbedding(nn.Module):
    """A learned vector a tag; those of an image's tags are added."""

    def __init__(self, tags: int, width: int) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(tags, width))

    def forward(self, condition: TagCondition) -> Tensor:
        return condition.tags.to(self.vectors.dtype) @ self.vectors


@dataclass(frozen=True)
class Tags(Conditioner):
    """Any number of tags for each image; none is nothing."""

    names: tuple[str, ...]

    def embedding(self, width: int) -> TagEmbedding:
        return TagEmbedding(len(self.names), width)

    def read(self, given: Any) -> TagCondition:
        return TagCondition(torch.as_tensor(given, dtype=torch.float32))

    def null(self, count: int, device: torch.device | str = "cpu") -> TagCondition:
        return TagCondition(torch.zeros(count, len(self.names), device=device))

    def every(self) -> TagCondition:
        return TagCondition(torch.eye(len(self.names)))

    def choose(self, text: str | None) -> TagCondition:
        if text is None:
            return self.every()
        wanted = [image.split("+") for image in text.split(",")]
        unknown = {tag for tags in wanted for tag in tags} - {*self.names}
        if unknown:
            raise ValueError(f"--labels {text!r}: no tag {unknown}; there are {', '.join(self.names)}")
        return self.read([[float(name in tags) for name in self.names] for tags in wanted])

    def captions(self, condition: TagCondition) -> list[str]:
        return ["+".join(tags) for tags in self.written(condition)]

    def written(self, condition: TagCondition) -> list[list[str]]:
        return [
            [name for name, there in zip(self.names, row, strict=True) if there]
            for row in condition.tags.tolist()
        ]


# Whether it works


def pictures(count: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Dark images in [-1, 1], (B, 3, 8, 8), of which each tag lights its half, and the tags (B, 3)."""
    tags = (torch.rand(count, 3, generator=torch.Generator().manual_seed(seed)) < 0.5).float()
    images = torch.full((count, 3, 8, 8), -0.5)
    for tag, half in enumerate(HALVES.values()):
        images[:, :, *half] += 0.5 * tags[:, tag].reshape(-1, 1, 1, 1)
    return images, tags


def untrained(kind: str = "dit") -> DiffusionModule:
    size = {"width": 32} if kind == "dit" else {"channels": (16, 16)}
    return module(kind, **size, conditioner=Tags(NAMES), optimizer=AdamWSettings(5e-3))


@pytest.fixture(scope="module")
def trained() -> DiffusionModule:
    model = untrained()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3, betas=(0.9, 0.99))
    for step in range(200):
        without_trainer(model, step)
        loss = model.training_step(pictures(32, step), 0)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model.eval()


def brightness(images: Tensor, tag: str) -> Tensor:
    """How much lighter a tag's half of each image is than the rest."""
    half = torch.zeros(8, 8, dtype=torch.bool)
    half[HALVES[tag]] = True
    return images[:, :, half].mean((1, 2)) - images[:, :, ~half].mean((1, 2))


def test_samples_show_their_tags(trained):
    asked = trained.conditioner.choose("left,right,top")
    images = sample(trained, asked.repeated(12), SETTINGS, seed=1)
    for number, tag in enumerate(NAMES):
        assert brightness(images[number::3], tag).mean() > 0.25


def test_several_tags_are_shown_together(trained):
    images = sample(trained, trained.conditioner.choose("left+top").repeated(8), SETTINGS, seed=1)
    assert images[:, :, :4, :4].mean() > images[:, :, :4, 4:].mean() + 0.2
    assert images[:, :, :4, :4].mean() > images[:, :, 4:, :4].mean() + 0.2


def test_nothing_is_asked_of_the_dropped(trained):
    condition = trained.conditioner.choose("left,right+top")
    dropped = trained.conditioner.drop(condition, torch.tensor([True, False]))
    assert dropped.tags.tolist() == [[0, 0, 0], [0, 1, 1]]
    assert trained.conditioner.captions(dropped) == ["", "right+top"]


def test_an_unknown_tag_is_refused(trained):
    with pytest.raises(ValueError, match="--labels 'left,blue'"):
        trained.conditioner.choose("left,blue")


@pytest.mark.parametrize("kind", KINDS)
def test_a_run_shows_its_tags_and_its_checkpoint_knows_them(kind, tmp_path):
    images, tags = pictures(16)
    loader = DataLoader(list(zip(images, tags, strict=True)), batch_size=4)
    grid = SampleGrid(2, rows=1, columns=3, sampling=Sampling(steps=2))
    run = trainer(tmp_path, [grid], max_steps=2)
    model = untrained(kind)
    run.fit(model, loader, loader)
    assert (tmp_path / "samples" / "step=00000002.png").is_file()
    assert list(grid.sheet(model.conditioner, 2).column_names) == list(NAMES)
    run.save_checkpoint(tmp_path / "last.ckpt")
    loaded = load_model(tmp_path / "last.ckpt")
    assert loaded.conditioner == Tags(NAMES)
    asked = loaded.conditioner.every()
    settings = Sampling(steps=2)
    assert torch.equal(sample(loaded, asked, settings), sample(model, asked, settings))


def test_a_set_of_samples_says_what_was_asked(trained, tmp_path):
    asked = trained.conditioner.choose("left,right+top").repeated(5)
    kept = sampled_set(tmp_path / "set.npz")
    begin(kept, {"n": 5, "labels": trained.conditioner.written(asked)})
    for batch in sample_images(trained, Sampling(steps=2), asked, batch_size=2):
        kept.add(batch)
    finish(kept, asked)
    with np.load(tmp_path / "set.npz") as file:
        assert file["arr_0"].shape == (5, 8, 8, 3)
        assert file["arr_1"].tolist() == [[1, 0, 0], [0, 1, 1], [1, 0, 0], [0, 1, 1], [1, 0, 0]]


@pytest.mark.slow
def test_an_exported_graph_takes_tags(trained, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    export_onnx(trained, {}, tmp_path / "tags.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "tags.onnx"))
    assert [value.name for value in session.get_inputs()] == ["x", "sigma", "tags"]
    assert Path(tmp_path / "tags.onnx.json").read_text().count('"float32 (batch, 3)"') == 1
