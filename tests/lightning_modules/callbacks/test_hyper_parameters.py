from __future__ import annotations

import pytest

from lightning_modules.callbacks.hyper_parameters import changed
from lightning_modules.logs.board import description, layout
from lightning_modules.module import AdamWSettings

ADAMW = "lightning_modules.module.AdamWSettings"
FLOW_X = "lightning_modules.diffusion.preconditioning.FlowX"
DIT = "lightning_modules.models.DiTDiffusion"


@pytest.mark.parametrize(
    ("config", "defaults", "found"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 2, "d": 4}}, {"b.d": 3}),
        ({"a": None, "b": "x"}, {"a": 3}, {"b": "x"}),
        ({"a": [1, 2]}, {"a": (1, 2)}, {}),
        ({"a": [1, 2]}, {"a": (1, 3)}, {"a": "[1, 2]"}),
        ({"a": {"class_path": ADAMW, "init_args": {"eps": 1e-8, "learning_rate": 0.5}}}, {}, {
            "a": "AdamWSettings", "a.learning_rate": 0.5
        }),
        ({"a": {"class_path": ADAMW, "init_args": {"eps": 1.0}}}, {"a": AdamWSettings()}, {"a.eps": 1.0}),
        ({"a": {"class_path": ADAMW, "init_args": {"eps": 2.0}}}, {"a": AdamWSettings(eps=2.0)}, {}),
        ({"model": {"class_path": DIT, "init_args": {
            "network": {"width": 256, "depth": 99}, "cond_dropout": 0.1, "seed": 3
        }}}, {"model": None}, {"model": "DiTDiffusion", "model.network.depth": 99, "model.seed": 3}),
        ({"a": {"class_path": FLOW_X}}, {"a": AdamWSettings()}, {"a": "FlowX"}),
    ],
)  # fmt: skip
def test_settings_that_differ_from_their_defaults(config, defaults, found):
    assert changed(config, defaults) == found


def test_charts_of_an_evaluation_only_where_there_is_one():
    assert list(layout([], evaluated=False)) == ["Loss"]
    assert list(layout(["error_sigma_1_to_2"], evaluated=True)) == [
        "Loss",
        "Error by noise level",
        "Evaluation",
    ]


def test_a_description_is_of_the_whole_name():
    assert description("loss") != description("loss/val") != ""
    assert description("loss_of_something_else") == ""
    assert description("error_sigma_0.1_to_1/train")
