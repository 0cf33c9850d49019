"""Networks are trained alike, their errors are those of what they return, and the better rate counts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.processes import BENCHMARKS, python

LOOK = """
import argparse, json, torch, numpy as np
import loss_per_image as subject
from step_networks import ROWS

images = np.random.default_rng(0).integers(0, 256, (40, 3, 32, 32), dtype=np.uint8)
x = subject.in_range(images)
facts = {}

class Constant(torch.nn.Module):
    value = 0.25
    def forward(self, x, noise_level, condition):
        return torch.full_like(x, self.value)

step = ROWS["ours-dit"].make(torch.zeros(2, 3, 32, 32), 10)
step.network = Constant()
facts["errors"] = subject.errors(step, images)["error"]
facts["expected"] = float((x - 0.25).square().mean())

times = []
with torch.device("meta"):
    peer = ROWS["published-dit"].make(torch.zeros(2, 3, 32, 32), 10)
peer.predict = lambda x, time, labels: times.extend(time.tolist()) or x
sigma = torch.tensor([1 / 3, 1.0, 3.0])
peer.evaluate(torch.zeros(3, 1, 1, 1), sigma.log() / 4)
facts["times"] = times

facts["schedule"] = [subject.schedule(index, 100) for index in (0, 2, 50, 70, 99)]
def result(name, rate, loss):
    return dict(name=name, rate=rate, losses=[loss, 3 * loss], error=[0] * 5, parameters=1e7)
facts["table"] = subject.table([result("a", 1, 2.0), result("b", 1, 9.0), result("b", 2, 1.0)], ["a", "b"])
print(json.dumps(facts))
"""


@pytest.mark.slow
def test_errors_are_those_of_the_network_and_the_better_rate_counts(tmp_path: Path) -> None:
    facts = json.loads(python("-c", LOOK, cwd=tmp_path))
    assert facts["errors"] == pytest.approx([facts["expected"]] * 5, rel=1e-5)
    assert facts["times"] == pytest.approx([250, 500, 750])  # flow time of sigma, out of 1,000
    assert facts["schedule"] == pytest.approx([1 / 3, 1, 1, 1, 1 / 30])
    lines = facts["table"].splitlines()
    assert "| a | 10.0 | 1 | 1 | 4.0000 | 1.000 ±0.000 |" in lines[2]
    assert "| b | 10.0 | 2 | 1 | 2.0000 | 0.500 ±0.000 |" in lines[3]


@pytest.mark.slow
def test_each_is_trained_once(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    for number in range(40):
        tint = rng.integers(190, 216, (1, 1, 3))
        pixels = (tint + rng.integers(0, 40, (32, 32, 3))).astype(np.uint8)
        Image.fromarray(pixels).save(tmp_path / "images" / f"{number}.png")
    options = ["--data", "images", "--images", "160", "--batch", "8", "--threads", "1", "--out", "out"]
    options += ["--only", "ours-unet (unshuffle 4),published-dit", "--rates", "0.003"]
    first = python(BENCHMARKS / "loss_per_image.py", *options, cwd=tmp_path)
    made = sorted((tmp_path / "out").glob("*M-160-8-*.json"))
    times = [path.stat().st_mtime_ns for path in made]
    assert len(made) == 2
    # A network that does nothing has the images' own mean square for its error, at every noise level.
    val = np.load(tmp_path / "out" / "data" / "val.npy") / 127.5 - 1
    learned = json.loads(made[0].read_text())
    assert learned["steps"] == 20
    assert max(learned["error"]) < np.square(val).mean()
    assert python(BENCHMARKS / "loss_per_image.py", *options, cwd=tmp_path) == first
    assert [path.stat().st_mtime_ns for path in made] == times
