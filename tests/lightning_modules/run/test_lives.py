"""The history of a run's lives: what is written, what survives, and what is made of it."""

from __future__ import annotations

import errno
import json
import os

import pytest

from lightning_modules.run import journal
from lightning_modules.run.journal import Journal, read_journal
from lightning_modules.run.lives import lives_of, told
from lightning_modules.run.lock import RunLock, is_held

START, ALIVE, END = ("start", "alive", "end")


def entry(event: str, time: float, step: int, **facts: object) -> dict[str, object]:
    return {"event": event, "time": time, "step": step, **facts}


def test_a_life_that_is_killed_leaves_its_last_step(tmp_path):
    book = Journal(tmp_path)
    book.start(10, device="cpu")
    for step in range(11, 48):
        book._not_before = 0.0
        book.alive(step)
    before = (tmp_path / "telemetry.jsonl").read_bytes()
    assert before.count(b"\n") == 2  # signs of life take one line
    (life,) = lives_of(tmp_path)
    assert (life.step, life.reached, life.end, life.lost) == (10, 47, "killed", None)
    assert life.facts["device"] == "cpu"

    Journal(tmp_path).start(40)
    first, second = lives_of(tmp_path)
    assert (first.end, first.reached, first.lost) == ("killed", 47, 7)
    assert (second.step, second.reached, second.lost) == (40, 40, None)
    assert (tmp_path / "telemetry.jsonl").read_bytes().startswith(before)
    book.close()


def test_ends_are_told_and_other_lines_stay(tmp_path):
    book = Journal(tmp_path)
    book.start(0)
    book.note("container_start", 0, **{"preflight/cuda": 1.0})
    book._not_before = 0.0
    book.alive(5)
    book.end(5, "signal", "SIGTERM")
    (life,) = lives_of(tmp_path)
    assert (life.end, life.detail, life.reached) == ("signal", "SIGTERM", 5)
    entries = read_journal(tmp_path)
    assert [each["event"] for each in entries] == ["start", "alive", "container_start", "end"]
    assert entries[2]["preflight/cuda"] == 1.0


def test_what_is_lost_is_what_the_next_life_does_not_go_on_from():
    lives = told(
        [
            entry(START, 0, 0),
            entry(ALIVE, 9, 120),
            entry(START, 20, 100),
            entry(END, 30, 150, how="signal", detail="SIGUSR1"),
            entry(START, 40, 150),
            entry(END, 50, 170, how="rolled back", detail="the loss is nan"),
            entry(START, 51, 160),
            entry(ALIVE, 60, 161),
            entry(START, 70, 180),  # a checkpoint that is ahead of the last sign of life
            entry(END, 80, 200, how="finished"),
        ]
    )
    assert [life.end for life in lives] == ["killed", "signal", "rolled back", "killed", "finished"]
    assert [life.reached for life in lives] == [120, 150, 170, 180, 200]
    assert [life.lost for life in lives] == [20, 0, 10, 0, None]
    assert [life.seconds for life in lives] == [9, 10, 10, 9, 10]


@pytest.mark.parametrize(
    "rest",
    [
        b"",
        b'{"event": "sta',
        b"\0" * 200,
        b'[1]\n{"event": "end"}\n7\n"x"\n\xff\xfe\n{"event": 3}\n',
        b"\n\n",
    ],
    ids=["whole", "torn", "zeros", "strange", "empty lines"],
)
def test_what_a_kill_or_a_power_cut_has_left_is_passed_over(tmp_path, rest):
    book = Journal(tmp_path)
    book.start(3)
    book.close()
    path = tmp_path / "telemetry.jsonl"
    path.write_bytes(path.read_bytes() + rest)
    later = Journal(tmp_path)
    later.start(5)
    later.end(6, "finished")
    assert [(life.step, life.end) for life in lives_of(tmp_path)] == [(3, "killed"), (5, "finished")]


def test_no_history_is_no_life(tmp_path):
    assert lives_of(tmp_path) == []
    (tmp_path / "telemetry.jsonl").write_text('{"event": "end", "time": 1, "step": 2, "how": "finished"}\n')
    assert lives_of(tmp_path) == []


def test_an_unknown_end_of_a_later_version_is_an_error():
    (life,) = told([entry(START, 0, 0), entry(END, 1, 4, how="abducted", detail="by aliens")])
    assert (life.end, life.detail) == ("error", "by aliens")


def test_a_full_disk_is_said_once_and_written_later(tmp_path, monkeypatch, caplog):
    book = Journal(tmp_path)
    with monkeypatch.context() as patch:

        def full(file: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        patch.setattr(journal, "sync", full)
        patch.setattr(journal.Path, "open", lambda *_, **__: full(None))
        book.start(0)
        for step in range(1, 4):
            book._not_before = 0.0
            book.alive(step)
    assert caplog.text.count("No space left") == 1
    assert not (tmp_path / "telemetry.jsonl").exists()
    book._not_before = 0.0
    book.alive(4)
    book._not_before = 0.0
    book.alive(5)
    (life,) = lives_of(tmp_path)
    assert (life.step, life.reached) == (0, 5)
    book.end(6, "finished")
    assert [life.end for life in lives_of(tmp_path)] == ["finished"]


def test_a_line_that_the_disk_has_taken_in_part_is_there_once(tmp_path, monkeypatch):
    book = Journal(tmp_path)
    true_open = journal.Path.open
    with monkeypatch.context() as patch:

        class Full:
            """A file of which the disk takes all but a little of what is written."""

            def __init__(self, *args, **options):
                self.file = true_open(*args, **options)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                self.file.close()

            def __getattr__(self, name):
                return getattr(self.file, name)

            def write(self, content):
                return self.file.write(content[:-10])

        patch.setattr(journal.Path, "open", Full)
        book.start(7)
        book.note("container_start", 7)
    book.end(8, "finished")
    entries = [(each["event"], each["step"]) for each in read_journal(tmp_path)]
    assert entries == [("start", 7), ("alive", 7), ("container_start", 7), ("end", 8)]
    assert [(life.step, life.end) for life in lives_of(tmp_path)] == [(7, "finished")]


def test_signs_of_life_become_rarer_where_the_disk_is_slow(tmp_path, monkeypatch):
    now = 0.0
    book = Journal(tmp_path, clock=lambda: now)
    book.start(0)
    written = []

    def slow(file: int, line: bytes, place: int) -> int:
        nonlocal now
        now += 0.1
        written.append(json.loads(line)["step"])
        return len(line)

    monkeypatch.setattr(journal.os, "pwrite", slow)
    for step in range(1, 2000):
        now += 0.1
        book.alive(step)
    assert len(written) == 4  # 0.1 s of writing in 50 s
    book.close()


def test_a_run_of_this_process_is_held_and_stays_so(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    assert not is_held(tmp_path)
    lock = RunLock(tmp_path)
    lock.acquire()
    assert is_held(tmp_path)
    pid = os.fork()
    if not pid:  # another process sees it too, after this one has looked
        os._exit(0 if is_held(tmp_path) else 1)
    assert os.waitpid(pid, 0)[1] == 0
    lock.release()
    assert not is_held(tmp_path)


def test_the_last_life_of_a_run_that_trains_goes_on(tmp_path):
    (tmp_path / "checkpoints").mkdir()
    lock = RunLock(tmp_path)
    lock.acquire()
    book = Journal(tmp_path)
    book.start(0)
    assert [life.end for life in lives_of(tmp_path)] == ["training"]
    book.end(3, "finished")
    assert [life.end for life in lives_of(tmp_path)] == ["finished"]
    lock.release()
