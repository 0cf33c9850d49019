"""A message advises only options that the command has whose message it is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lightning_modules.evaluation.run_inputs import OTHER_WORDS
from tests.helpers.command_line import LIGHTNING_WARNINGS, REPOSITORY, load_script, printed

pytestmark = LIGHTNING_WARNINGS

OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9_-]*(?:\.[a-z][a-z0-9_]*)*")
MODELS = ["checkpoints/opening.py", "export", "models.py", "run/finding.py", "trained"]
OF_SAMPLE = {"class_choice.py", "demonstrations.py", "place.py", "store.py", "__pycache__"}
"""Modules of `sampling` that no other command uses."""
SAMPLING = [
    "module.py",
    "diffusion",
    "../datamodules/utils/io.py",
    *(
        f"sampling/{path.name}"
        for path in sorted((REPOSITORY / "lightning_modules/sampling").iterdir())
        if path.name not in OF_SAMPLE
    ),
]
DATA = [
    f"../datamodules/{path.name}"
    for path in sorted((REPOSITORY / "datamodules").iterdir())
    if path.name not in {"inspection", "__pycache__"}
]
READERS = {
    "sample": [*MODELS, *SAMPLING, "sampling", "cli/sample.py", "cli/parsing/sampling_types.py"],
    "evaluate": [*MODELS, *SAMPLING, *DATA, "metrics", "evaluation", "cli/parsing/sampling_types.py"],
    "export": MODELS,
    "inspect_data": ["../datamodules/inspection"],
}
"""Whose messages a script can print, in `lightning_modules`."""

OF_TRAINING = re.compile(r"(?i)\btrain|\bfit\b")
"""What a message says that advises an option of training."""

ELSEWHERE = {
    ("evaluate", "--part"): "of the share of the work, which evaluate.py never asks for",
    **{(script, "--local-dir"): "of hf, in the card of an exported model" for script in READERS},
}


def messages(place: Path) -> Iterator[str]:
    """Texts in a module, or in those of a folder, that are no documentation."""
    for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
        inner = {
            id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values
        }
        for node in ast.walk(tree):
            if id(node) in documentation | inner:
                continue
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield node.value
            elif isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "X" for part in node.values)


def options_of(script: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    """The options of a script, as its help has them."""
    capsys.readouterr()
    with pytest.raises(SystemExit):
        load_script(script).main(["--help"])
    return set(OPTION.findall(capsys.readouterr().out.partition("examples:")[0]))


def flat(section: dict[str, object], prefix: str = "--") -> set[str]:
    """The names of a configuration's settings as options; those of a model without `init_args`."""
    names: set[str] = set()
    for key, value in section.items():
        names.add(f"{prefix}{key}")
        if isinstance(value, dict):
            names |= flat(value, prefix if key == "init_args" else f"{prefix}{key}.")
    return names


@pytest.mark.parametrize("script", READERS)
def test_a_message_advises_options_that_the_command_has(script: str, args: list[str], capsys) -> None:
    known = options_of(script, capsys)
    assert "--out" in known
    training = flat(printed(args, capsys))
    assert "--checkpoint.keep_every_n_steps" in training
    wrong, seen = [], 0
    for place in READERS[script]:
        for text in messages(REPOSITORY / "lightning_modules" / place):
            for option in OPTION.findall(text):
                seen += 1
                there = option in known or (script, option) in ELSEWHERE
                of_training = option in training or option.rpartition(".")[0] in training  # a null section
                # What is inspected is going to be trained on: fit's options are what the report is about.
                there |= of_training and (script == "inspect_data" or bool(OF_TRAINING.search(text)))
                there |= script == "evaluate" and any(said.split()[-1] in text for said in OTHER_WORDS)
                if not there and "{" not in text:  # a style sheet's own words begin with dashes too
                    wrong.append(f"{place}: {option} in {text!r}")
    assert not wrong
    assert seen > 0
