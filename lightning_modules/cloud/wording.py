"""What a container says, in the words of the user's machine: places on Volumes, commands of `modal run`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO, cast

from lightning_modules.cloud.paths import DATA, RUNS
from lightning_modules.cost.settings import ModalSettings

_COMMAND = re.compile(r"(?:[^\s'\"]*/)?\bninelives (fit|sample|evaluate)\b")
_RUN_OF_COMMAND = re.compile(rf"(modal run modal_entry\.py::\w+ ['\"]?){RUNS}/")
_DATA_OF_COMMAND = re.compile(rf"(--data(?:\.root)?[ =]['\"]?){DATA}/")
_PLACE = re.compile(rf"(?<![\w./~:-])({RUNS}|{DATA})(?![\w-])(/(?=[^\s/]))?")


def for_the_user(text: str, settings: ModalSettings, further: Mapping[str, str] | None = None) -> str:
    """Return a container's text with the places and commands that mean the same on the user's machine.

    A place on a Volume is named after it, `ninelives-runs:cats/2026-11-23T19-12-31Z`; a run's command takes
    the run without the Volume's name.

    Args:
        text: What the container has to say.
        settings: The names of the Volumes.
        further: Other places of the container, and what to call them.
    """
    for place, name in (further or {}).items():
        text = text.replace(place, name)
    text = _COMMAND.sub(r"modal run modal_entry.py::\1", text)
    text = _DATA_OF_COMMAND.sub(r"\1", _RUN_OF_COMMAND.sub(r"\1", text))
    volumes = {RUNS: settings.runs_volume, DATA: settings.data_volume}
    return _PLACE.sub(lambda match: volumes[match[1]] + (":" if match[2] else ""), text)


class _Worded:
    """A text stream that words what is written to it for the user."""

    def __init__(self, stream: TextIO, settings: ModalSettings, further: Mapping[str, str] | None) -> None:
        self._stream, self._settings, self._further = stream, settings, further

    def write(self, text: str) -> int:
        self._stream.write(for_the_user(text, self._settings, self._further))
        return len(text)

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def output_for_the_user(settings: ModalSettings, further: Mapping[str, str] | None = None) -> Iterator[None]:
    """Word for the user all that Python code prints meanwhile.

    Args:
        settings: The names of the Volumes.
        further: Other places of the container, and what to call them.
    """
    before = sys.stdout, sys.stderr
    sys.stdout = cast(TextIO, _Worded(before[0], settings, further))
    sys.stderr = cast(TextIO, _Worded(before[1], settings, further))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before


def next_commands(run: str, settings: ModalSettings) -> list[str]:
    """Return what to do with a run on the Volume, a line each, to be pasted into a shell.

    Args:
        run: The run, `cats/2026-11-23T19-12-31Z`.
        settings: The names of the Volumes.
    """
    from shlex import quote

    usual = settings.runs_volume == ModalSettings().runs_volume
    volume = "" if usual else f" --modal.runs_volume {settings.runs_volume}"
    here = quote(f"runs/{run.rpartition('/')[0]}")  # `modal volume get` wants it to be there
    return [
        f"Look:  modal run modal_entry.py::tensorboard{volume}",
        f"Sample:  modal run modal_entry.py::sample {quote(run)}{volume}",
        f"Fetch:  mkdir -p {here} && modal volume get {settings.runs_volume} {quote(run)} {here}",
    ]
