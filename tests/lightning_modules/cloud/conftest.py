from __future__ import annotations

from pathlib import Path

import pytest

from datamodules.sources.rendered_cats import RenderedCats
from tests.helpers.cloud import Cloud
from tests.modal_emulator import Emulator


@pytest.fixture(scope="session")
def cats(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 rendered cats of 16 pixels, four of each of six breeds, in a folder `cats`."""
    folder = tmp_path_factory.mktemp("cloud")
    return RenderedCats(count=24, size=16, folder=folder).prepare().rename(folder / "cats")


@pytest.fixture
def cloud(modal_server: Emulator, cats: Path, tmp_path: Path) -> Cloud:
    """An emulated Modal with the cats on the data Volume, and a user in a folder of their own."""
    (tmp_path / "here").mkdir()
    return Cloud(modal_server, cats, tmp_path / "here").with_cats()
