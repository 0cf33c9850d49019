"""Mistakes on the scripts' command lines: one line, status 2, the option, and what may have been meant."""

from __future__ import annotations

import argparse

import pytest

from lightning_modules.cli.parsing.scripts import name_of, number, several, whole
from tests.helpers.command_line import LIGHTNING_WARNINGS, refusal

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

MISTAKES = [
    ("sample", ["runs/demo", "--sampler", "heum"], "--sampler", "heun"),
    ("sample", ["runs/demo", "--schedule", "karas"], "--schedule", "karras"),
    ("sample", ["runs/demo", "--n", "0"], "--n", "at least 1"),
    ("sample", ["runs/demo", "--n", "many"], "--n", "whole number"),
    ("sample", ["runs/demo", "--seed", "-1"], "--seed", "at least 0"),
    ("sample", ["runs/demo", "--guidance", "nan"], "--guidance", "finite"),
    ("sample", ["runs/demo", "--sigma-min", "-0.1"], "--sigma-min", "above 0"),
    ("sample", ["runs/demo", "--weights", "emma"], "--weights", "ema"),
    ("sample", ["runs/demo", "--batch_size", "4"], "--batch_size", "--batch-size"),
    ("sample", ["runs/demo", "--num-samples", "4"], "--num-samples", "--n"),
    ("sample", ["runs/demo", "--num_images", "4"], "--num_images", "--n"),
    ("sample", ["runs/demo", "--output_dir", "x"], "--output_dir", "--out"),
    ("sample", ["runs/demo", "--cfg", "3"], "--cfg", "--guidance"),
    ("sample", ["--ckpt", "x", "runs/demo"], "--ckpt", "without a name"),
    ("sample", ["runs/demo", "another"], "another", ""),
    ("sample", [], "run", ""),
    ("evaluate", ["runs/demo", "--sampler", "heun,dpmp_2m"], "--sampler", "dpmpp_2m"),
    ("evaluate", ["runs/demo", "--nfe", "5,none"], "--nfe", "whole number"),
    ("evaluate", ["runs/demo", "--sigma-min", "0"], "--sigma-min", "above 0"),
    ("evaluate", ["runs/demo", "--guidance", "two"], "--guidance", "number"),
    ("evaluate", ["runs/demo", "--checkpoints", "al"], "--checkpoints", "all"),
    ("evaluate", ["runs/demo", "--num-samples", "9"], "--num-samples", "--n"),
    ("export", ["runs/demo", "--to", "onyx"], "--to", "onnx"),
    ("export", ["runs/demo", "--to", "onnx", "--output", "x"], "--output", "--out"),
    ("export", ["runs/demo"], "--to", ""),
    ("inspect_data", ["here", "--also", "copys"], "--also", "copies"),
    ("inspect_data", ["here", "--workers", "-1"], "--workers", "at least 0"),
    ("inspect_data", ["here", "--parameters", "inf"], "--parameters", "finite"),
    ("inspect_data", ["here", "--max-aspect", "0.5"], "--max-aspect", "at least 1"),
    ("inspect_data", ["here", "--image_size", "9"], "--image_size", "--image-size"),
    ("prove_resume", ["--kills", "0"], "--kills", "at least 1"),
    ("prove_resume", ["--seed", "x"], "--seed", "whole number"),
    # What the shell makes of "$FOLDER" where FOLDER is not set: never the working directory.
    ("sample", [""], "run", "empty"),
    ("sample", ["runs/demo", "--out", ""], "--out", "empty"),
    ("sample", ["runs/demo", "--guide-run", " "], "--guide-run", "empty"),
    ("evaluate", ["", "--against", "x"], "target", "empty"),
    ("evaluate", ["x", "--against", ""], "--against", "empty"),
    ("evaluate", ["x", "--data", ""], "--data", "empty"),
    ("evaluate", ["x", "--data.cache_dir", ""], "--data.cache_dir", "empty"),
    ("evaluate", ["x", "--out", ""], "--out", "empty"),
    ("export", ["", "--to", "onnx"], "run", "empty"),
    ("export", ["x", "--to", "onnx", "--out", ""], "--out", "empty"),
    ("board", [""], "folder", "empty"),
    ("report", [""], "run", "empty"),
    ("report", ["x", "--out", ""], "--out", "empty"),
    ("inspect_data", [""], "folder", "empty"),
    ("prove_resume", ["--folder", ""], "--folder", "empty"),
    ("prove_resume", ["--json", ""], "--json", "empty"),
]


@pytest.mark.parametrize(("script", "args", "named", "meant"), MISTAKES, ids=lambda v: str(v)[:40])
def test_a_mistake_is_answered_in_one_line(
    script: str, args: list[str], named: str, meant: str, capsys: Capture
) -> None:
    status, message = refusal(args, capsys, script)
    assert status == 2
    (line,) = message.splitlines()
    assert line.startswith("error: ")
    assert named in line
    assert meant in line.partition(named)[2]
    assert "<" not in line  # no Python object
    assert "invalid" not in line  # argparse's words, with the name of a function


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (whole(1), "1", 1),
        (whole(0), "0", 0),
        (number(above=0.0), "1e-3", 1e-3),
        (number(least=0.0), "0", 0.0),
        (number(), "-2", -2.0),
        (several(whole(1)), "5, 10", [5, 10]),
        (name_of(["a", "b"]), "a", "a"),
    ],
)
def test_values_in_their_range(kind, text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    "kind", [whole(1), number(above=0.0), number(least=1.0), several(whole(1)), name_of(["a", "b"])]
)
@pytest.mark.parametrize("text", ["", "0", "-1", "nan", "inf", "-inf", "x", "1e999", "٣x"])
def test_values_out_of_their_range(kind, text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        kind(text)
