"""The benchmarks run and say what they found. How fast anything is, no test asserts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"

TINY = {
    "DiTDiffusion": ["--model.width", "32", "--model.depth", "1", "--model.heads", "2"],
    "UNetDiffusion": ["--model.channels", "[8,16]", "--model.blocks", "1"],
}


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the user's cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("xdg")))


def run(script: str, *args: str, cwd: Path) -> str:
    command = [sys.executable, BENCHMARKS / script, *args]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=500, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("script", ["data_path.py", "lightning_overhead.py", "startup.py"])
def test_help_says_what_is_timed(script: str, tmp_path: Path) -> None:
    text = run(script, "--help", cwd=tmp_path)
    assert "--rounds" in text
    assert "--out" in text
    assert "left out" in text or "thrown away" in text


@pytest.mark.slow
@pytest.mark.parametrize("model", TINY)
def test_lightning_overhead_compares_the_same_work(model: str, tmp_path: Path) -> None:
    sizes = ["--rounds", "2", "--steps-per-block", "3", "--batch-size", "2", "--image-size", "16"]
    options = ["--model", model, *sizes, "--accelerator", "cpu", "--out", "figures/out.json"]
    said = run("lightning_overhead.py", *options, "--", *TINY[model], cwd=tmp_path)
    assert len(re.findall(r"[\d.]+ ms/step", said)) == 2
    figures = json.loads((tmp_path / "figures" / "out.json").read_text())
    assert f"{figures['ratio']:.3f}" in said
    assert {name: len(blocks) for name, blocks in figures["seconds"].items()} == {
        "lightning": 2,
        "hand_written": 2,
    }
    assert figures["largest_weight_difference"] < 1e-5
    assert figures["machine"]["cpu"]
    assert figures["machine"]["cores"] >= 1
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]  # all else went to a temporary folder


@pytest.mark.slow
def test_startup_compares_with_the_bare_import(tmp_path: Path) -> None:
    said = run("startup.py", "--rounds", "1", "--warm-up", "0", "--out", "out.json", cwd=tmp_path)
    figures = json.loads((tmp_path / "out.json").read_text())
    assert set(figures["medians"]) == {"bare import", "--help", "--fast-dev-run"}
    assert figures["ratios"]["bare import"] == 1
    for name, ratio in figures["ratios"].items():
        assert re.search(rf"{re.escape(name)} .*ratio to the bare import {ratio:.2f}", said)


@pytest.mark.slow
def test_data_path_times_every_way(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(4):
        Image.new("RGB", (40, 30), (60 * number, 0, 0)).save(images / f"{number}.jpg")
    (images / "damaged.jpg").write_text("no picture")
    sizes = ["--sizes", "8", "--rounds", "1", "--seconds", "0.01", "--batch-size", "2", "--workers", "0", "1"]
    options = ["--data", str(images), *sizes, "--order", "1000", "--out", "out.json"]
    said = run("data_path.py", *options, cwd=tmp_path)
    assert "20 files" in said  # the four sound ones, repeated until they fill ten batches
    figures = json.loads((tmp_path / "out.json").read_text())
    at_size = figures["8 px"]
    ways = {"ours", "on device", "no cache", "pillow + 0", "pillow + 1", "copy"}
    assert ways <= set(at_size["medians"])
    assert all(rate > 0 for rates in at_size["rates"].values() for rate in rates)
    assert at_size["build"]["seconds"] > at_size["open"]["seconds"] > 0
    assert figures["order"]["balanced, peak MB"] > 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["images", "out.json"]
