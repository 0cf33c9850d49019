"""What counts as a difference between a run and a command line."""

from __future__ import annotations

import re

import pytest

from lightning_modules.run.manifest import mismatches

RECORDED = {"ema.decay": 0.999, "ema.lengths": (), "model.network.width": 192, "model.weighting": None}


def test_the_same_settings_continue_a_run():
    assert mismatches(RECORDED, RECORDED) == []


@pytest.mark.parametrize(
    ("changed", "pattern"),
    [
        ({"ema.lengths": (0.05, 0.1)}, r"^ema\.lengths: \[\].*\[0\.05, 0\.1\]"),
        ({"ema.decay": None}, r"^ema\.decay: 0\.999\b.*\bNone\b"),
        ({"model.weighting": "min_snr"}, r"^model\.weighting: None\b.*\bmin_snr\b"),
    ],
    ids=str,
)
def test_a_setting_that_changes_the_weights_is_a_difference(changed, pattern):
    (line,) = mismatches(RECORDED, RECORDED | changed)
    assert re.search(pattern, line)


@pytest.mark.parametrize("off", [None, [], False, 0])
def test_a_setting_the_run_does_not_know_is_a_difference_even_if_it_looks_off(off):
    """Nothing says that the run was trained without what it switches off."""
    (line,) = mismatches(RECORDED, RECORDED | {"model.network.dropout": off})
    assert line.startswith("model.network.dropout: ")
    assert f" {off} " in line


def test_a_setting_that_is_gone_is_a_difference():
    recorded = RECORDED | {"ema.length": 0.1}
    (line,) = mismatches(recorded, RECORDED)
    assert line.startswith("ema.length: 0.1 ")
