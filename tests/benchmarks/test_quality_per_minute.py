"""The comparison trains everybody, repeats nothing, survives a failure, and its DiT is the published one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.processes import BENCHMARKS, python, started

TINY = """
trainer: {enable_model_summary: false}
data: {image_size: 16, batch_size: 8}
model:
  class_path: DiTDiffusion
  init_args: {network: {patch_size: 4, width: 32, depth: 1, heads: 2}}
sample_grid: {sampling: {steps: 3}}
"""


def test_published_dit_has_the_paper_s_parameters(tmp_path: Path) -> None:
    code = (
        "import torch\nfrom contestants.published_dit import TABLE, published\n"
        "with torch.device('meta'):\n"
        "    for name in TABLE:\n"
        "        print(TABLE[name].millions, sum(p.numel() for p in published(name).parameters()))\n"
    )
    rows = [line.split() for line in python("-c", code, cwd=tmp_path).splitlines()]
    assert len(rows) == 4
    for millions, count in rows:
        assert abs(int(count) / 1e6 - int(millions)) < 1


@pytest.mark.slow
def test_all_train_nothing_is_repeated_and_a_failure_stops_nobody(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    for number in range(60):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    (tmp_path / "tiny.yaml").write_text(TINY)
    (tmp_path / "broken.yaml").write_text("model: {class_path: NoSuchModel}\n")
    options = ["--data", "images", "--size", "16", "--n", "12", "--threads", "1", "--features", "random"]
    options += ["--max-steps", "3", "--shrink", "4", "--peer-nfe", "2", "--out", "out"]
    options += ["--contestants", "broken.yaml,tiny.yaml,dit-published,diffusers"]
    first = started(BENCHMARKS / "quality_per_minute.py", *options, cwd=tmp_path)
    assert first.returncode == 1
    assert "NoSuchModel" in first.stdout
    names = ["tiny", "dit-published", "diffusers"]
    made = [
        tmp_path / "out" / name / "seed=0" / file
        for name in names
        for file in ("training.json", "samples.npz", "result.json")
    ]
    times = [path.stat().st_mtime_ns for path in made]
    for name in names:
        with np.load(tmp_path / "out" / name / "seed=0" / "samples.npz") as file:
            assert file["images"].shape == (12, 3, 16, 16)
            assert file["images"].dtype == np.uint8
        assert json.loads((tmp_path / "out" / name / "seed=0" / "training.json").read_text())["steps"] == 3
        assert f"| {name} |" in (tmp_path / "out" / "table.md").read_text()
    python(BENCHMARKS / "quality_per_minute.py", *options, "--score-only", cwd=tmp_path)
    assert [path.stat().st_mtime_ns for path in made] == times
    other = started(BENCHMARKS / "quality_per_minute.py", *options, "--n", "10", cwd=tmp_path)
    assert other.returncode == 1
    assert "--out" in other.stderr
    budgets = ["--nfe", "tiny:1,4", "--nfe", "dit-published:2", "--n", "12", "--features", "random"]
    drawn = python(BENCHMARKS / "quality_per_evaluation.py", "out", *budgets, cwd=tmp_path)
    assert [f"| {name} |" in drawn for name in ("tiny | 1", "tiny | 4", "dit-published | 2")] == [True] * 3
    assert "tiny is at dit-published's best KID" in drawn
    assert [path.stat().st_mtime_ns for path in made] == times


@pytest.mark.slow
def test_drawing_again_from_nothing_says_what_to_do(tmp_path: Path) -> None:
    drawn = started(BENCHMARKS / "quality_per_evaluation.py", "out", "--nfe", "ours-dit:4", cwd=tmp_path)
    assert drawn.returncode == 1
    assert "out/ours-dit/seed=0" in drawn.stderr
    assert "Traceback" not in drawn.stderr


@pytest.mark.slow
def test_a_guided_step_of_ours_counts_twice(tmp_path: Path) -> None:
    code = (
        "from contestants.ours import within\nfrom lightning_modules.sampling.settings import Sampling\n"
        "for sampler, guidance in (('dpmpp_2m', 1.0), ('dpmpp_2m', 3.0), ('heun', 1.0), ('heun', 2.0)):\n"
        "    print(within(Sampling(sampler, guidance=guidance), 14).nfe)\n"
        "print(within(Sampling(steps=7), 0).steps)\n"
    )
    assert [int(line) for line in python("-c", code, cwd=tmp_path).split()] == [14, 14, 13, 14, 7]
