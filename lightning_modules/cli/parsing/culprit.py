"""Which option an error comes from: the one without which it does not come."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from lightning_modules.cli.parsing.options import Option, options_of
from lightning_modules.cli.process import error_line

PACKAGES = frozenset({"lightning_modules", "datamodules"})

Trial = Callable[[Sequence[str]], BaseException | None]
"""Configures a command line in a trial, and returns the error that it ends with."""

_MOST_TRIALS = 40


def refusal(error: BaseException, args: Sequence[str], given: Collection[str], trial: Trial) -> str | None:
    """Return a line on an error that comes from what a command line says, or None if it is a bug.

    An error that names an option speaks for itself. For others the options are left out one at a time: the
    one without which the error does not come is to blame. If there is no such option, an error of this
    project that is meant for the user is shown without one.

    Args:
        error: What configuring the command line ended with.
        args: The command line.
        given: Names of the options and settings that were given, on the command line and in configs.
        trial: Configures a command line and returns its error.
    """
    found = own_error(error)
    said = in_a_line(found)
    dotted = {name for name in given if "." in name}
    if "--" in said or any(name in said for name in dotted):
        return said
    words = set(re.findall(r"\w+", said))
    options = options_of(args)
    paths = {word.strip("':,;().") for word in said.split()}
    places = [option for option in options if _is_a_place(option) and option.value in paths]
    if _speaks(found) and len(places) == 1:
        return f"--{places[0].name}: {said}"
    if _speaks(found):
        subject = "".join(re.findall(r"^[\w.]*", said))
        of_section = said.startswith(f"{subject}:")
        called = [name for name in dotted if name.endswith(f".{subject}") and not of_section]
        named = [each for each in _likely_first(options, words) if _is_spoken_of(each.name, words, subject)]
        option = None if len(called) == 1 else _culprit(error, options, named, trial)
        name = called[0] if len(called) == 1 else "" if option is None else option.name
        return f"--{name}: {said}" if name else said
    if _is_the_same(error, trial(())):
        return None
    option = _culprit(error, options, _likely_first(options, words), trial)
    if option is not None:
        return f"--{' '.join(option.tokens).lstrip('-')}: {said}"
    configs = [option for option in options if option.name == "config"]
    tokens = [token for config in configs for token in config.tokens]
    if configs and trial(tokens) is not None:
        return f"{', '.join(config.value for config in configs)}: {said}"
    return None


def own_error(error: BaseException) -> BaseException:
    """Return what this project's own code raised, which jsonargparse wraps in a description of its state.

    Where it raised nothing, what lies at the bottom.
    """
    link: BaseException | None = error
    last = error
    while link is not None:
        if _is_own(link):
            return link
        last = link
        link = link.__cause__ or (None if link.__suppress_context__ else link.__context__)
    return last


def in_a_line(error: BaseException) -> str:
    """Return an error's message as one line, with its kind where the message is no sentence.

    A list of differences, which this project's own errors have, keeps its lines.
    """
    if type(error).__module__.partition(".")[0] in PACKAGES:
        return str(error)
    said = " ".join((error_line(error) if isinstance(error, OSError) else str(error)).split())
    speaks = isinstance(error, (OSError, ValueError)) or type(error).__name__.endswith("Exception")
    return said if said and speaks else f"{type(error).__name__}: {said}".rstrip(": ")


def _speaks(error: BaseException) -> bool:
    """Tell whether an error says what is wrong in words that are meant for the user."""
    of_own_kind = type(error).__module__.partition(".")[0] in PACKAGES
    return of_own_kind or isinstance(error, OSError) or (isinstance(error, ValueError) and _is_own(error))


def _is_a_place(option: Option) -> bool:
    return option.name.rsplit(".", 1)[-1] in ("root", "cache_dir", "quarantine", "default_root_dir")


def _is_own(error: BaseException) -> bool:
    frames = traceback.extract_tb(error.__traceback__)
    return bool(frames) and bool(PACKAGES & set(Path(frames[-1].filename).parts))


def _is_spoken_of(name: str, words: Collection[str], subject: str) -> bool:
    return name.rsplit(".", 1)[-1] in words or name.startswith(f"{subject}.")


def _likely_first(options: list[Option], words: set[str]) -> list[Option]:
    def unlikely(option: Option) -> tuple[bool, bool]:
        return option.name.rsplit(".", 1)[-1] not in words, not option.name.startswith("trainer.")

    return sorted((option for option in reversed(options) if option.name not in ("", "config")), key=unlikely)


def _culprit(
    error: BaseException, options: list[Option], candidates: list[Option], trial: Trial
) -> Option | None:
    """Return the first of some options without which another error comes, or none.

    An error that does not come in a trial, which opens no data, tells nothing of the options.
    """
    if not candidates or not _is_the_same(error, trial([token for each in options for token in each.tokens])):
        return None
    for candidate in candidates[:_MOST_TRIALS]:
        left = [token for option in options if option is not candidate for token in option.tokens]
        other = trial(left)
        if isinstance(other, SystemExit):  # the rest does not parse without it, which tells nothing
            continue
        if not _is_the_same(error, other):
            return candidate
    return None


def _is_the_same(error: BaseException, other: BaseException | None) -> bool:
    return other is not None and in_a_line(own_error(other)) == in_a_line(own_error(error))
