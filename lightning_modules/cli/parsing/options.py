"""The options of a command line, in an order in which nothing overrides what is more specific."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Option:
    """An option of a command line with what belongs to it.

    Attributes:
        tokens: As they were typed: `("--data.batch_size", "7")`, `("--fresh",)`, `("-c", "demo")`. Those that
            stand before the first option are an option without a name each.
    """

    tokens: tuple[str, ...]

    @property
    def name(self) -> str:
        """Its name without dashes, `config` for `-c`; empty for what stands before the first option."""
        first = self.tokens[0]
        if first.startswith("-c"):
            return "config"
        return first.partition("=")[0].lstrip("-") if first.startswith("-") else ""

    @property
    def value(self) -> str:
        """Its value, or the first of them; empty without one."""
        first = self.tokens[0]
        if first.startswith("-c") and len(first) > 2:
            return first[2:].removeprefix("=")
        _, equals, value = first.partition("=")
        return value if equals else next(iter(self.tokens[1:]), "")


def options_of(args: Iterable[str]) -> list[Option]:
    """Return the options of a command line with their values, in its order."""
    groups: list[list[str]] = []
    for arg in args:
        if _is_option(arg) or not groups or not _is_option(groups[-1][0]):
            groups.append([arg])
        else:
            groups[-1].append(arg)
    return [Option(tuple(group)) for group in groups]


def last_value(options: Sequence[Option], *names: str) -> str:
    """Return the value of the last of some options, or nothing where none of them is given."""
    return next((option.value for option in reversed(options) if option.name in names), "")


def in_order(options: Sequence[Option]) -> list[Option]:
    """Return options so that each comes behind those that would override it.

    jsonargparse applies them one after the other, and a whole section or the choice of a class replaces
    what was said of its parts before: `--data.source.count 24 --data.source RenderedCats` forgets the 24.
    A part goes behind its whole; among equals the order stays. So it does where something is appended to
    a list: `--trainer.callbacks+=A --trainer.callbacks.x 1 --trainer.callbacks+=B` gives the 1 to A.
    """
    appended = [option.name.removesuffix("+") for option in options if option.name.endswith("+")]

    def depth(option: Option) -> int:
        name = option.name.removesuffix("+").removesuffix(".class_path")
        lists = (each for each in appended if f"{name}.".startswith(f"{each}."))
        return next(lists, name).count(".")

    return sorted(options, key=depth)


def _is_option(arg: str) -> bool:
    return arg.startswith(("--", "-c", "-h"))
