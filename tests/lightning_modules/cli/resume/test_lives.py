"""What a run's history says of real kills, signals and accidents: steps reached, steps lost."""

from __future__ import annotations

import json
import signal

import pytest

from lightning_modules.cli.fit import fit
from lightning_modules.report.page import write_report
from lightning_modules.run.journal import read_journal
from lightning_modules.run.lives import Life, lives_of
from tests.helpers.command_line import LIGHTNING_WARNINGS
from tests.helpers.resuming import At, CrashError, child, crash, latest, same_end, stopped_at
from tests.lightning_modules.cli.resume.test_accidents import Limit, Spoil

pytestmark = LIGHTNING_WARNINGS


def told(tmp_path) -> list[tuple[int, int, str, int | None]]:
    return [(life.step, life.reached, life.end, life.lost) for life in lives(tmp_path)]


def lives(tmp_path) -> list[Life]:
    return lives_of(latest(tmp_path).folder)


@pytest.mark.slow
def test_a_killed_process_leaves_no_word_and_the_next_says_so(args, tmp_path, straight, caplog):
    killed = child("SIGKILL", 5, args)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert told(tmp_path) == [(0, 5, "killed", None)]
    with caplog.at_level("INFO"):
        fit(args)
    assert told(tmp_path) == [(0, 5, "killed", 1), (4, 8, "finished", None)]
    assert "killed, or lost its power, at step 5; steps lost: 1" in caplog.text
    last = [entry for entry in read_journal(latest(tmp_path).folder) if entry["event"] == "start"][-1]
    assert last["before"] == {"end": "killed", "reached": 5, "lost": 1}
    assert last["checkpoint"] == "step=00000004.ckpt"
    same_end(latest(tmp_path), straight)


@pytest.mark.slow
def test_a_run_can_be_looked_at_while_it_trains(args, tmp_path):
    training = child("pause", 5, args)
    assert training.stdout is not None
    assert training.stdout.readline() == "paused\n"
    (life,) = lives(tmp_path)
    assert (life.end, life.reached) == ("training", 5)
    path = write_report(latest(tmp_path).folder)
    assert "It is being trained, and has taken 5 of 8 steps" in path.read_text()
    training.communicate()
    assert training.returncode == 0
    assert "It has taken 8 of 8 steps" in path.read_text()


@pytest.mark.slow
def test_a_full_disk_ends_the_history_and_not_the_training(args, tmp_path):
    # From step 2 on each file may have 300 bytes: the journal has more already, and takes no other line.
    never = ["--checkpoint.every_n_steps", "1000", "--run", "full"]
    full = child("disk:300", 2, [*args, *never])
    _, said = full.communicate()
    assert "could not write" in said  # the last checkpoint, which is an error in any case
    assert said.count("telemetry.jsonl") == 1
    (life,) = lives_of(tmp_path / "runs" / "demo" / "full")
    assert (life.reached, life.end) == (2, "killed")


def test_a_signal_is_named_and_nothing_is_lost(args, tmp_path):
    assert stopped_at(5, args) == 75
    assert told(tmp_path) == [(0, 6, "signal", None)]
    assert lives(tmp_path)[0].detail == "SIGTERM"
    assert stopped_at(6, args, signal.SIGUSR1) == 75
    fit(args)
    assert told(tmp_path) == [(0, 6, "signal", 0), (6, 7, "signal", 0), (7, 8, "finished", None)]
    assert lives(tmp_path)[1].detail == "SIGUSR1"


def test_an_error_is_named_with_what_it_lost(args, tmp_path):
    with pytest.raises(CrashError):
        fit(args, [At(5, crash)])
    fit(args)
    assert told(tmp_path) == [(0, 5, "error", 1), (4, 8, "finished", None)]
    assert lives(tmp_path)[0].detail == "CrashError"


def test_memory_that_ran_out_is_a_life_that_lost_nothing(args, tmp_path):
    fit(args, [Limit(1, step=3)])
    assert told(tmp_path) == [(0, 3, "memory", 0), (3, 3, "memory", 0), (3, 8, "finished", None)]
    assert [life.facts["parts"] for life in lives(tmp_path)] == [1, 2, 4]
    assert {life.facts["images_per_step"] for life in lives(tmp_path)} == {4}


def test_going_back_loses_the_steps_behind_the_checkpoint(args, tmp_path):
    fit([*args, "--spike_guard.patience", "2"], [Spoil(range(4, 7))])
    assert told(tmp_path) == [(0, 5, "rolled back", 1), (4, 8, "finished", None)]
    assert "nan" in lives(tmp_path)[0].detail


def test_the_start_says_what_trains_where(args, tmp_path, monkeypatch):
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    fit(args)
    (life,) = lives(tmp_path)
    facts = {name: life.facts[name] for name in ("device", "processes", "target", "host", "checkpoint")}
    assert facts == {"device": "cpu", "processes": 1, "target": 8, "host": "SLURM", "checkpoint": None}
    assert life.facts["images"] > life.facts["val_images"] > 0
    assert life.facts["parameters"] > 1000
    lines = (latest(tmp_path).folder / "telemetry.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines] == ["start", "alive", "end"]


def test_a_trial_leaves_nothing(args, tmp_path):
    fit([*args, "--fast-dev-run"])
    assert not list(tmp_path.glob("**/telemetry.jsonl"))
