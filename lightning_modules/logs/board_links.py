"""A view of the runs for TensorBoard, which follows `latest` and so shows the newest run twice."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from lightning_modules.run.directory import LATEST

_EVENTS = ".tfevents."

logger = logging.getLogger(__name__)


def runs_below(folder: Path) -> Iterator[Path]:
    """Yield the folders that hold TensorBoard's events, as paths below `folder`, each once.

    Links are followed, since a run may lie on another disk; `latest` comes last, behind the run's own name.
    """
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen or any(_EVENTS in name for name in files):
            folders.clear()  # what lies below a run is seen through it
            if real not in seen:
                yield Path(place).relative_to(folder)
        seen.add(real)
        folders.sort(key=lambda name: (name == LATEST, name))


def link_runs(folder: Path, view: Path) -> None:
    """Bring a view up to date: a link to each run, and none to runs that are gone.

    Args:
        folder: Where the runs are.
        view: An empty folder at first.
    """
    for place in runs_below(folder):
        link = view / (place if place.parts else folder.resolve().name)
        if not link.is_symlink():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to((folder / place).absolute(), target_is_directory=True)
    for link in [path for path in view.rglob("*") if path.is_symlink() and not path.exists()]:
        link.unlink()


@contextmanager
def view_of_runs(folder: Path, seconds: float = 5.0) -> Iterator[Path]:
    """Keep a view of a folder of runs, in the system's folder for temporary files, while the block runs.

    Args:
        folder: Where the runs are, which may come later.
        seconds: Time between two looks for runs that have come or gone.
    """
    done = threading.Event()
    with TemporaryDirectory(prefix="ninelives-board-") as name:
        view = Path(name)
        link_runs(folder, view)
        follower = threading.Thread(target=_follow, args=(folder, view, seconds, done), daemon=True)
        follower.start()
        try:
            yield view
        finally:
            done.set()
            follower.join()


def _follow(folder: Path, view: Path, seconds: float, done: threading.Event) -> None:
    while not done.wait(seconds):
        try:
            link_runs(folder, view)
        except OSError as error:  # a run that is deleted while it is looked at
            logger.warning("%s was not looked through: %s", folder, error)
