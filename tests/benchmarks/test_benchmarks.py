"""The benchmarks run and say what they found. How fast anything is, no test asserts."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.sources.rendered_cats import BREEDS, render_cat
from tests.helpers.places import BENCHMARKS

TINY = {
    "DiTDiffusion": ["--model.network", "{width: 32, depth: 1, heads: 2}"],
    "UNetDiffusion": ["--model.network.channels", "[8,16]", "--model.network.blocks", "1"],
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "script", ["checkpoint_cost.py", "data_path.py", "lightning_overhead.py", "startup.py"]
)
def test_help_says_what_is_timed(script: str, tmp_path: Path) -> None:
    text = run(script, "--help", cwd=tmp_path)
    assert "--rounds" in text
    assert "--out" in text


@pytest.mark.slow
def test_sampler_error_falls_with_its_cost(tmp_path: Path) -> None:
    options = ["--n", "64", "--budgets", "5", "15", "50", "--reference", "256", "--out", "out.json"]
    said = run("sampler_error.py", *options, cwd=tmp_path)
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["reference_error"] < 1e-3
    for name, by in result["figures"].items():
        assert f"| {name} |" in said
        if "exact" not in name:
            assert [row["evaluations"] <= int(budget) for budget, row in by.items()] == [True] * 3
        if "median" in by["5"]:
            assert by["5"]["median"] > by["15"]["median"] > by["50"]["median"] > result["reference_error"]
    figures = {name: by["50"] for name, by in result["figures"].items()}
    assert figures["unipc"]["median"] < figures["dpmpp_2m"]["median"] < figures["euler"]["median"] / 2
    floor = figures["exact (floor)"]["distance"]
    assert all(row["distance"] < 3 * floor for row in figures.values())


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
    assert [path.name for path in tmp_path.iterdir()] == ["figures"]  # all else went to a temporary folder


@pytest.mark.slow
def test_startup_compares_with_the_bare_import(tmp_path: Path) -> None:
    said = run("startup.py", "--rounds", "1", "--warm-up", "0", "--out", "out.json", cwd=tmp_path)
    figures = json.loads((tmp_path / "out.json").read_text())
    assert set(figures["medians"]) == {"bare import", "--help", "--fast-dev-run"}
    assert figures["ratios"]["bare import"] == 1
    for name, ratio in figures["ratios"].items():
        assert re.search(rf"{re.escape(name)} .* {ratio:.2f}", said)


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


@pytest.mark.slow
def test_quality_against_nfe_has_a_row_per_sampler(tmp_path: Path) -> None:
    sizes = ["--data.image_size", "16", "--data.source.class_path", "RenderedCats"]
    sizes += ["--data.source.init_args.count", "48", "--trainer.max_steps", "2", *TINY["DiTDiffusion"]]
    quiet = [
        "--sample_grid.every_n_steps",
        "0",
        "--learning_rate.cool_down",
        "0",
        "--learning_rate.warm_up",
        "1",
    ]
    fit = [sys.executable, BENCHMARKS.parent / "scripts" / "fit.py", *sizes, *quiet]
    trained = subprocess.run(fit, cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert trained.returncode == 0, trained.stderr
    options = [
        "--nfe",
        "2,8",
        "--sampler",
        "euler,heun",
        "--n",
        "12",
        "--features",
        "random",
        "--out",
        "out.json",
    ]
    said = run("quality_nfe.py", "runs/demo", *options, cwd=tmp_path)
    figures = json.loads((tmp_path / "out.json").read_text())
    used = [(row["facts"]["sampler"], row["facts"]["nfe"]) for row in figures["rows"]]
    assert used == [("euler", 2), ("euler", 8), ("heun", 2), ("heun", 6)]  # guided: two for each
    assert "(6)" in said
    assert "floor: real" in said
    assert figures["machine"]["cpu"]


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


@pytest.mark.slow
def test_breed_agreement_knows_right_labels_from_wrong_ones(tmp_path: Path) -> None:
    names = sorted(BREEDS)
    labels = np.arange(120) % len(names)
    drawings = [render_cat(names[i], 16, np.random.default_rng([5, k])) for k, i in enumerate(labels)]
    images = np.stack([np.asarray(drawing).transpose(2, 0, 1) for drawing in drawings])
    np.savez(tmp_path / "right.npz", images=images, labels=labels)
    np.savez(tmp_path / "wrong.npz", images=images, labels=(labels + 1) % len(names))
    options = ["--drawings", "300", "--steps", "120", "--out", "out.json"]
    said = run("breed_agreement.py", "right.npz", "wrong.npz", *options, cwd=tmp_path)
    figures = json.loads((tmp_path / "out.json").read_text())
    assert figures["right.npz"]["agreement"] > 0.7
    assert figures["wrong.npz"]["agreement"] < 0.3
    assert "right.npz" in said
    assert set(figures["right.npz"]["breeds"]) == set(names)


@pytest.mark.slow
def test_ablation_trains_each_variant_once(tmp_path: Path) -> None:
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(80):
        breed = sorted(BREEDS)[number % 6]
        render_cat(breed, 16, np.random.default_rng(number)).save(folder / f"{number}.png")
    common = "--config demo --data.image_size 16 --data.batch_size 8 --learning_rate.warm_up 1 "
    common += "--model.network.width 32 --model.network.depth 1 --model.network.heads 2 "
    common += "--trainer.log_every_n_steps 1"
    options = ["--data", "images", "--images", "32", "--n", "12", "--features", "random", "--out", "out"]
    options += ["--common", common, "--variant", "base:"]
    run("ablation.py", *options, cwd=tmp_path)
    first = (tmp_path / "out" / "base-seed0" / "result.json").stat().st_mtime_ns
    faster = "faster:--model.init_args.optimizer.learning_rate 0.01"
    said = run("ablation.py", *options, "--variant", faster, cwd=tmp_path)
    assert (tmp_path / "out" / "base-seed0" / "result.json").stat().st_mtime_ns == first
    results = json.loads((tmp_path / "out" / "ablation.json").read_text())["results"]
    assert [(each["name"], each["steps"]) for each in results] == [("base", 4), ("faster", 4)]
    assert results[0]["val"] != results[1]["val"]
    assert "| faster | 0 |" in said


@pytest.mark.slow
def test_how_many_images_compares_trainings_on_few_and_more(tmp_path: Path) -> None:
    tiny = [
        "--trainer.max_steps",
        "3",
        "--sample_grid.every_n_steps",
        "0",
        "--sample_grid.sampling.steps",
        "2",
    ]
    options = [
        "--counts",
        "24,48",
        "--n",
        "24",
        "--features",
        "random",
        "--out",
        "o.json",
        "--picture",
        "p.png",
    ]
    said = run("how_many_images.py", *options, "--", *TINY["DiTDiffusion"], *tiny, cwd=tmp_path)
    result = json.loads((tmp_path / "o.json").read_text())
    for count in ("24", "48"):
        assert re.search(rf"^\| {count} \| [\d.-]+ ±[\d.]+ \|", said, re.MULTILINE)
        assert result[count]["error"] > 0
        assert result[count]["copies"]["copies_val"] <= 1
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.height > picture.width / 2  # two strips, one below the other
    assert len(list((tmp_path / "runs").glob("cats-*/latest/checkpoints/step=00000003.ckpt"))) == 2
