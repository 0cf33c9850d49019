"""Watching real processes: small ones, that only report."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from lightning_modules.resume_proof.attempt import Pace, Watch
from lightning_modules.resume_proof.child import Child
from lightning_modules.resume_proof.kills import Kill, Kind, Moment
from lightning_modules.resume_proof.leaks import leaked

IMPORT = "import os, signal, sys, time"
BEGIN = f"{IMPORT}\npipe = int(sys.argv[1])\nsay = lambda text: os.write(pipe, text.encode() + b'\\n')"
FOREVER = "time.sleep(600)"


def watch(tmp_path, code: str, kill: Kill | None = None, **pace):
    reports, pipe = os.pipe()
    log = tmp_path / "log"
    with log.open("w") as stream:
        command = [sys.executable, "-c", f"{BEGIN}\nsay('alive')\n{code}", str(pipe)]
        process = subprocess.Popen(command, pass_fds=[pipe], stdout=stream, stderr=stream)
    os.close(pipe)
    ended = os.pidfd_open(process.pid)
    try:
        return Watch(Child(process.pid, ended, reports, process.poll), log, kill, Pace(**pace)).follow()
    finally:
        os.close(ended)
        process.wait(60)


def test_an_undisturbed_process_is_followed_to_its_end(tmp_path):
    life = watch(tmp_path, "say('batch 0 aa'); say('writing'); say('whole'); say('batch 1 bb'); sys.exit(3)")
    assert life.batches == [(0, "aa"), (1, "bb")]
    assert (life.status, life.killed, life.hung) == (3, False, False)
    assert len(life.writings) == 1
    assert 0 <= life.times[0] <= life.times[1] <= life.seconds


@pytest.mark.parametrize("kind", [Kind.SIGKILL, Kind.SIGTERM, Kind.SIGINT])
def test_it_is_killed_at_its_micro_batch(tmp_path, kind):
    code = f"signal.signal(signal.SIGINT, signal.SIG_DFL); say('batch 4 aa'); say('batch 5 bb'); {FOREVER}"
    life = watch(tmp_path, code, Kill(kind, 5, False, 0.5), gaps={5: 0.01})
    assert life.status == -kind.signal
    assert life.killed
    assert [number for number, _ in life.batches] == [4, 5]


def test_a_micro_batch_that_is_passed_over_by_a_resume_counts_as_come(tmp_path):
    assert watch(tmp_path, f"say('batch 9 aa'); {FOREVER}", Kill(Kind.SIGKILL, 5, False, 0.0)).status == -9


def test_it_is_killed_in_its_start_up(tmp_path):
    life = watch(tmp_path, FOREVER, Kill(Kind.SIGKILL, 5, True, 0.5), startup=0.02)
    assert (life.status, life.batches) == (-9, [])


def test_a_full_disk_kills_after_an_error_was_logged(tmp_path):
    kill = Kill(Kind.FULL_DISK, 1, False, 0.0)
    code = f"say('batch 0 aa'); say('error early'); say('batch 1 bb'); say('error no space'); {FOREVER}"
    life = watch(tmp_path, code, kill)
    assert (life.status, life.errors) == (-9, ["early", "no space"])


def test_a_kill_in_the_bytes_waits_for_the_writing(tmp_path):
    kill = Kill(Kind.BETWEEN_WRITE_AND_RENAME, 1, False, 0.0, Moment.BYTES)
    life = watch(tmp_path, f"say('batch 1 bb'); say('writing'); {FOREVER}", kill, writing=0.01)
    assert (life.status, life.killed) == (-9, True)


def test_a_kill_that_comes_too_late_is_none(tmp_path):
    life = watch(tmp_path, "say('batch 0 aa')", Kill(Kind.SIGKILL, 5, False, 0.0))
    assert (life.status, life.killed) == (0, False)


def test_a_process_that_hangs_is_aborted_and_shows_where(tmp_path):
    life = watch(tmp_path, f"import faulthandler; faulthandler.enable(); {FOREVER}", patience=3.0)
    assert (life.status, life.hung) == (-signal.SIGABRT, True)
    assert "most recent call first" in life.log.read_text()


def test_a_process_left_behind_is_found_by_its_session():
    command = [sys.executable, "-c", f"{IMPORT}\nprint(flush=True)\n{FOREVER}"]
    with subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()  # it leads its session by now
        try:
            assert leaked([process.pid], patience=0) == [f"process {process.pid} of session {process.pid}"]
        finally:
            process.kill()
    assert leaked([process.pid], patience=0) == []
