from __future__ import annotations

import re

import pytest

from lightning_modules.evaluation import verdicts
from lightning_modules.evaluation.verdicts import KidAtStep
from lightning_modules.metrics.memorization import Memorization


def history(*kids: float) -> list[KidAtStep]:
    return [KidAtStep(100 * number, kid) for number, kid in enumerate(kids, 1)]


@pytest.mark.parametrize(
    ("kids", "said"),
    [
        ((3, 2, 1), None),
        ((3, 1, 2, 2), "KID of step 200 (1)"),
        ((3, 1, 2, 0.5), None),
        ((1, 1, 1), "KID of step 100 (1)"),
        ((1, 2), None),
        ((), None),
    ],
)
def test_plateau_is_said_when_the_last_two_brought_nothing(kids, said):
    sentence = verdicts.plateau(history(*kids), patience=2)
    assert sentence is None if said is None else said in sentence


@pytest.mark.parametrize(("ratio", "said"), [(0.9, None), (1.01, None), (1.2, "20.0% above")])
def test_ema_lags_is_said_when_the_average_is_worse(ratio, said):
    sentence = verdicts.ema_lags(ratio)
    assert sentence is None if said is None else sentence.startswith("EMA lags") and said in sentence


def test_memorising_names_the_step():
    copying = Memorization(0.1, (0.05, 0.2), -12.0, 0.9, 0.01)
    fresh = Memorization(1.0, (0.9, 1.1), 0.1, 0.01, 0.01)
    assert "at step 700" in verdicts.memorizing(700, copying)
    assert verdicts.memorizing(700, fresh) is None
    assert re.search(r"floor.*\b0\b.*\bstep 9\b", str(verdicts.at_floor(9, 0.0)))
