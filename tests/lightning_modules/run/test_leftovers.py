"""What a killed process leaves is cleared away; what a living one uses is not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from datamodules.utils.io import remove_abandoned, whole_file
from lightning_modules.run.leftovers import clear_leftovers

HOLD = """
import sys
from pathlib import Path
from lightning_modules.run.lock import RunLock
RunLock(Path(sys.argv[1])).acquire()
print("held", flush=True)
sys.stdin.read()
"""


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def empty_run(experiment: Path, name: str) -> Path:
    (experiment / name / "checkpoints").mkdir(parents=True)
    (experiment / name / ".lock").touch()
    return experiment / name


def test_what_killed_processes_left_is_removed(tmp_path):
    run = empty_run(tmp_path, "2026-01-02T00-00-00Z")
    (run / "samples").mkdir()
    dead = dead_process()
    left = [
        run / f".manifest.json.{dead}.tmp",
        run / f".config.yaml.{os.getpid()}.tmp",  # a number that another process has again
        run / "samples" / f".step=00000002.png.{dead}.tmp",
        tmp_path / f".latest.{dead}.tmp",
    ]
    for path in left:
        path.write_text("{")
    link = tmp_path / f".latest.{dead}"
    link.symlink_to("nowhere")
    empty = empty_run(tmp_path, "2026-01-01T00-00-00Z")
    clear_leftovers(run)
    assert not any(path.exists() for path in left)
    assert not link.is_symlink()
    assert not empty.exists()
    assert sorted(path.name for path in run.iterdir()) == [".lock", "checkpoints", "samples"]


def test_what_is_in_use_stays(tmp_path):
    run = empty_run(tmp_path, "2026-01-02T00-00-00Z")
    link = tmp_path / f".latest.{os.getpid()}"
    link.symlink_to("nowhere")
    begun, named = empty_run(tmp_path, "2026-01-01T00-00-00Z"), empty_run(tmp_path, "mine")
    used = empty_run(tmp_path, "2026-01-03T00-00-00Z")
    (used / "manifest.json").write_text("{}")
    command = [sys.executable, "-c", HOLD, str(begun)]
    with (
        whole_file(run / "config.yaml") as temporary,
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder,
    ):
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        clear_leftovers(run)
        assert temporary.exists()
        temporary.write_text("whole")
        assert all(path.is_dir() for path in (begun, named, used))
        assert link.is_symlink()
        holder.kill()
    assert (run / "config.yaml").read_text() == "whole"
    clear_leftovers(run)
    assert not begun.exists()  # its process is dead now


def test_without_locks_nothing_is_taken_for_abandoned(tmp_path, no_locks):
    (tmp_path / ".config.yaml.1.tmp").touch()
    assert remove_abandoned(tmp_path) == []
    run = empty_run(tmp_path / "demo", "2026-01-02T00-00-00Z")
    other = empty_run(tmp_path / "demo", "2026-01-01T00-00-00Z")
    clear_leftovers(run)
    assert other.exists()
    with whole_file(run / "config.yaml") as temporary:
        temporary.write_text("whole")
    assert (run / "config.yaml").read_text() == "whole"


def test_a_run_that_was_killed_before_it_had_any_file_is_cleared(tmp_path):
    run = empty_run(tmp_path / "demo", "2026-01-02T00-00-00Z")
    bare = tmp_path / "demo" / "2026-01-01T00-00-00Z"
    bare.mkdir()
    clear_leftovers(run)
    assert not bare.exists()
    assert run.is_dir()
