from __future__ import annotations

import math
import random

import pytest

from lightning_modules.checkpoints import retention
from lightning_modules.checkpoints.names import checksum_file, path_of
from lightning_modules.checkpoints.retention import delete_checkpoints, steps_to_delete
from lightning_modules.checkpoints.whole import checkpoints_in, fault, write_whole


def test_rules_add_up():
    steps = [100, 200, 300, 400, 500, 600]
    assert steps_to_delete(steps, last=600, keep_last=2) == {100, 200, 300, 400}
    assert steps_to_delete(steps, last=600, keep_last=2, keep_every_n_steps=300) == {100, 200, 400}
    scores = {100: 0.1, 200: 0.3, 300: 0.2, 400: math.nan}
    assert steps_to_delete(steps, 600, 1, scores=scores, keep_best=2) == {200, 400, 500}
    assert steps_to_delete(steps, 600, 1, scores=scores, keep_best=2, mode="max") == {100, 400, 500}


def test_of_equal_scores_the_later_is_kept():
    scores = {1: 0.5, 2: 0.5, 3: 0.5}
    for mode in ("min", "max"):
        assert steps_to_delete([1, 2, 3, 4], 4, 0, scores=scores, keep_best=1, mode=mode) == {1, 2}


def test_nothing_goes_while_none_is_known_to_be_whole():
    assert steps_to_delete([1, 2, 3], last=None, keep_last=1) == set()
    assert steps_to_delete([1, 2, 3], last=7, keep_last=1) == set()


@pytest.mark.parametrize("name", ["keep_last", "keep_every_n_steps", "keep_best"])
def test_negative_numbers_are_refused(name):
    with pytest.raises(ValueError, match=f"{name} .* -1"):
        steps_to_delete([1], 1, **({"keep_last": 1} | {name: -1}))


def test_over_random_runs_exactly_what_no_rule_keeps_goes():
    generator = random.Random(0)
    for _ in range(500):
        keep_last, every, keep_best = (
            generator.randrange(4),
            generator.choice([0, 3, 10]),
            generator.randrange(3),
        )
        mode = generator.choice(["min", "max"])
        there, scores, step = set(), {}, 0
        for _ in range(generator.randrange(1, 40)):
            step += generator.randrange(1, 5)
            there.add(step)
            if generator.random() < 0.5:
                scores[step] = generator.choice([0.0, 1.0, 2.0, math.nan, math.inf])
            # Now and then the newest fails, and `last` stays with an older one.
            last = step if generator.random() < 0.8 else generator.choice(sorted(there))
            gone = steps_to_delete(there, last, keep_last, every, scores, keep_best, mode)

            def better(a, b, scores=scores, mode=mode):
                if scores[a] == scores[b]:
                    return a > b
                return (scores[a] < scores[b]) == (mode == "min")

            scored = [s for s in there if not math.isnan(scores.get(s, math.nan))]
            for s in there:
                stays = (
                    s == last
                    or sum(other > s for other in there) < keep_last
                    or (every > 0 and s % every == 0)
                    or (s in scored and sum(better(other, s) for other in scored if other != s) < keep_best)
                )
                assert (s in gone) != stays
            assert gone < there
            there -= gone


def test_deletion_takes_the_checksum_too_and_nothing_else(tmp_path):
    for step in range(5):
        write_whole(path_of(tmp_path, step), lambda stream: stream.write(b"content"))
    delete_checkpoints(path_of(tmp_path, step) for step in (0, 2, 3))
    assert checkpoints_in(tmp_path) == [path_of(tmp_path, 1), path_of(tmp_path, 4)]
    assert len(list(tmp_path.iterdir())) == 4
    delete_checkpoints([path_of(tmp_path, 0), path_of(tmp_path / "nowhere", 0)])


@pytest.mark.parametrize("stop", range(4))
def test_a_deletion_that_stops_in_the_middle_leaves_nothing_damaged(stop, tmp_path, monkeypatch):
    paths = [path_of(tmp_path, step) for step in (1, 2)]
    for path in paths:
        write_whole(path, lambda stream: stream.write(b"content"))
    unlink, calls = type(tmp_path).unlink, 0

    def stopping(self, missing_ok=False):
        nonlocal calls
        if calls == stop:
            raise InterruptedError
        calls += 1
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(type(tmp_path), "unlink", stopping)
    with pytest.raises(InterruptedError):
        delete_checkpoints(paths)
    assert [fault(path) for path in checkpoints_in(tmp_path)] == [None] * max(0, 2 - stop)


def test_checkpoints_are_gone_from_the_disk_before_their_checksums_go(tmp_path, monkeypatch):
    path = path_of(tmp_path, 1)
    write_whole(path, lambda stream: None)
    seen = []
    monkeypatch.setattr(
        retention,
        "sync_folder",
        lambda folder: seen.append((folder, path.exists(), checksum_file(path).exists())),
    )
    delete_checkpoints([path])
    assert seen == [(tmp_path, False, True)]
