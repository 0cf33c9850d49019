from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.sources.rendered_cats import RenderedCats
from lightning_modules.trained.averages import load_weights
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, printed, python, refusal

pytestmark = LIGHTNING_WARNINGS

QUICK = ["--features", "random", "--n", "12", "--no-plots"]


def evaluate(out: Path, *args: str) -> dict:
    load_script("evaluate").main([*args, "--out", str(out)])
    return json.loads((out / "report.json").read_text())


def samples(folder: Path, cats: Path, per_class: int = 3) -> Path:
    """A folder of pictures with the classes of the cats."""
    for breed in sorted(path.name for path in cats.iterdir()):
        (folder / breed).mkdir(parents=True)
        for number, path in enumerate(sorted((cats / breed).iterdir())[:per_class]):
            pixels = 255 - np.asarray(Image.open(path))
            Image.fromarray(pixels).save(folder / breed / f"{number}.png")
    return folder


def test_a_run_is_evaluated_between_floor_and_ceiling(trained: Run, tmp_path, capsys):
    report = evaluate(tmp_path / "out", str(trained.folder), *QUICK)
    said = capsys.readouterr().out
    for text in (
        "floor:",
        "ceiling:",
        "EMA weights (decay 0.99)",
        ": 12",
    ):
        assert text in said
    assert "N = 12 < 353" in said
    assert "noise level" in said
    (row,) = report["rows"]
    assert row["facts"]["weights"] == "EMA weights (decay 0.99)"
    assert row["facts"]["nfe"] == 2
    assert "copies" in row["memorization"]
    assert report["floor"]["kid"]["value"] < report["ceiling"]["kid"]["value"]
    assert len(report["error_by_noise_level"]) == 1
    names = sorted(path.name.split("-")[0] for path in (tmp_path / "out").iterdir())
    assert names == ["closest", "report.json", "samples"]


@pytest.mark.slow
def test_samplers_budgets_weights_and_checkpoints_in_one_go(trained: Run, tmp_path):
    args = ["--nfe", "1,3", "--sampler", "euler,heun", "--weights", "ema,raw", "--checkpoints", "all"]
    rows = evaluate(tmp_path / "out", str(trained.folder), *QUICK, *args)["rows"]
    facts = [
        (r["facts"]["step"], r["facts"]["weights"], r["facts"]["sampler"], r["facts"]["nfe"]) for r in rows
    ]
    weights = ("EMA weights (decay 0.99)", "raw weights")
    expected = [
        (step, words, sampler, nfe)
        for step in (2, 4)
        for words in weights
        for sampler in ("euler", "heun")
        for nfe in (1, 3)
    ]
    assert facts == expected
    raw, ema = (
        next(r for r in rows if r["facts"]["weights"] == words)["figures"] for words in reversed(weights)
    )
    assert raw["kid"]["value"] != ema["kid"]["value"]


def test_last_noise_levels_are_compared_and_named(trained: Run, tmp_path):
    rows = evaluate(tmp_path / "out", str(trained.folder), *QUICK, "--sigma-min", "0.02,0.4")["rows"]
    assert [row["facts"]["sigma_min"] for row in rows] == [0.02, 0.4]
    assert [row["name"].rpartition(", ")[2] for row in rows] == ["to sigma 0.02", "to sigma 0.4"]
    assert rows[0]["figures"]["kid"]["value"] != rows[1]["figures"]["kid"]["value"]
    assert len(list((tmp_path / "out").glob("samples-*.png"))) == 2


def test_several_seeds_give_the_range(trained: Run, tmp_path):
    (row,) = evaluate(tmp_path / "out", str(trained.folder), *QUICK, "--seeds", "2")["rows"]
    kid = row["figures"]["kid"]
    assert kid["low"] < kid["value"] < kid["high"]
    assert "2 seeds" in kid["note"]


def test_the_same_command_finds_the_same(trained: Run, tmp_path):
    one, other = (evaluate(tmp_path / name, str(trained.folder), *QUICK) for name in ("a", "b"))
    assert one == other


@pytest.mark.parametrize("weights", ["ema", "raw"])
def test_weights_are_the_named_ones(weights, trained: Run):
    path = trained.folder / "checkpoints" / "last.ckpt"
    loaded = load_weights(path, weights)
    module, words = loaded.module, loaded.words
    stored = trained.checkpoint()["state_dict" if weights == "ema" else "current_model_state"]
    assert words.startswith("EMA" if weights == "ema" else "raw")
    for name, value in module.state_dict().items():
        assert torch.equal(value, stored[name])


def test_averaged_weights_that_are_not_there_are_not_claimed(trained: Run, tmp_path, capsys):
    copy = shutil.copytree(trained.folder, tmp_path / "copy")
    path = copy / "checkpoints" / "last.ckpt"
    stored = torch.load(path, weights_only=True)
    del stored["current_model_state"]
    path.unlink()
    torch.save(stored, path)
    assert "--weights raw" in refusal([str(path), *QUICK], capsys, "evaluate")[1]
    report = evaluate(tmp_path / "out", str(path), *QUICK, "--weights", "raw")
    assert report["rows"][0]["facts"]["weights"] == "raw weights (the run keeps no average)"


def test_a_folder_against_another_matches_classes(cats: Path, tmp_path, capsys):
    report = evaluate(tmp_path / "out", str(samples(tmp_path / "s", cats)), "--against", str(cats), *QUICK)
    assert report["protocol"]["class balance"] == "matched to the samples'"
    assert report["protocol"]["N on each side"] == 12
    (row,) = report["rows"]
    assert row["figures"]["kid"]["value"] > report["floor"]["kid"]["value"]
    assert row["memorization"] is None


def test_classes_that_cannot_be_matched_are_said(cats: Path, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(cats.rglob("*.png"))):
        shutil.copy(path, flat / f"{number}.png")
    report = evaluate(tmp_path / "out", str(flat), "--against", str(cats), *QUICK)
    assert report["protocol"]["class balance"].startswith("NOT matched")


def test_a_run_against_another_folder(trained: Run, tmp_path):
    other = RenderedCats(count=36, size=16, seed=1, folder=tmp_path).prepare()
    report = evaluate(tmp_path / "out", str(trained.folder), "--against", str(other), *QUICK)
    assert str(other) in report["protocol"]["reference"]
    assert report["rows"][0]["memorization"]  # still of the images that it was trained on


def test_a_run_against_a_folder_of_other_classes_says_so(trained: Run, cats: Path, tmp_path):
    flat = tmp_path / "flat"
    flat.mkdir()
    for number, path in enumerate(sorted(cats.rglob("*.png"))):
        shutil.copy(path, flat / f"{number}.png")
    report = evaluate(tmp_path / "out", str(trained.folder), "--against", str(flat), *QUICK)
    assert report["protocol"]["class balance"].startswith("NOT matched")


def test_what_was_measured_before_a_failure_is_not_lost(trained: Run, tmp_path, monkeypatch):
    from lightning_modules.evaluation import run_evaluation

    row, rows = run_evaluation.RunEvaluation.row, []

    def failing(self, *args):
        if rows:
            raise OSError("the disk is gone")
        rows.append(row(self, *args))
        return rows[0]

    monkeypatch.setattr(run_evaluation.RunEvaluation, "row", failing)
    args = [str(trained.folder), *QUICK, "--nfe", "1,2", "--out", str(tmp_path / "out")]
    with pytest.raises(SystemExit, match="the disk is gone"):
        load_script("evaluate").main(args)
    (kept,) = json.loads((tmp_path / "out" / "report.json").read_text())["rows"]
    assert kept["facts"]["nfe"] == 1


@pytest.mark.slow
def test_training_starts_without_the_metrics(tmp_path):
    code = "import sys, lightning_modules.cli.fit_cli; print(*sorted(sys.modules))"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    loaded = set(result.stdout.split())
    assert "lightning_modules.callbacks.evaluation" in loaded
    heavy = {"efficientnet_lite_pytorch", "onnxruntime", "torch_fidelity"}
    lazy = {
        f"lightning_modules.{name}"
        for name in (
            "metrics.kid",
            "metrics.frechet",
            "metrics.feature_networks.efficientnet",
            "evaluation.protocol",
        )
    }
    assert not loaded & (heavy | lazy)


def test_plots_are_made(trained: Run, tmp_path):
    args = ["--features", "random", "--n", "12", "--nfe", "1,2", "--checkpoints", "all"]
    evaluate(tmp_path / "out", str(trained.folder), *args)
    for name in ("quality-nfe", "quality-step", "error-by-noise-level"):
        with Image.open(tmp_path / "out" / f"{name}.png") as plot:
            assert np.asarray(plot.convert("L")).std() > 5
            assert plot.width >= 400


def test_plots_without_matplotlib_say_what_to_install(trained: Run, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    args = [
        str(trained.folder),
        "--features",
        "random",
        "--n",
        "12",
        "--nfe",
        "1,2",
        "--out",
        str(tmp_path / "out"),
    ]
    error = refusal(args, capsys, "evaluate")[1]
    assert "'.[eval]'" in error
    assert "--no-plots" in error
    assert (tmp_path / "out" / "report.json").is_file()  # what was measured is not lost


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["no_such_run"], "no_such_run"),
        (["{cats}"], "--against DIR"),
        (["{cats}", "--against", "nowhere"], "nowhere"),
        (["{run}", "--features", "resnet"], "'resnet'"),
        (["{run}", "--sampler", "newton"], "'newton'"),
        (["{run}", "--nfe", "0"], "--nfe"),
        (["{run}", "--sigma-min", "0"], "--sigma-min"),
        (["{run}", "--sigma-min", "90"], "sigma_min"),
        (["{run}", "--data", "nowhere"], "nowhere"),
        ([], "--self-test"),
        (["{run}", "--self-test"], "--self-test"),
    ],
)
def test_mistakes_are_answered_in_a_line(args, said, trained: Run, cats: Path, capsys):
    filled = [arg.format(cats=cats, run=trained.folder) for arg in args]
    status, error = refusal([*filled, *(["--no-plots"] if args else [])], capsys, "evaluate")
    assert status in (1, 2)
    assert said in error
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line and "image/s" not in line]
    if status == 1:
        assert len(lines) == 1


def test_a_run_with_a_configuration_of_something_else_is_refused(trained: Run, tmp_path, capsys):
    copy = shutil.copytree(trained.folder, tmp_path / "copy")
    (copy / "config.yaml").write_text(
        "data: {color: red}\nsample_grid: {sampling: {guidance_interval: [0, 1]}}\n"
    )
    error = refusal([str(copy), *QUICK], capsys, "evaluate")[1]
    assert "color" in error


def test_too_few_images_are_refused(trained: Run, tmp_path, capsys):
    few = RenderedCats(count=12, size=16, folder=tmp_path).prepare()
    status, error = refusal([str(trained.folder), "--against", str(few), *QUICK], capsys, "evaluate")
    assert status == 1
    assert re.search(r"\b12\b", error.replace(str(tmp_path), ""))


@pytest.mark.slow
def test_self_test_passes_as_users_run_it(tmp_path):
    root = RenderedCats(count=240, size=32, folder=tmp_path).prepare()
    result = python("evaluate.py", "--self-test", "--data", str(root), "--features", "random", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert "passed" in result.stdout


def test_self_test_that_fails_exits_with_1(cats: Path, capsys, monkeypatch):
    monkeypatch.setattr("lightning_modules.metrics.kid.kernel_distance", lambda real, fake: 0.5)
    with pytest.raises(SystemExit) as stopped:
        load_script("evaluate").main(["--self-test", "--data", str(cats), "--features", "random"])
    assert stopped.value.code == 1
    assert "FAIL kid" in capsys.readouterr().out


def test_evaluation_is_a_section_of_the_configuration(args: list[str], capsys):
    section = printed(args, capsys)["evaluation"]
    assert section["every_n_steps"] == 0
    assert section["max_share"] == 0.05


def test_a_run_evaluates_itself(args: list[str], tmp_path):
    options = [
        "--evaluation.every_n_steps",
        "2",
        "--evaluation.images",
        "12",
        "--evaluation.features",
        "random",
    ]
    load_script("fit").main([*args, "--experiment", "self", *options])
    run = Run((tmp_path / "runs" / "self" / "latest").resolve())
    assert 2 in run.scalars("evaluation/kid")
    assert (run.folder / "evaluation" / "step=00000002-closest_pairs.png").is_file()


def test_help_starts_quickly_and_teaches(tmp_path):
    result = python("evaluate.py", "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "examples:" in result.stdout
    assert "floor" in result.stdout
