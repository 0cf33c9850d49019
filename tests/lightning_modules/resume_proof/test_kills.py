from __future__ import annotations

import signal
from collections import Counter

import pytest

from lightning_modules.resume_proof.kills import DETAILS, Kind, Moment, Tear, draw_kills

ALL = tuple(Kind)


def test_the_same_seed_draws_the_same_plan():
    assert draw_kills(3, 50, ALL, 60) == draw_kills(3, 50, ALL, 60)
    assert draw_kills(3, 50, ALL, 60) != draw_kills(4, 50, ALL, 60)


def test_kinds_are_equally_frequent_and_moments_ascend():
    kills = draw_kills(0, 120, ALL, 60)
    assert Counter(kill.kind for kill in kills) == dict.fromkeys(ALL, 20)
    moments = [kill.micro_batch for kill in kills]
    assert moments == sorted(moments)
    assert set(moments) <= set(range(60))
    assert all(0 <= kill.share < 1 for kill in kills)


def test_every_kind_of_damage_and_every_moment_of_writing_is_drawn():
    kills = draw_kills(0, 600, ALL, 60)
    for kind, details in DETAILS.items():
        assert {kill.detail for kill in kills if kill.kind is kind} == set(details)
    assert {kill.detail for kill in kills if kill.kind not in DETAILS} == {""}
    assert set(DETAILS) == {Kind.TORN, Kind.BETWEEN_WRITE_AND_RENAME}
    assert (len(Tear), len(Moment)) == (4, 5)


def test_what_needs_a_checkpoint_being_written_does_not_come_in_the_start_up():
    early = {kill.kind for kill in draw_kills(0, 600, ALL, 60) if kill.in_startup}
    assert early == {Kind.SIGKILL, Kind.SIGTERM, Kind.SIGINT, Kind.TORN}


def test_signals_are_those_that_the_kinds_are_named_for():
    assert [kind.signal for kind in (Kind.SIGTERM, Kind.SIGINT)] == [signal.SIGTERM, signal.SIGINT]
    assert {kind.signal for kind in ALL if kind not in (Kind.SIGTERM, Kind.SIGINT)} == {signal.SIGKILL}


@pytest.mark.parametrize(("kinds", "micro_batches"), [((), 10), (ALL, 0)])
def test_nothing_to_draw_from_is_refused(kinds, micro_batches):
    with pytest.raises(ValueError, match=r"kind .*micro-batch"):
        draw_kills(0, 1, kinds, micro_batches)
