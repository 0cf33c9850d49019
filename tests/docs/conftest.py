from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from datamodules.sources.rendered_cats import RenderedCats
from lightning_modules.page import front_end
from tests.helpers.command_line import DIT, UNET, load_script, options, shrunk
from tests.helpers.same_process import same_process  # noqa: F401 -- a fixture of every test here
from tests.helpers.site import stand_in

RUN = "2026-11-23T19-12-31Z"
"""The run that the pages name."""


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "docs-cache"))


@pytest.fixture(autouse=True)
def built_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's front end is built, as for a reader who has installed the project."""
    monkeypatch.setattr(front_end, "SITE", stand_in(tmp_path / "site"))


@pytest.fixture(scope="session")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a reader has it: `my_images`, `my_samples`, `bad.txt`, `model.ckpt` and runs."""
    folder = tmp_path_factory.mktemp("reader")
    RenderedCats(count=60, size=16, folder=folder).prepare().rename(folder / "my_images")
    shutil.copytree(folder / "my_images", folder / "my_samples")
    (folder / "bad.txt").touch()
    train(folder, "demo", *DIT, *options({"trainer.max_steps": 4, "ema.lengths": "[0.25]"}))
    for name in ("my_images", "my_images-cats"):
        shutil.copytree(folder / "runs" / "demo", folder / "runs" / name, symlinks=True)
    shutil.copy(folder / "runs" / "demo" / RUN / "checkpoints" / "step=00000004.ckpt", folder / "model.ckpt")
    return folder


@pytest.fixture(scope="session")
def cats(reader: Path) -> Path:
    """The reader's `runs/cats`, which takes seconds to train."""
    lengths = {"ema.lengths": "[0.05,0.1]", "checkpoint.keep_every_n_steps": 2}
    args = ["--config", "cats", *UNET, *options({"trainer.max_steps": 20, **lengths})]
    return train(reader.parent, "cats", *args, "--data.root", str(reader / "my_images"))


def train(folder: Path, experiment: str, *args: str) -> Path:
    """Train a small run, and return its experiment's folder."""
    known = options({"experiment": experiment, "run": RUN, "trainer.precision": "32-true"})
    load_script("fit").main([*shrunk(folder / "my_images", folder), *args, *known])
    return folder / "runs" / experiment


@pytest.fixture
def here(reader: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the reader's folder, which is the current directory."""
    folder = tmp_path / "here"
    shutil.copytree(reader, folder, symlinks=True)
    monkeypatch.chdir(folder)
    return folder
