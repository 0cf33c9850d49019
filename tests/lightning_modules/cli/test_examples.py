"""The examples of the scripts' help can be typed as they are."""

from __future__ import annotations

import re
import shlex

import pytest
import yaml

from lightning_modules.checkpoints.retention import steps_to_delete
from lightning_modules.cli.commands import evaluate, export, sample
from lightning_modules.ema.names import length_in
from tests.helpers.command_line import REPOSITORY

LINE = re.compile(r"^ *ninelives ((?:sample|evaluate|export) .*)$", re.MULTILINE)
DEMO = yaml.safe_load((REPOSITORY / "configs" / "demo.yaml").read_text())


def examples(text: str) -> list[list[str]]:
    """Command lines in a text, without what is said of them."""
    lines = [re.split(r"\s{2,}|\s#\s", line, maxsplit=1)[0] for line in LINE.findall(text)]
    return [shlex.split(line) for line in lines]


EPILOGS = (sample.EPILOG, evaluate.EPILOG, export.EPILOG)
SHOWN = [example for epilog in EPILOGS for example in examples(epilog)]


def kept_steps() -> set[int]:
    """The steps of the checkpoints that the demo leaves."""
    settings, last = DEMO["checkpoint"], DEMO["trainer"]["max_steps"]
    every = settings["every_n_steps"]
    kept: set[int] = set()
    for step in range(every, last + 1, every):
        kept.add(step)
        kept -= set(steps_to_delete(sorted(kept), step, 2, 0, {}, 0, "min"))
    return kept


def test_there_are_examples() -> None:
    assert len(SHOWN) > 15
    assert {example[0] for example in SHOWN} == {"sample", "evaluate", "export"}


@pytest.mark.parametrize("example", SHOWN, ids=" ".join)
def test_an_example_is_understood(example: list[str]) -> None:
    name, *args = example
    if name == "evaluate":
        evaluate.make_parser().parse_args(args)
    elif name == "sample":
        sample.parse(args)
    else:
        assert {"--to"} <= set(args)


@pytest.mark.parametrize("example", [each for each in SHOWN if "runs/demo" in " ".join(each)], ids=" ".join)
def test_an_example_names_what_the_demo_leaves(example: list[str]) -> None:
    steps = {int(step) for word in example for step in re.findall(r"step=(\d+)\.ckpt", word)}
    assert steps <= kept_steps()
    if "--guide-length" in example:
        assert float(example[example.index("--guide-length") + 1]) in (0, *DEMO["ema"]["lengths"])
    if example[0] == "sample" and "--weights" in example:
        length = length_in(example[example.index("--weights") + 1])
        assert length is None or length in DEMO["ema"]["lengths"]
