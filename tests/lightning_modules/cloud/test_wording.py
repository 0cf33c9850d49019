"""A container's places and commands, in the words of the user's machine."""

from __future__ import annotations

import shlex
import sys

import pytest

from lightning_modules.cloud.wording import for_the_user, next_commands, output_for_the_user
from lightning_modules.cost.settings import ModalSettings

USUAL = ModalSettings()


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("no checkpoint in /runs/cats: give", "no checkpoint in ninelives-runs:cats: give"),
        ("'/data/cache/a b' is full", "'ninelives-data:cache/a b' is full"),
        ("written to /runs.", "written to ninelives-runs."),
        ("/data has nothing", "ninelives-data has nothing"),
        ("(/runs/a/x.ckpt, /data/b)", "(ninelives-runs:a/x.ckpt, ninelives-data:b)"),
        ("ninelives sample /runs/demo/a --n 4", "modal run modal_entry.py::sample demo/a --n 4"),
        (
            "/usr/local/bin/ninelives evaluate '/runs/demo/a b'",
            "modal run modal_entry.py::evaluate 'demo/a b'",
        ),
        ("ninelives fit --data.root /data/cats", "modal run modal_entry.py::fit --data.root cats"),
        (
            "http://host/data/runs and runs/demo and a/runs/b",
            "http://host/data/runs and runs/demo and a/runs/b",
        ),
        ("/runs_old /database /tmp/out/x", "/runs_old /database drawn/x"),
    ],
)
def test_what_a_container_says_means_the_same_here(said: str, meant: str) -> None:
    assert for_the_user(said, USUAL, {"/tmp/out": "drawn"}) == meant


def test_all_that_is_printed_is_worded_and_the_streams_come_back(capsys: pytest.CaptureFixture[str]) -> None:
    before = sys.stdout, sys.stderr
    with output_for_the_user(ModalSettings(runs_volume="mine")):
        print("in", "/runs/a")
        print("no /data/b", file=sys.stderr, flush=True)
        sys.stdout.writelines(["/runs", "/c\n"])
        assert sys.stdout.isatty() is False
    assert (sys.stdout, sys.stderr) == before
    assert capsys.readouterr() == ("in mine:a\nmine:c\n", "no ninelives-data:b\n")


def test_the_next_commands_can_be_pasted() -> None:
    lines = [shlex.split(line.partition(":  ")[2]) for line in next_commands("my cats/a", USUAL)]
    assert lines == [
        ["modal", "run", "modal_entry.py::tensorboard"],
        ["modal", "run", "modal_entry.py::sample", "my cats/a"],
        [
            "mkdir",
            "-p",
            "runs/my cats",
            "&&",
            "modal",
            "volume",
            "get",
            "ninelives-runs",
            "my cats/a",
            "runs/my cats",
        ],
    ]
    assert "--modal.runs_volume mine" in next_commands("a/b", ModalSettings(runs_volume="mine"))[1]
