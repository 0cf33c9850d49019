"""All that this project uses of argparse beyond its public interface: a few attributes, and its English."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable
from typing import NamedTuple

_NEGATIVE = re.compile(r"-(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|-\.?(inf|nan)", re.IGNORECASE)
_ARGUMENT = re.compile(r"argument (?P<name>\S+): (?P<what>.+)", re.DOTALL)
_CHOICE = re.compile(r"invalid choice: (?P<value>.+) \(choose from (?P<choices>.+)\)")
_UNKNOWN = re.compile(r"unrecognized arguments?:\s*(?P<tokens>.+)", re.DOTALL | re.IGNORECASE)
_REQUIRED = re.compile(r"the following arguments are required: (?P<names>.+)", re.DOTALL)


Group = argparse._ArgumentGroup
"""What `add_argument_group` returns."""


class OfArgument(NamedTuple):
    """What an error says of one argument.

    Attributes:
        name: Its name, an option's with the dashes and behind its short form: `-c/--config`.
        what: What is wrong with it.
    """

    name: str
    what: str


class Choice(NamedTuple):
    """A value that is not one of an option's choices.

    Attributes:
        value: The value.
        choices: The choices.
    """

    value: str
    choices: list[str]


def take_negative_numbers(parser: argparse.ArgumentParser) -> None:
    """Let a parser take `-1e-8` and `-inf` for values; argparse's own pattern takes them for options."""
    parser._negative_number_matcher = _NEGATIVE


def option_strings(parser: argparse.ArgumentParser) -> list[str]:
    """Return all options of a parser with their dashes, in the order in which they were added."""
    return [name for action in parser._actions for name in action.option_strings]


def positional_names(parser: argparse.ArgumentParser) -> list[str]:
    """Return the names of what a parser takes without an option."""
    return [action.dest for action in parser._actions if not action.option_strings]


def with_option(parser: argparse.ArgumentParser, option: str) -> list[argparse.Action]:
    """Return the arguments of a parser that an option sets: one, or none."""
    return [action for action in parser._actions if option in action.option_strings]


def of_type(parser: argparse.ArgumentParser, kind: Callable[[str], object]) -> list[argparse.Action]:
    """Return the arguments of a parser whose text a type parses."""
    return [action for action in parser._actions if action.type is kind]


def of_argument(message: str) -> OfArgument | None:
    """Return the argument that an error is about, or none if it is about no single one."""
    found = _ARGUMENT.fullmatch(message.strip())
    return OfArgument(found["name"], found["what"]) if found else None


def invalid_choice(what: str) -> Choice | None:
    """Return the value and the choices where what is wrong is the choice."""
    found = _CHOICE.fullmatch(what)
    if found is None:
        return None
    return Choice(found["value"].strip("'"), [each.strip(" '") for each in found["choices"].split(",")])


def lacks_value(what: str) -> bool:
    """Tell whether what is wrong is that an option was given no value, or too few."""
    return what.startswith("expected")


def takes_no_value(what: str) -> bool:
    """Tell whether what is wrong is that an option without a value was given one."""
    return what.startswith("ignored explicit argument")


def unknown_arguments(message: str) -> list[str] | None:
    """Return what a parser did not know, or none where that is not the error."""
    found = _UNKNOWN.search(message)
    return found["tokens"].split() if found else None


def missing_arguments(message: str) -> list[str] | None:
    """Return the names of what is required and missing, or none where that is not the error."""
    found = _REQUIRED.fullmatch(message.strip())
    return found["names"].split(", ") if found else None
