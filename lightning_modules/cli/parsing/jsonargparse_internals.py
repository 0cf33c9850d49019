"""What jsonargparse says of a value that it refuses, which is known from its English alone."""

from __future__ import annotations

import re
from typing import NamedTuple

_KEY = re.compile(r"\s*(?:Parser )?key \"(?P<key>[\w.+-]+)\":\s*(?P<rest>.*)", re.DOTALL | re.IGNORECASE)
_UNKNOWN_KEYS = (
    re.compile(r"Group '(?P<group>[\w.]+)' does not accept option '(?P<key>[\w.-]+)'"),
    re.compile(r"(?:Option|Key) '(?P<key>[\w.-]+)' is not (?:accepted|expected)"),
)
_GIVEN = re.compile(r"(?:Got value|Given value): (?P<value>.+?)\s*$", re.DOTALL)
_LITERAL = re.compile(r"Literal\[([^\]]*)\]")
_CLASSES = re.compile(r"<class '([\w.]+)'>")
_COUNT = re.compile(r"Expected a tuple with (\d+) elements")
_NESTED = re.compile(r"NestedArg\(key='(?P<key>[\w.]+)'")
_NO_CONFIG = "Unable to load config"


class OfKeys(NamedTuple):
    """What an error says of a setting.

    Attributes:
        keys: The names of the setting that the parser and those inside it know it by, from the outside in;
            empty for an error of no setting.
        rest: What is said of it.
    """

    keys: list[str]
    rest: str


def unknown_key(message: str) -> str | None:
    """Return the name, as far as the parser knows it, of a setting that there is not; else none."""
    for pattern in _UNKNOWN_KEYS:
        if found := pattern.search(message):
            group = found.groupdict().get("group")
            return f"{group}.{found['key']}" if group else found["key"]
    return None


def of_keys(message: str) -> OfKeys:
    """Return the setting that an error is about, which each parser on the way names in its own words."""
    keys: list[str] = []
    while found := _KEY.match(message):
        keys.append(found["key"])
        message = found["rest"]
    return OfKeys(keys, message)


def took_value_for_config(said: str) -> bool:
    """Tell whether a section was given a value, which was then taken for the path of a config."""
    return _NO_CONFIG in said


def literals(said: str) -> list[str]:
    """Return the words that a refused value could have been."""
    found = [text for each in _LITERAL.findall(said) for text in str(each).split(",")]
    return list(dict.fromkeys(text.strip(" '\"") for text in found))


def classes(said: str) -> list[str]:
    """Return the dotted names of the types that a refused value could have been of."""
    return list(dict.fromkeys(_CLASSES.findall(said.partition("Given value type")[0])))


def tuple_length(said: str) -> int | None:
    """Return the number of values that were expected where there were more or fewer; else none."""
    found = _COUNT.search(said)
    return int(found[1]) if found else None


def given_value(said: str) -> str | None:
    """Return the value that was refused, without quotes, or none where it is not said."""
    found = _GIVEN.search(said)
    return found["value"].strip().strip("'\"") if found else None


def nested_option(value: str) -> str | None:
    """Return the option of a class, where it was given without the class; else none."""
    found = _NESTED.match(value)
    return found["key"] if found else None
