from __future__ import annotations

from itertools import count
from pathlib import Path

import pytest

from lightning_modules.cli.fit import fit
from tests.helpers.command_line import Run, tiny
from tests.helpers.resuming import EIGHT_STEPS


@pytest.fixture(autouse=True)
def names(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that start within the same second have names of their own."""
    seconds = count()
    monkeypatch.setattr(
        "lightning_modules.run.experiment.run_name", lambda: f"2026-01-01T00-00-{next(seconds):02}Z"
    )


@pytest.fixture
def args(args: list[str]) -> list[str]:
    """Eight steps, a checkpoint every two."""
    return [*args, *EIGHT_STEPS]


@pytest.fixture(scope="session")
def straight(cats: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The run that nothing happens to."""
    folder = tmp_path_factory.mktemp("straight")
    fit([*tiny(cats, folder), *EIGHT_STEPS])
    return Run((folder / "runs" / "demo" / "latest").resolve())
