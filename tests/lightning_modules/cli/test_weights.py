"""Averages of several lengths, from the command line of training to those that use them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor

from datamodules.sources.rendered_cats import RenderedCats
from lightning_modules.ema.profiles import exponent_of, newest_share
from lightning_modules.export.safetensors_file import load_export
from lightning_modules.run.manifest import read_identity
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, options, refusal, tiny

pytestmark = LIGHTNING_WARNINGS

STEPS = 20


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 20 steps that keeps two averages beside the main one, and a checkpoint of every step."""
    folder = tmp_path_factory.mktemp("averaged")
    cats = RenderedCats(count=96, size=16, folder=folder / "cats").prepare()
    often = {
        "experiment": "averaged",
        "ema.lengths": "[0.05,0.1]",
        "trainer.max_steps": STEPS,
        "trainer.val_check_interval": STEPS,
        "sample_grid.every_n_steps": STEPS,
        "checkpoint.every_n_steps": 1,
        "checkpoint.keep_every_n_steps": 1,
        "model.optimizer.learning_rate": 0.02,
    }
    load_script("fit").main([*tiny(cats, folder), *options(often)])
    return Run((folder / "runs" / "averaged" / "latest").resolve())


def directly(run: Run, length: float) -> dict[str, Tensor]:
    """The average of a length by its recursion over the raw weights of every step, in float64."""
    average: dict[str, Tensor] = {}
    for step in range(1, STEPS + 1):
        raw = run.checkpoint(f"step={step:08d}")["current_model_state"]
        share = newest_share(exponent_of(length), step)
        for name, value in raw.items():
            before = average.get(name, torch.zeros_like(value, dtype=torch.float64))
            average[name] = before + share * (value.double() - before)
    return average


def export(run: Run, weights: str, out: Path) -> dict[str, Tensor]:
    load_script("export").main(
        [str(run.folder), "--to", "safetensors", "--weights", weights, "--out", str(out)]
    )
    return load_export(out).state_dict()


def test_the_kept_lengths_stand_in_every_checkpoint_and_in_the_manifest(averaged: Run) -> None:
    for step in range(1, STEPS + 1):
        kept = averaged.checkpoint(f"step={step:08d}")["power_averages"]
        assert {name: average["began"] for name, average in kept.items()} == {"0.05": 0, "0.1": 0}
    identity = read_identity(averaged.folder)
    assert identity is not None
    assert (identity["ema.lengths"], identity["ema.length"]) == ([0.05, 0.1], None)


@pytest.mark.parametrize(("length", "tolerance"), [(0.05, 1e-5), (0.1, 1e-5), (0.07, 0.05)])
def test_an_export_of_a_length_is_the_average_kept_step_by_step(
    length: float, tolerance: float, averaged: Run, tmp_path: Path
) -> None:
    out = tmp_path / "cats.safetensors"
    loaded, expected = export(averaged, f"ema={length}", out), directly(averaged, length)
    last = averaged.checkpoint()["current_model_state"]
    for name, value in averaged.checkpoint()["state_dict"].items():  # buffers stand as they are
        if name not in averaged.checkpoint()["power_averages"]["0.1"]["weights"]:
            expected[name] = value.double()
    off = sum((loaded[name].double() - expected[name]).square().sum() for name in expected) ** 0.5
    scale = sum((last[name].double() - expected[name]).square().sum() for name in expected) ** 0.5
    assert off < tolerance * scale
    told = json.loads((tmp_path / "cats.safetensors.json").read_text())["weights"]
    assert told.startswith(f"averaged (length {length:g}")
    assert ("reconstructed" in told) == (length == 0.07)


def test_samples_and_the_export_of_a_length_have_names_of_their_own(
    averaged: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    load_script("export").main([str(averaged.folder), "--to", "safetensors", "--weights", "ema=0.10"])
    assert (averaged.folder / "export" / f"step={STEPS:08d}-ema=0.1.safetensors").is_file()
    pictures = {}
    for name in ("ema", "ema=0.1"):
        out = tmp_path / name
        load_script("sample").main([str(averaged.folder), "--weights", name, "--n", "2", "--out", str(out)])
        pictures[name] = [(out / f"{index:05d}.png").read_bytes() for index in range(2)]
    assert "length 0.1" in capsys.readouterr().out
    assert pictures["ema"] != pictures["ema=0.1"]


def test_an_evaluation_has_a_row_for_each_set_of_weights(averaged: Run, tmp_path: Path) -> None:
    weights = ["ema", "raw", "ema=0.05", "ema=0.07"]
    args = ["--weights", ",".join(weights), "--n", "32", "--features", "random", "--no-plots"]
    load_script("evaluate").main([str(averaged.folder), *args, "--out", str(tmp_path / "out")])
    rows = json.loads((tmp_path / "out" / "report.json").read_text())["rows"]
    said = [row["facts"]["weights"] for row in rows]
    assert said[:3] == ["EMA weights (decay 0.99)", "raw weights", "EMA weights (length 0.05)"]
    assert said[3].startswith("EMA weights (length 0.07, ")
    assert len({row["figures"]["kid"]["value"] for row in rows}) == len(weights)


@pytest.mark.parametrize(
    ("script", "args"),
    [
        ("sample", ["--n", "1"]),
        ("export", ["--to", "safetensors"]),
        ("evaluate", ["--n", "32", "--features", "random"]),
    ],
)
def test_a_length_that_cannot_be_reconstructed_is_refused_in_words(
    script: str, args: list[str], averaged: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.safetensors"
    status, message = refusal(
        [str(averaged.folder), *args, "--weights", "ema=0.28", "--out", str(out)], capsys, script
    )
    assert status == 1
    assert re.search(r"\b0\.28\b.*step 20\b.*\b0\.05, 0\.1\b", message)
    assert not out.is_file()


def test_a_run_without_lengths_says_how_to_keep_some(
    trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = refusal([str(trained.folder), "--weights", "ema=0.1"], capsys, "sample")
    assert status == 1
    assert re.search(r"--ema\.lengths .*--checkpoint\.keep_every_n_steps", message)


@pytest.mark.parametrize(
    ("script", "args"),
    [("sample", []), ("export", ["--to", "onnx"]), ("evaluate", ["--features", "random"])],
)
def test_weights_of_an_export_cannot_be_chosen(
    script: str, args: list[str], averaged: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cats.safetensors"
    export(averaged, "ema=0.1", out)
    status, message = refusal([str(out), *args, "--weights", "raw"], capsys, script)
    assert status == 1
    assert message.count(f"{out} ") == 1
    assert "one set" in message
