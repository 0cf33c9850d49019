"""Choosing classes by what a user writes: `tabby,siamese`, `"a, b"`, `3`, `none`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import NamedTuple

from datamodules.errors import printable
from datamodules.utils.text import counted

NONE = "none"
"""Written for the null label, unless a class has this name."""

PLACE = "/"
"""`/none` and `/0` are never names, since no folder's name has a slash."""

_PART = re.compile(r'\s*(?:"(?P<quoted>(?:[^"]|"")*)"|(?P<bare>[^",][^,]*)?)\s*(?P<end>,|\Z)')
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?")


class Written(NamedTuple):
    """One class as it was written."""

    text: str
    quoted: bool


def chosen_classes(wanted: str | None, class_names: Sequence[str]) -> list[int]:
    """Return the labels that were written, or all, each once or as often as it was written.

    Args:
        wanted: Classes with commas between, as `label_of` takes each; a name with commas, quotes or blanks at
            an end stands in double quotes, each double quote in it doubled.
        class_names: The model's classes.

    Raises:
        ValueError: If a class is unknown, with those there are.
    """
    if wanted is None:
        return list(range(len(class_names)))
    try:
        return [label_of(each, class_names) for each in split(wanted)]
    except ValueError:
        if wanted in class_names:
            raise ValueError(
                f"the class {wanted!r} has a comma, a quote or a blank at an end, so it is written in double "
                f"quotes: --labels '{spelled(wanted)}'"
            ) from None
        raise


def label_of(written: Written, class_names: Sequence[str]) -> int:
    """Return the label of one class.

    A class's name always means that class. If there is no such class, and without quotes: `none` is the null
    label, and a number the class at that place, counted from 0, unless classes are named by numbers.
    `/none` and `/0` mean these for any names of classes.

    Raises:
        ValueError: If there is no such class.
    """
    name = written.text
    if name in class_names:
        return class_names.index(name)
    place = name.removeprefix(PLACE)
    if not written.quoted and place == NONE:
        return len(class_names)
    numbers = not written.quoted and place.isascii() and place.isdecimal()
    if numbers and name == place and any(_NUMBER.fullmatch(each) for each in class_names):
        raise ValueError(
            f"no class is named {name!r}, and some are named by numbers: there are {listed(class_names)}. "
            f"For a class by its place, counted from 0, write {PLACE}{name}"
        )
    if numbers and int(place) < len(class_names):
        return int(place)
    raise ValueError(
        f"the model has no class {name!r}{_near(name, class_names)}: there are {listed(class_names)}"
    )


def split(text: str) -> list[Written]:
    """Split what was written at its commas, but for those in quotes.

    Raises:
        ValueError: If a quote is not closed, or something follows a quoted name.
    """
    parts, start, end = [], 0, ","
    while end:
        match = _PART.match(text, start)
        if match is None:
            raise ValueError(
                f"--labels {text!r}: a name in double quotes ends with one, and then comes a comma or "
                f"nothing; a double quote in a name is doubled"
            )
        quoted = match["quoted"] is not None
        parts.append(
            Written(match["quoted"].replace('""', '"') if quoted else (match["bare"] or "").strip(), quoted)
        )
        start, end = match.end(), match["end"]
    return parts


def spelled(name: str) -> str:
    """Return how a class's name is written: itself, or in quotes where it needs them."""
    if name and "," not in name and not name.startswith('"') and name == name.strip():
        return name
    return '"' + name.replace('"', '""') + '"'


def listed(class_names: Sequence[str]) -> str:
    """Say which classes there are; of many a few."""
    return counted([printable(spelled(name)) for name in class_names])


def _near(name: str, class_names: Sequence[str]) -> str:
    folded = {each.casefold(): each for each in reversed(class_names)}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {printable(spelled(folded[near[0]]))}?" if near else ""
