from __future__ import annotations

from pathlib import Path

import pytest

from datamodules.sources.rendered_cats import RenderedCats
from tests.helpers.command_line import Run, load_script, tiny
from tests.helpers.same_process import same_process  # noqa: F401 -- a fixture of every test here


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test runs in a directory of its own, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


@pytest.fixture(scope="session")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rendered cats of 16 pixels, four of each of six breeds."""
    return RenderedCats(count=24, size=16, folder=tmp_path_factory.mktemp("cats")).prepare()


@pytest.fixture
def args(cats: Path, tmp_path: Path) -> list[str]:
    """The command line of a tiny run under `tmp_path / "runs"`."""
    return tiny(cats, tmp_path)


@pytest.fixture(scope="session")
def trained(cats: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny run that has learned enough for its averaged weights to differ visibly from the raw ones."""
    folder = tmp_path_factory.mktemp("trained")
    load_script("fit").main(
        [*tiny(cats, folder), "--experiment", "trained", "--model.optimizer.learning_rate", "0.02"]
    )
    return Run((folder / "runs" / "trained" / "latest").resolve())
