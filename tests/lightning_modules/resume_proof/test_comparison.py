from __future__ import annotations

import math
import re

import pytest
import torch
from lightning.pytorch.loggers import TensorBoardLogger

from lightning_modules.resume_proof.comparison import (
    compare_batches,
    compare_checkpoints,
    compare_logs,
)

MOMENTS = "optimizer and learning rate"


def checkpoint(**changes):
    """A checkpoint of a run that keeps an average, in small."""
    content = {
        "state_dict": {"network.head.weight": torch.arange(6.0).reshape(2, 3)},
        "current_model_state": {"network.head.weight": torch.arange(6.0).reshape(2, 3) + 1},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(2)}}, "param_groups": [{"lr": 0.1}]}],
        "callbacks": {"SpikeGuard": {"skipped": 0}},
        "loops": {"fit_loop": {"progress": {"ready": 4}, "epoch_loop.val_loop.progress": {"ready": 9}}},
        "global_step": 4,
        "hyper_parameters": {"width": 8},
    }
    return {**content, **changes}


def compare(folder, one, other):
    torch.save(one, folder / "one")
    torch.save(other, folder / "other")
    comparisons = compare_checkpoints(folder / "one", folder / "other")
    return {each.part: each.difference for each in comparisons if each.difference}


def test_identical_checkpoints_are_identical(tmp_path):
    assert compare(tmp_path, checkpoint(), checkpoint()) == {}


def test_a_single_bit_is_found_with_its_name_its_place_and_its_values(tmp_path):
    other = checkpoint()
    weight = other["current_model_state"]["network.head.weight"]
    weight[1, 2] = torch.nextafter(weight[1, 2], torch.tensor(math.inf))
    assert compare(tmp_path, checkpoint(), other) == {
        "weights": "current_model_state.network.head.weight: at [1, 2] 6.0 became "
        "6.000000476837158; 1 of 6 values differ"
    }


@pytest.mark.parametrize(
    ("change", "part", "words"),
    [
        ({"state_dict": {"network.head.weight": torch.zeros(2, 3)}}, "averaged weights", "at [0, 1] 1.0"),
        ({"state_dict": {}}, "averaged weights", "became nothing"),
        (
            {"optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}]},
            "optimizer and learning rate",
            "shape",
        ),
        ({"callbacks": {"SpikeGuard": {"skipped": 1}}}, "callback state", "skipped: 0 became 1"),
        ({"loops": {"fit_loop": {"progress": {"ready": 5}}}}, "position", "progress.ready: 4 became 5"),
        ({"global_step": 5}, "position", "4 became 5"),
        ({"hyper_parameters": {"width": 9}}, "everything else in the checkpoint", "width: 8 became 9"),
        ({"more": 1}, "everything else in the checkpoint", "more: nothing became 1"),
    ],
)
def test_every_part_is_compared(tmp_path, change, part, words):
    found = compare(tmp_path, checkpoint(), checkpoint(**change))
    assert list(found) == [part]
    assert words in found[part]


def test_without_an_average_the_weights_are_the_state(tmp_path):
    one, other = checkpoint(), checkpoint(state_dict={"network.head.weight": torch.zeros(2, 3)})
    for each in (one, other):
        del each["current_model_state"]
    assert list(compare(tmp_path, one, other)) == ["weights"]


def test_batch_order():
    assert compare_batches(["a", "b"], {0: "a", 1: "b"}).difference is None
    cases = (("ab", "ac", r"b\b.*\bc"), ("ab", "a", r"b\b.*\bnone"), ("a", "ac", r"none\b.*\bc"))
    for expected, found, pair in cases:
        difference = compare_batches(list(expected), dict(enumerate(found))).difference
        assert re.search(rf"micro-batch 1: .*\b{pair}\b", str(difference))


def log(folder, points, tag="loss", purge_step=None):
    logger = TensorBoardLogger(folder.parent, "", folder.name, default_hp_metric=False, purge_step=purge_step)
    for step, value in points:
        logger.log_metrics({tag: value}, step)
    logger.finalize("success")


def differences(expected, found):
    return [each.difference for each in compare_logs(expected, found) if each.difference]


@pytest.mark.parametrize(
    ("points", "words"),
    [
        ([(1, 4.0), (2, 3.0), (3, 2.0)], []),
        ([(1, 4.0), (3, 2.0)], ["loss[1]: 2 became 3", "loss.2: 3.0 became nothing"]),
        ([(1, 4.0), (2, 3.0), (2, 3.0), (3, 2.0)], ["loss[2]: 3 became 2"]),
        ([(1, 4.0), (2, 3.5), (3, 2.0)], ["loss.2: 3.0 became 3.5"]),
    ],
    ids=["the same", "a gap", "an overlap", "another value"],
)
def test_logs_are_compared_as_tensorboard_reads_them(tmp_path, points, words):
    log(tmp_path / "one", [(1, 4.0), (2, 3.0), (3, 2.0)])
    log(tmp_path / "other", points)
    found = differences(tmp_path / "one", tmp_path / "other")
    assert len(found) == len(words)
    for text, word in zip(found, words, strict=True):
        assert word in text


def test_of_the_clock_only_the_steps_are_compared(tmp_path):
    log(tmp_path / "one", [(1, 100.0)], "throughput/images_per_second")
    log(tmp_path / "other", [(1, 50.0)], "throughput/images_per_second")
    assert differences(tmp_path / "one", tmp_path / "other") == []
