"""The runs of an experiment, and `latest`, which names the newest."""

from __future__ import annotations

import itertools
import logging
import os
from pathlib import Path

from datamodules.utils.io import sync_folder, write_text
from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.run.directory import LATEST, RunDirectory
from lightning_modules.run.names import run_name

_log = logging.getLogger(__name__)
_LONGEST_NAME = 4096  # bytes: a file `latest` that is longer is not ours


def next_run_directory(experiment: Path) -> Path:
    """Return a path for a run that starts now; a second one in the same second gets `-2` behind its name."""
    name = run_name()
    candidates = (experiment / (name if i == 1 else f"{name}-{i}") for i in itertools.count(1))
    return next(path for path in candidates if not path.exists())


def newest_run(experiment: Path) -> Path | None:
    """Return the newest run of an experiment, or none.

    It is the one that `latest` names: a link, or a text file where the file system has no links. Where a copy
    has made a folder of the link, or left it out, it is the last by name of those with a checkpoint, or of
    all if none has one; of a copy that has nothing else it is the folder `latest`.
    """
    named = _named_by(experiment / LATEST)
    if named is not None:
        return named
    runs = runs_of(experiment)
    with_checkpoint = [run for run in runs if checkpoints_in(RunDirectory(run).checkpoints)]
    alone = experiment / LATEST
    copied = [alone] if RunDirectory(alone).is_run else []
    return next(iter([*reversed(with_checkpoint), *copied, *reversed(runs)]), None)


def runs_of(experiment: Path) -> list[Path]:
    """Return the run directories of an experiment by name, which is by time unless they were named."""
    if not experiment.is_dir():
        return []
    return sorted(
        path
        for path in experiment.iterdir()
        if path.name != LATEST and not path.is_symlink() and RunDirectory(path).is_run
    )


def point_latest(folder: Path) -> None:
    """Let `latest` next to a run directory name it: a link, or a text file where there are no links.

    Raises:
        OSError: If the folder cannot be written.
    """
    latest = RunDirectory(folder).latest
    if folder == latest or _named_by(latest) == folder:
        return
    if latest.is_dir() and not latest.is_symlink():  # what a copy has made of the link
        try:
            latest.rmdir()
        except OSError:  # it holds a copy of a run
            _log.info("%s is a folder, not a link, and stays as it is; the newest run is %s.", latest, folder)
            return
    link = folder.with_name(f".{LATEST}.{os.getpid()}")
    try:
        link.unlink(missing_ok=True)  # of a process of the same number that was killed here
        link.symlink_to(folder.name, target_is_directory=True)
        link.replace(latest)
    except OSError:  # a file system without links
        write_text(latest, f"{folder.name}\n")
    else:
        sync_folder(latest.parent)


def name_latest(folder: Path) -> None:
    """Do so as `point_latest` does; where the folder cannot be written, that is logged."""
    try:
        point_latest(folder)
    except OSError as error:
        _log.warning("%s does not name %s: %s", RunDirectory(folder).latest, folder.name, error)


def _named_by(latest: Path) -> Path | None:
    """Return the run that a link or a text file `latest` names, if it is there."""
    try:
        if latest.is_symlink():
            name = latest.readlink().name
        elif latest.is_file() and latest.stat().st_size <= _LONGEST_NAME:
            name = latest.read_text(encoding="utf-8").strip()
        else:
            return None
        run = latest.with_name(name)
        return run if name and Path(name).name == name and run.is_dir() else None
    except (OSError, ValueError):
        return None
