"""Run directories: `runs/<experiment>/<UTC start time>/`, and `latest` next to them."""

from __future__ import annotations

import difflib
import itertools
import logging
import os
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from datamodules.utils.io import damaged, sync_folder, write_text
from lightning_modules.checkpoints.names import LAST
from lightning_modules.checkpoints.whole import checkpoints_in

LATEST = "latest"
CHECKPOINTS = "checkpoints"
MODEL_CHECKPOINTS = "model_checkpoints"
"""Where Lightning's `ModelCheckpoint` saves unless it is told another folder."""

_log = logging.getLogger(__name__)
_LONGEST_NAME = 4096  # bytes: a file `latest` that is longer is not ours
_LONGEST_FOLDER = 100  # bytes
_WITHOUT = "copy the checkpoint out of the run, to use it without"


def run_name(now: datetime | None = None) -> str:
    """Return the name of a run that starts at a moment, by default this one: 2026-11-23T19-12-31Z."""
    return f"{now or datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"


def next_run_directory(experiment: Path) -> Path:
    """Return a path for a run that starts now; a second one in the same second gets `-2` behind its name."""
    name = run_name()
    candidates = (experiment / (name if i == 1 else f"{name}-{i}") for i in itertools.count(1))
    return next(path for path in candidates if not path.exists())


def start_run_directory(folder: Path) -> None:
    """Make a run directory, with the folder of its checkpoints.

    Raises:
        FileExistsError: If another run of the experiment began in the same second.
    """
    (folder / CHECKPOINTS).mkdir(parents=True)


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
    with_checkpoint = [run for run in runs if checkpoints_in(run / CHECKPOINTS)]
    alone = experiment / LATEST
    copied = [alone] if (alone / CHECKPOINTS).is_dir() else []
    return next(iter([*reversed(with_checkpoint), *copied, *reversed(runs)]), None)


def runs_of(experiment: Path) -> list[Path]:
    """Return the run directories of an experiment by name, which is by time unless they were named."""
    if not experiment.is_dir():
        return []
    return sorted(
        path
        for path in experiment.iterdir()
        if path.name != LATEST and not path.is_symlink() and (path / CHECKPOINTS).is_dir()
    )


def point_latest(folder: Path) -> None:
    """Let `latest` next to a run directory name it: a link, or a text file where there are no links.

    Raises:
        OSError: If the folder cannot be written.
    """
    latest = folder.with_name(LATEST)
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
        _log.warning("%s does not name %s: %s", folder.with_name(LATEST), folder.name, error)


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


def real_place(place: Path) -> Path:
    """Return a path in whose middle or at whose end `latest` may stand, though there is no such folder."""
    for part in (place, *place.parents):
        if (
            part.name == LATEST
            and not (part / CHECKPOINTS).is_dir()
            and (run := newest_run(part.parent)) is not None
        ):
            return run / place.relative_to(part)
    return place


def find_run(place: Path) -> Path | None:
    """Return the run directory that a place means: its own, or an experiment's newest; None if it is neither.

    Args:
        place: A run directory, `latest`, or an experiment's directory, on this file system or copied from
            another one.
    """
    place = real_place(place)
    return place if (place / CHECKPOINTS).is_dir() else newest_run(place)


def find_checkpoint(place: Path) -> Path:
    """Return the newest checkpoint of a place.

    Args:
        place: A checkpoint, a run directory, or an experiment's directory, whose newest run it is.

    Raises:
        FileNotFoundError: If it does not exist, with where it was looked for.
    """
    place = real_place(place)
    if place.is_file():
        return place
    if not place.exists():
        raise FileNotFoundError(_what_there_is(place))
    run = find_run(place)
    if run is not None:
        there = checkpoints_in(run / CHECKPOINTS)
        last = run / CHECKPOINTS / LAST
        if there or last.is_file():
            return (there[-1] if there else last).resolve()
    looked_for = [place / CHECKPOINTS, (run or place / LATEST) / CHECKPOINTS]
    where = " or ".join(dict.fromkeys(map(str, looked_for)))
    raise FileNotFoundError(
        f"no checkpoint in {place}: {where} has no checkpoint. Give a run directory such as "
        f"runs/demo/latest, an experiment such as runs/demo, or a .ckpt file."
    )


def experiment_name(config: str, root: Path | str | None, default: str) -> str:
    """Return the experiment that a command line belongs to, the same for the same command line.

    Args:
        config: Name of the config.
        root: The user's own folder of images; None: the config's data source.
        default: Name of the config that is used if no other is given.

    Returns:
        The config's name, or the own folder's; behind that stands the config's unless it is the default one,
        `my_images-cats`. What a file system or a command line may stumble over becomes `_` in it.
    """
    if root is None:
        return config
    # Not resolved: a link is named as the user names it. `.` and `..` are.
    name = Path(os.path.abspath(Path(root).expanduser())).name  # noqa: PTH100
    name = unicodedata.normalize("NFC", name)
    name = re.sub(r"[^\w.+=-]+", "_", name).lstrip(".-")
    while len(name.encode()) > _LONGEST_FOLDER:
        name = name[:-1]
    if not name.strip("_") or name == LATEST:
        name = f"images{name}"
    return name if config == default else f"{name}-{config}"


def run_config(checkpoint: Path) -> dict[str, Any] | None:
    """Return the resolved configuration of a checkpoint's run, or None if it lies in no run with one.

    Raises:
        ValueError: If it is damaged.
    """
    folder = checkpoint.resolve().parent
    path = folder.parent / "config.yaml"
    if folder.name not in (CHECKPOINTS, MODEL_CHECKPOINTS) or not path.is_file():
        return None
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not isinstance(config, dict):
            raise TypeError(f"it holds {type(config).__name__}")
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise damaged(path, _WITHOUT, error) from error
    return config


def _what_there_is(place: Path) -> str:
    """Name what lies near a place that is not there: the folder's checkpoints, or a name like it."""
    folder = place.parent
    steps = [path.name for path in checkpoints_in(folder)]
    if steps:
        kept = ", ".join([*steps[:3], "...", *steps[-3:]] if len(steps) > 7 else steps)
        return (
            f"there is no {place.name} in {folder}: its checkpoints are {kept}. Older ones are deleted; "
            f"--checkpoint.keep_every_n_steps keeps some of them in training"
        )
    siblings = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    near = difflib.get_close_matches(place.name, siblings, n=1)
    hint = f"; did you mean {folder / near[0]}?" if near else ""
    return f"no checkpoint in {place}, which does not exist{hint}"
