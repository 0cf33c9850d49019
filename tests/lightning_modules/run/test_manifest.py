"""What counts as a difference between a run and a command line."""

from __future__ import annotations

import pytest

from lightning_modules.run.manifest import mismatches

RECORDED = {"ema.decay": 0.999, "ema.lengths": (), "model.network.width": 192, "model.weighting": None}


def test_the_same_settings_continue_a_run():
    assert mismatches(RECORDED, RECORDED) == []


@pytest.mark.parametrize(
    ("changed", "line"),
    [
        ({"ema.lengths": (0.05, 0.1)}, "ema.lengths: [] in the run, [0.05, 0.1] now"),
        ({"ema.decay": None}, "ema.decay: 0.999 in the run, None now"),
        ({"model.weighting": "min_snr"}, "model.weighting: None in the run, min_snr now"),
    ],
    ids=str,
)
def test_a_setting_that_changes_the_weights_is_a_difference(changed, line):
    assert mismatches(RECORDED, RECORDED | changed) == [line]


@pytest.mark.parametrize("off", [None, [], False, 0])
def test_a_setting_the_run_does_not_know_is_a_difference_even_if_it_looks_off(off):
    """Nothing says that the run was trained without what it switches off."""
    assert mismatches(RECORDED, RECORDED | {"model.network.dropout": off}) == [
        f"model.network.dropout: nothing in the run, {off} now"
    ]


def test_a_setting_that_is_gone_is_a_difference():
    recorded = RECORDED | {"ema.length": 0.1}
    assert mismatches(recorded, RECORDED) == ["ema.length: 0.1 in the run, nothing now"]
