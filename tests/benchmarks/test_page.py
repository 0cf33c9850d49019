"""The benchmarks of the page run in a real Chromium and say what they found; no test asserts a speed."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from lightning_modules.page.front_end import INDEX, SITE
from tests.helpers.command_line import LIGHTNING_WARNINGS
from tests.helpers.drawing_pages import RUNS, images, train
from tests.helpers.processes import BENCHMARKS, python

BROWSER = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
INSTALLED = (BENCHMARKS.parent / "frontend" / "node_modules").is_dir() and (SITE / INDEX).is_file()

pytestmark = [
    *LIGHTNING_WARNINGS,
    pytest.mark.slow,
    pytest.mark.skipif(not BROWSER, reason="there is no Chromium"),
    pytest.mark.skipif(not INSTALLED, reason="the page is not built: make frontend"),
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny run that samples with its own average as guide."""
    folder = tmp_path_factory.mktemp("page")
    return train(RUNS[0], images(folder / "data", RUNS[0].classes), folder)


def test_backends_are_measured_in_turn(run: Path, tmp_path: Path) -> None:
    options = [str(run), "--backends", "wasm", "--rounds", "2", "--out", "speed.json"]
    said = python(BENCHMARKS / "page_speed.py", *options, cwd=tmp_path)
    rows = json.loads((tmp_path / "speed.json").read_text())["rows"]
    assert list(rows) == ["wasm", "onnxruntime", "torch"]
    for name, row in rows.items():
        assert len(row["rounds"]) == 2
        assert f"| {name} | {row['seconds']:.3f} | {row['ratio']:.2f} " in said
    assert rows["onnxruntime"]["ratio"] == 1


def test_the_page_s_images_are_the_command_s(run: Path, tmp_path: Path) -> None:
    options = [str(run), "--backends", "wasm", "--n", "4", "--settings", "steps=3&guidance=3"]
    said = python(BENCHMARKS / "page_parity.py", *options, cwd=tmp_path)
    found = re.search(r"wasm: 4 images, largest difference (\d+) of 255", said)
    assert found is not None
    assert int(found[1]) <= 1
