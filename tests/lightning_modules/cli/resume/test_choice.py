"""Which run a command line continues, which it starts, and which it refuses."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
import torch
from PIL import Image

from lightning_modules.cli.fit import fit
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, options, refusal
from tests.helpers.resuming import At, CrashError, child, contents, crash, latest, runs, same_end, stopped_at

pytestmark = LIGHTNING_WARNINGS


def test_fresh_starts_another(args, tmp_path):
    stopped_at(3, args)
    fit([*args, "--fresh"])
    assert len(runs(tmp_path)) == 2
    assert latest(tmp_path).folder.name == runs(tmp_path)[1]
    assert latest(tmp_path).config["fresh"] is False


def test_a_run_is_started_and_continued_by_its_name(args, tmp_path, straight):
    named = [*args, "--run", "mine"]
    stopped_at(3, named)
    fit([*args, "--fresh", "--trainer.max_steps", "2"])
    fit(named)
    assert runs(tmp_path)[1:] == ["mine"]
    same_end(Run(tmp_path / "runs" / "demo" / "mine"), straight)


def test_fresh_and_a_name_exclude_each_other(args, capsys):
    status, message = refusal([*args, "--fresh", "--run", "mine"], capsys)
    assert status == 2
    assert all(option in message for option in ("--fresh", "--run"))


@pytest.mark.parametrize(
    ("option", "there"),
    [
        ("model.network.width 64", 32),
        ("seed_everything 1", 0),
        ("data.batch_size 2", 4),
        ("model.optimizer.learning_rate 0.5", 0.001),
        ("data.val_fraction 0.2", 0.3),
        ("trainer.accumulate_grad_batches 2", 1),
    ],
)
def test_another_identity_is_refused_line_by_line(args, tmp_path, capsys, option, there):
    stopped_at(1, args)
    before = contents(tmp_path / "runs")
    name, here = option.split()
    status, message = refusal([*args, f"--{name}", here], capsys)
    assert status == 2
    (line,) = re.findall(r"^ .*: .*", message, re.MULTILINE)
    assert re.search(rf"\b{name.split('.')[-1]}: {there}\b.*\b{here}\b", line)
    assert "--fresh" in message
    assert "--allow-mismatch" in message
    assert contents(tmp_path / "runs") == before


def test_other_images_are_another_identity(args, cats, tmp_path, capsys):
    stopped_at(1, args)
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", cats, moved], check=True)
    args = [*args, "--data.root", str(moved)]
    stopped_at(2, args)  # the same images elsewhere are the same
    gone, changed, *_ = sorted(moved.rglob("*.png"))
    gone.unlink()
    with Image.open(changed) as picture:
        picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(changed)
    status, message = refusal(args, capsys)
    assert status == 2
    assert re.search(r"data: 24\b.*\b23\b.*\b1\b.*\b2\b", message)
    # Accepted once, they are the run's, and what it was is kept.
    stopped_at(4, [*args, "--allow-mismatch"])
    stopped_at(6, args)
    manifest = json.loads((latest(tmp_path).folder / "manifest.json").read_text())
    (earlier,) = manifest["earlier"]
    assert earlier["until_step"] == 3
    assert earlier["identity"]["data.fingerprint"] != manifest["identity"]["data.fingerprint"]


def test_a_mismatch_can_be_allowed(args, tmp_path, caplog):
    stopped_at(3, args)
    fit([*args, "--model.optimizer.weight_decay", "0.5", "--allow-mismatch"])
    assert len(runs(tmp_path)) == 1
    assert latest(tmp_path).checkpoint()["global_step"] == 8
    assert re.search(r"weight_decay: 0\.01\b.*\b0\.5\b", caplog.text)


def test_what_only_watches_is_no_mismatch(args, tmp_path, straight):
    stopped_at(3, args)
    watching = {"data.workers": 1, "trainer.val_check_interval": 4, "sample_grid.every_n_steps": 3}
    fit([*args, *options(watching), "--trainer.log_every_n_steps", "2"])
    first, second = straight.checkpoint(), latest(tmp_path).checkpoint()
    assert all(torch.equal(value, second["state_dict"][name]) for name, value in first["state_dict"].items())


@pytest.mark.parametrize("step", [0, None], ids=["no checkpoint yet", "finished"])
def test_with_nothing_to_lose_another_identity_starts_another_run(args, tmp_path, caplog, step):
    if step is None:
        fit(args)
    else:
        with pytest.raises(CrashError):
            fit(args, [At(step, crash)])
    fit([*args, "--seed_everything", "5"])
    assert len(runs(tmp_path)) == 2
    told = "--experiment" in caplog.text and "seed_everything" in caplog.text
    assert told == (
        step is None
    )  # a finished run, which stays: by what the new one differs, and how to part them


@pytest.mark.slow
def test_a_second_process_is_refused_until_the_first_is_gone(args, tmp_path, capsys):
    with child("pause", 3, args) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "paused\n"
        try:
            status, message = refusal(args, capsys)
            assert status == 2
            assert f"process {process.pid} " in message
        finally:
            process.kill()
    fit(args)
    assert len(runs(tmp_path)) == 1
    assert latest(tmp_path).checkpoint()["global_step"] == 8
