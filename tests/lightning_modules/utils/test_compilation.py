"""`compile: true` where there is nothing to compile with: said in words, and trained all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from datamodules.sources.rendered_cats import RenderedCats
from tests.helpers.places import SCRIPTS
from tests.helpers.tiny import KINDS, SIZE, classes, draw, module, randomize

FIT = SCRIPTS / "fit.py"
SMALL = [
    "--model.network.width=16",
    "--model.network.depth=1",
    "--model.network.heads=2",
    "--data.image_size=8",
    "--data.batch_size=4",
]
ONE_STEP = ["--fast-dev-run", "--trainer.accelerator", "cpu", "--trainer.devices", "1", "--data.workers", "0"]


@pytest.mark.slow
def test_without_a_compiler_training_says_so_and_goes_on(tmp_path: Path) -> None:
    cats = RenderedCats(count=12, size=16, folder=tmp_path / "cats").prepare()
    result = subprocess.run(
        [sys.executable, str(FIT), "--data.root", str(cats), *SMALL, *ONE_STEP, "--model.compile", "true"],
        # Neither g++ nor anything else is on this path, and no earlier run's compiled code is found.
        env=os.environ
        | {"PATH": str(tmp_path / "empty"), "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "inductor")}
        | {"XDG_CACHE_HOME": str(tmp_path / "xdg")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    assert "torch.compile" in result.stderr
    assert "g++" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("kind", KINDS)
def test_a_compiled_network_guides_with_the_average_s_weights(kind: str) -> None:
    model = module(kind).eval()
    randomize(model.network)
    model.ema = {0.25: {name: 0.9 * weight.detach() for name, weight in model.named_parameters()}}
    noisy = draw(2, 3, SIZE, SIZE), torch.tensor([0.5, 2.0])
    own, averaged = model.bind(classes(0, 1)), model.bind(classes(0, 1), ema=0.25)
    with torch.no_grad():
        expected, present = averaged(*noisy), own(*noisy)
        model.network.compile(backend="aot_eager")  # traced as ever, and no compiler needed
        torch.testing.assert_close(own(*noisy), present)
        torch.testing.assert_close(averaged(*noisy), expected)
        torch.testing.assert_close(own(*noisy), present)
    assert (present - expected).abs().max() > 0.01
    torch.compiler.reset()
