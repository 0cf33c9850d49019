"""The benchmarks run and say what they found. How fast anything is, no test asserts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

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


@pytest.mark.parametrize("script", ["checkpoint_cost.py", "lightning_overhead.py", "startup.py"])
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
def test_checkpoint_cost_times_every_way_of_saving(tmp_path: Path) -> None:
    sizes = ["--parameters", "1e6", "2e6", "--rounds", "2", "--steps", "2", "--batch-size", "2"]
    said = run("checkpoint_cost.py", *sizes, "--folder", str(tmp_path), "--out", "out.json", cwd=tmp_path)
    figures = json.loads((tmp_path / "out.json").read_text())
    assert [size["parameters"] for size in figures["sizes"]] == [2**20, 2**21]
    for size in figures["sizes"]:
        assert size["bytes"] > 16 * size["parameters"]  # weights, two moments, average
        assert len(size["ways"]) == 5
        for name, way in size["ways"].items():
            assert len(way["stall_seconds"]) == len(way["lost_seconds"]) == 2
            assert said.count(f"| {name} |") == 2
        assert {len(seconds) for seconds in size["resume_seconds"].values()} == {2}
    assert [path.name for path in tmp_path.iterdir()] == ["out.json"]
