"""What the commands' parsers share: mistakes are answered in one line, with what may have been meant."""

from __future__ import annotations

import argparse
import difflib
import math
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from lightning_modules.cli.names import as_typed, program
from lightning_modules.cli.parsing.argparse_internals import (
    invalid_choice,
    of_argument,
    option_strings,
    positional_names,
    unknown_arguments,
)
from lightning_modules.cli.process import refuse

T = TypeVar("T")

OTHER_NAMES = {
    "batch": "batch-size",
    "cfg": "guidance",
    "cfg-scale": "guidance",
    "checkpoint-path": "",
    "ckpt": "",
    "ckpt-path": "",
    "guidance-scale": "guidance",
    "model": "",
    "model-path": "",
    "num-images": "n",
    "num-inference-steps": "steps",
    "num-samples": "n",
    "num-steps": "steps",
    "out-dir": "out",
    "outdir": "out",
    "output": "out",
    "output-dir": "out",
    "resume": "",
    "save-dir": "out",
    "seeds": "seed",
}
"""What other programs call an option, and what it is here; empty for a value that is given without a name."""


class ScriptParser(argparse.ArgumentParser):
    """argparse's parser, which answers in one line and names the nearest option or choice.

    Args:
        command: The command that it is of.
        description: What the command does.
        epilog: Examples; they name commands as `ninelives sample`.
        options: argparse's.
    """

    def __init__(self, command: str, description: str, epilog: str, **options: Any) -> None:  # noqa: ANN401
        super().__init__(
            prog=program(command),
            description=description,
            epilog=as_typed(epilog),
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )

    def error(self, message: str) -> NoReturn:
        """Say what was wrong and what may have been meant, and end the command with status 2."""
        said = " ".join(self._explained(message).split())
        refuse(f"{said} All options: {self.prog} --help")

    def _explained(self, message: str) -> str:
        if argument := of_argument(message):
            what = argument.what.rstrip(".")
            if choice := invalid_choice(what):
                what = no_such(choice.value, choice.choices)
            return f"{argument.name}: {what}."
        unknown = unknown_arguments(message)
        if unknown is None:
            return f"{message.rstrip('.')}."
        wrong = [each.partition("=")[0] for each in unknown if each.startswith("-")]
        if not wrong:
            return f"'{unknown[0]}' is one too many."
        return " ".join(self._no_option(each) for each in wrong)

    def _no_option(self, wrong: str) -> str:
        known = option_strings(self)
        bare = wrong.lstrip("-").replace("_", "-")
        here = OTHER_NAMES.get(bare)
        places = positional_names(self)
        if here == "" and places:
            return f"{wrong} is not an option: the {places[0]} is given without a name, first."
        near = (
            [f"--{here}"] if f"--{here}" in known else difflib.get_close_matches(f"--{bare}", known, 2, 0.7)
        )
        hint = f" Did you mean {' or '.join(near)}?" if near else ""
        return f"{wrong} is not an option.{hint}"


def no_such(value: str, choices: Collection[str], kind: str = "") -> str:
    """Return a sentence without its full stop: there is no such thing, what is nearest, what there is."""
    near = difflib.get_close_matches(value, choices, 1, 0.5)
    hint = f" Did you mean {near[0]}?" if near else ""
    return f"there is no {kind}{' ' if kind else ''}'{value}'.{hint} There are {', '.join(choices)}"


def whole(least: int, most: int | None = None) -> Callable[[str], int]:
    """Return a type for argparse: a whole number that is at least so large, and at most so."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a whole number, not '{text}'") from None
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {value}")
        if most is not None and value > most:
            raise argparse.ArgumentTypeError(f"must be at most {most:,}, not {value:,}")
        return value

    return parse


def number(
    above: float = -math.inf, least: float = -math.inf, most: float = math.inf
) -> Callable[[str], float]:
    """Return a type for argparse: a finite number in a range."""

    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"must be a number, not '{text}'") from None
        if not math.isfinite(value):
            raise argparse.ArgumentTypeError(f"must be a finite number, not {text}")
        if value <= above:
            raise argparse.ArgumentTypeError(f"must be above {above:g}, not {value:g}")
        if value < least:
            raise argparse.ArgumentTypeError(f"must be at least {least:g}, not {value:g}")
        return value

    return parse


def path(text: str) -> Path:
    """Parse a path, a type for argparse; an empty one is a shell variable that is not set."""
    if not text.strip():
        raise argparse.ArgumentTypeError("is empty, as is a variable of the shell that is not set")
    return Path(text)


def truth(text: str) -> bool:
    """Type for argparse: true or false."""
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, not '{text}'")
    return text.lower() == "true"


def name_of(choices: Collection[str]) -> Callable[[str], str]:
    """Return a type for argparse: one of some names."""

    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(no_such(text, choices))
        return text

    return parse


def several(kind: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Return a type for argparse: one or more of a kind, with commas between."""

    def parse(text: str) -> list[T]:
        return [kind(part.strip()) for part in text.split(",")]

    return parse
