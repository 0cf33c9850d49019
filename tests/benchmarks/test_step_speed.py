"""The networks have equal parameters, their FLOPs are all counted, and the table says what was measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.helpers.processes import BENCHMARKS, python

LOOK = """
import importlib.util, json, torch
from torch import nn
from torch.profiler import profile
import step_networks as networks

class Uninitialized(networks.DiT):
    def _initialize(self):  # asks for values
        pass

networks.DiT = Uninitialized
rows = dict(networks.ROWS)
if importlib.util.find_spec("denoising_diffusion_pytorch") is None:  # comes without its dependencies, by hand
    del rows["ddpm-pytorch"]
facts = {}
for millions in networks.DIT:
    with torch.device("meta"):
        for name, row in rows.items():
            step = row.make(torch.randn(2, 3, 32, 32), millions)
            facts[f"{name} {millions}"] = sum(p.numel() for p in step.network.parameters())

tokens, width = (32 // 4) ** 2, 320
attention = networks.DIT[10][1] * 14 * tokens**2 * width  # forward 2 products, backward 5
linear = 0
step = networks.ROWS["ours-dit"].make(torch.randn(2, 3, 32, 32), 10)
for name, module in step.network.named_modules():
    if isinstance(module, nn.Linear):
        times = tokens if "blocks" in name or name in ("patch", "output") else 1
        # The first layers' inputs need no gradient.
        products = 2 if name == "patch" else 3
        linear += products * 2 * module.weight.numel() * times
counted = step.flops_per_image()

unet = networks.ROWS["ours-unet (contiguous)"].make(torch.randn(2, 3, 32, 32), 10)
layouts = []
for module in unet.network.modules():
    if isinstance(module, nn.Conv2d):
        module.register_forward_hook(lambda _, __, out: layouts.append(out.is_contiguous()))
unet()
expected = attention + linear
print(json.dumps({"parameters": facts, "counted": counted, "expected": expected, "layouts": layouts}))
"""


@pytest.mark.slow
def test_networks_are_what_the_table_says(tmp_path: Path) -> None:
    facts = json.loads(python("-c", LOOK, cwd=tmp_path))
    assert len(facts["parameters"]) >= 20
    for name, parameters in facts["parameters"].items():
        assert abs(parameters / 1e6 / int(name.split()[-1]) - 1) < 0.05, name
    assert abs(facts["counted"] / facts["expected"] - 1) < 0.01
    assert all(facts["layouts"])


@pytest.mark.slow
def test_rows_are_measured_in_turn(tmp_path: Path) -> None:
    options = ["--only", "ours-unet,published-dit", "--size", "16", "--batch", "2", "--rounds", "2"]
    options += ["--seconds", "0.01", "--threads", "1", "--out", "out.json"]
    said = python(BENCHMARKS / "step_speed.py", *options, cwd=tmp_path)
    result = json.loads((tmp_path / "out.json").read_text())
    assert list(result["rows"]) == ["ours-unet", "published-dit"]
    assert len(result["matmul_gflops"]) == 2
    for name, row in result["rows"].items():
        assert len(row["rounds"]) == 2
        assert f"| {name} | {row['parameters'] / 1e6:.2f} |" in said
        assert 0 < row["step_mb"] < row["peak_mb"]
    assert re.search(r"fastest .*published-dit", said)
