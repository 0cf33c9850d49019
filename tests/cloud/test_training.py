"""Training through the stock command line and Modal's own container entry point, in an emulated cloud."""

from __future__ import annotations

import json

import pytest
import torch
from cloud import RUN, Cloud
from modal_emulator import Fault, Kind

pytestmark = pytest.mark.slow


def assert_same_weights(one: dict, other: dict) -> None:
    assert one.keys() == other.keys()
    assert not [name for name in one if not torch.equal(one[name], other[name])]


def test_killed_in_every_way_the_weights_are_those_of_the_quiet_run(cloud: Cloud) -> None:
    status, output = cloud.fit(run="quiet")
    assert status == 0, output
    cloud.server.plan(
        "train",
        Fault(Kind.PREEMPT, on_log="First training step"),
        Fault(Kind.LOSE, on_log="Committed step"),
        Fault(Kind.PREEMPT, on_log="First training step", grace=0.0),
        Fault(Kind.FAIL, on_log="First training step"),
    )
    status, output = cloud.fit()
    assert status == 0, output
    assert f"/runs/demo/{RUN} has reached step 12." in output
    runs = cloud.server.runs("train")
    assert [run.ending for run in runs[1:]] == [Kind.PREEMPT, Kind.LOSE, Kind.PREEMPT, Kind.FAIL, None]
    assert [item.failures for item in cloud.server.calls.inputs.values()][-1] == 1
    assert_same_weights(cloud.weights(12), cloud.weights(12, "quiet"))
    text = cloud.text()
    assert "SIGINT: finishing this step and saving" in text
    assert "on from step" in text
    containers = json.loads((cloud.folder() / "cost.json").read_text())["containers"]
    assert len(containers) >= 2
    assert all(each["usd"] > 0 for each in containers)
