"""What evaluate.py can be given, and what it keeps when it is stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from datamodules.sources.rendered_cats import RenderedCats
from datamodules.utils.exit_codes import RESUME
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, refusal

pytestmark = LIGHTNING_WARNINGS

QUICK = ["--features", "random", "--n", "12", "--no-plots"]


def evaluate(out: Path, *args: str) -> dict:
    load_script("evaluate").main([*QUICK, *args, "--out", str(out)])
    return json.loads((out / "report.json").read_text())


@pytest.fixture
def lone(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint without its run, in the working directory."""
    (tmp_path / "alone").mkdir()
    monkeypatch.chdir(tmp_path / "alone")
    shutil.copy(trained.folder / "checkpoints" / "last.ckpt", "model.ckpt")
    return Path("model.ckpt")


# A checkpoint by itself


def test_a_lone_checkpoint_is_evaluated_as_in_its_run(trained: Run, cats: Path, lone: Path, tmp_path):
    own = evaluate(tmp_path / "own", str(trained.folder))
    load_script("evaluate").main([str(lone), *QUICK, "--data", str(cats)])
    found = json.loads(Path("model-evaluation/report.json").read_text())
    (one,), (other,) = own["rows"], found["rows"]
    assert one["figures"] == other["figures"]
    assert one["memorization"] == other["memorization"]
    assert list(own["error_by_noise_level"].values()) == list(found["error_by_noise_level"].values())


def test_a_lone_checkpoint_is_compared_with_any_images(lone: Path, cats: Path, tmp_path):
    report = evaluate(tmp_path / "out", str(lone), "--against", str(cats))
    assert report["protocol"]["class balance"] == "samples have the reference's labels"
    assert report["rows"][0]["memorization"] is None


def test_a_lone_checkpoint_without_images_says_what_to_give(lone: Path, capsys):
    status, error = refusal([str(lone), *QUICK], capsys, "evaluate")
    assert status == 1
    assert "--data FOLDER" in error
    assert len(error.splitlines()) == 1


def test_a_lone_checkpoint_draws_the_very_images_of_its_run(trained: Run, lone: Path, tmp_path):
    for place, out in ((trained.folder, tmp_path / "run"), (lone, tmp_path / "lone")):
        load_script("sample").main([str(place), "--n", "3", "--out", str(out)])
    for index in range(3):
        name = f"{index:05d}.png"
        assert (tmp_path / "run" / name).read_bytes() == (tmp_path / "lone" / name).read_bytes()
    load_script("sample").main([str(lone), "--n", "1"])
    assert Path("sampled/step=00000004/00000.png").is_file()


def test_a_run_without_its_configuration_draws_and_is_evaluated(trained: Run, cats: Path, tmp_path):
    run = shutil.copytree(trained.folder, tmp_path / "run", symlinks=True)
    (run / "config.yaml").unlink()
    load_script("sample").main([str(run), "--n", "1", "--out", str(tmp_path / "out")])
    own = evaluate(tmp_path / "own", str(trained.folder))
    bare = evaluate(tmp_path / "bare", str(run), "--data", str(cats))
    assert bare["rows"][0]["figures"] == own["rows"][0]["figures"]


def test_an_experiment_that_was_copied_without_its_link_is_evaluated(trained: Run, tmp_path):
    experiment = tmp_path / "copied"
    shutil.copytree(trained.folder, experiment / trained.folder.name)
    report = evaluate(tmp_path / "out", str(experiment))
    assert report["rows"][0]["figures"]


def test_images_of_other_classes_than_the_model_s_are_refused(trained: Run, cats: Path, tmp_path, capsys):
    other = shutil.copytree(cats, tmp_path / "other")
    (other / "tabby").rename(other / "aardvark")
    status, error = refusal([str(trained.folder), "--data", str(other), *QUICK], capsys, "evaluate")
    assert status == 1
    assert "--data" in error
    assert "aardvark" in error


# Images


@pytest.mark.parametrize("name", ["set.npz", "folder"])
def test_drawn_images_have_the_classes_that_were_asked_for(name, trained: Run, cats: Path, tmp_path):
    out = tmp_path / name
    load_script("sample").main([str(trained.folder), "--n", "24", "--out", str(out)])
    report = evaluate(tmp_path / "out", str(out), "--against", str(cats))
    assert report["protocol"]["class balance"] == "matched to the samples'"
    assert report["rows"][0]["facts"] == {"folder": str(out)}


def test_drawn_images_in_a_file_and_in_a_folder_are_the_same(trained: Run, cats: Path, tmp_path):
    found = []
    for name in ("set.npz", "folder"):
        load_script("sample").main([str(trained.folder), "--n", "24", "--out", str(tmp_path / name)])
        found.append(evaluate(tmp_path / f"{name}-out", str(tmp_path / name), "--against", str(cats)))
    assert found[0]["rows"][0]["figures"] == found[1]["rows"][0]["figures"]


def test_a_file_of_images_alone_has_no_classes(cats: Path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    np.savez("mine.npz", images)  # numpy's own name for it is arr_0
    load_script("evaluate").main(["mine.npz", "--against", str(cats), *QUICK])
    report = json.loads(Path("mine-evaluation/report.json").read_text())
    assert report["protocol"]["class balance"].startswith("NOT matched")


def test_weights_that_have_diverged_are_not_sampled(lone: Path, cats: Path, tmp_path, capsys):
    stored = torch.load(lone, weights_only=True)
    for weights in ("state_dict", "current_model_state"):
        stored[weights] = {name: value * float("nan") for name, value in stored[weights].items()}
    torch.save(stored, lone)
    for script, args in (("sample", ["--n", "1"]), ("evaluate", [*QUICK, "--against", str(cats)])):
        status, error = refusal([str(lone), *args, "--out", str(tmp_path / script)], capsys, script)
        assert status == 1
        assert "finite" in error
        assert not list((tmp_path / script).glob("*.png"))


def test_a_report_among_the_images_is_refused(cats: Path, tmp_path, capsys):
    samples = RenderedCats(count=24, size=16, seed=1, folder=tmp_path).prepare()
    for out in (samples, samples / "report"):
        args = [str(samples), "--against", str(cats), *QUICK, "--out", str(out)]
        status, error = refusal(args, capsys, "evaluate")
        assert status == 1
        assert "--out" in error


# Where decoded images are kept


def test_nothing_is_kept_where_it_was_not_asked_for(trained: Run, cats: Path, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "default"))
    samples = RenderedCats(count=24, size=16, seed=1, folder=tmp_path).prepare()
    for number, args in enumerate(([str(samples), "--against", str(cats)], [str(trained.folder)])):
        evaluate(tmp_path / f"{number}", *args, "--data.cache", "false")
        evaluate(tmp_path / f"{number}", *args, "--data.cache_dir", str(tmp_path / "mine"))
    assert not (tmp_path / "default").exists()
    assert (tmp_path / "mine" / "features").is_dir()


# Stopped


def stopping_after(count: int, monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let an evaluation be stopped while it measures the row after so many; the rows that it measures."""
    from lightning_modules.evaluation import run_evaluation

    row, rows = run_evaluation.RunEvaluation.row, []

    def stops(self, *args):
        if len(rows) == count:
            raise KeyboardInterrupt
        rows.append(row(self, *args))
        return rows[-1]

    monkeypatch.setattr(run_evaluation.RunEvaluation, "row", stops)
    return rows


@pytest.mark.slow
def test_a_stopped_evaluation_goes_on_where_it_was(trained: Run, tmp_path, monkeypatch, capsys):
    args = [str(trained.folder), "--nfe", "1,2,3", "--weights", "ema,raw"]
    whole = evaluate(tmp_path / "whole", *args)
    with monkeypatch.context() as patch:
        stopping_after(4, patch)
        with pytest.raises(SystemExit) as stop:
            evaluate(tmp_path / "cut", *args)
    assert stop.value.code == RESUME
    assert "4 of 6" in capsys.readouterr().err
    kept = json.loads((tmp_path / "cut" / "report.json").read_text())
    assert (len(kept["rows"]), kept["complete"]) == (4, False)
    with monkeypatch.context() as patch:
        measured = stopping_after(9, patch)
        assert evaluate(tmp_path / "cut", *args) == whole
    assert len(measured) == 2


@pytest.mark.parametrize("change", [["--n", "10"], ["--seed", "1"], ["--seeds", "2"]], ids=" ".join)
def test_rows_of_another_evaluation_are_not_taken_up(change, trained: Run, tmp_path, monkeypatch):
    args = [str(trained.folder), "--nfe", "1,2"]
    with monkeypatch.context() as patch:
        stopping_after(1, patch)
        with pytest.raises(SystemExit):
            evaluate(tmp_path / "out", *args)
    measured = stopping_after(9, monkeypatch)
    evaluate(tmp_path / "out", *args, *change)
    assert len(measured) == 2


def test_a_finished_evaluation_is_made_anew(trained: Run, tmp_path, monkeypatch):
    first = evaluate(tmp_path / "out", str(trained.folder))
    measured = stopping_after(9, monkeypatch)
    assert evaluate(tmp_path / "out", str(trained.folder)) == first
    assert len(measured) == 1
