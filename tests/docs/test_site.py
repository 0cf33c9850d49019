"""The pages as a web site: built strictly, for a reader without a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.places import REPOSITORY

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=REPOSITORY,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return folder


def test_every_package_has_its_page(site: Path) -> None:
    packages = {
        ".".join(path.parent.relative_to(REPOSITORY).parts)
        for name in ("lightning_modules", "datamodules")
        for path in (REPOSITORY / name).rglob("__init__.py")
    }
    assert {path.stem for path in (site / "api").glob("*.html")} == packages
    assert 'id="lightning_modules.diffusion.loss.denoising_loss"' in (
        site / "api" / "lightning_modules.diffusion.html"
    ).read_text(encoding="utf-8")


def test_a_page_fetches_nothing_from_elsewhere(site: Path) -> None:
    for page in site.rglob("*.html"):
        html = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|img|iframe)[^>]+src="(?:https?:)?//', html), page.name
        assert not re.findall(r'<link[^>]+rel="stylesheet"[^>]+href="(?:https?:)?//', html), page.name
