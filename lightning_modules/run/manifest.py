"""What a run is, written down when it starts, so that another one is never continued by mistake."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from datamodules.utils.io import damaged, read_json, write_json
from lightning_modules.checkpoints.errors import write_errors
from lightning_modules.run.directory import RunDirectory
from lightning_modules.utils.differences import differences, equal

PACKAGES = ("torch", "lightning", "torchmetrics", "numpy", "pillow", "jsonargparse")

_WHOLE = ("seed_everything", "model", "learning_rate", "ema", "spike_guard")
"""Sections of the configuration that are part of a run's identity."""
_NOT_OF_DATA = (
    "root",
    "source",
    "quarantine",
    "split_folders",
    "limits",
    "max_rejected",
    "cache",
    "cache_dir",
    "resident",
    "workers",
    "seed",
)
"""What of `data` is no part of it: where images lie and how they are loaded. The fingerprint is theirs."""
_OF_TRAINER = ("accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm", "precision")
_NOT_PART = {
    "model": ("compile", "class_names", "seed", "image_size"),
    "spike_guard": ("max_roll_backs",),
}
"""What of a section is no part of it, or stands elsewhere."""

FINGERPRINT = "data.fingerprint"
_WARM_UP = "learning_rate.warm_up"
_WHAT = "delete it if you are sure that this command line is the run's"


def run_identity(config: Mapping[str, Any], fingerprint: str, world_size: int) -> dict[str, Any]:
    """Return what decides a run's weights, as flat names and plain values.

    The length of a run is no part of it, nor where its data and outputs lie, how often it validates, samples
    or logs, or how its checkpoints are kept.

    Args:
        config: The resolved configuration as plain values.
        fingerprint: Identity of the images.
        world_size: Number of training processes.
    """
    chosen: dict[str, Any] = {name: config[name] for name in _WHOLE if name in config}
    chosen["data"] = {name: value for name, value in config["data"].items() if name not in _NOT_OF_DATA}
    chosen["data"]["fingerprint"] = fingerprint
    chosen["trainer"] = {name: config["trainer"].get(name) for name in _OF_TRAINER}
    chosen["trainer"]["world_size"] = world_size
    flat = _flatten(chosen)
    return {name: value for name, value in flat.items() if not _stands_apart(name)}


def circumstances() -> dict[str, Any]:
    """Return what is worth knowing of the start and refuses nothing: versions, revision, machine."""
    return {
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "git_revision": _git_revision(),
        "packages": {name: importlib.metadata.version(name) for name in PACKAGES},
    }


def record_identity(folder: Path, of: Mapping[str, Any], step: int) -> None:
    """Write what a run is from a step on, and the circumstances of its start: the whole file or none.

    Where the run was another one before, what it was is kept under `earlier`, with the step and the time
    that it was so until. A manifest that says the same already is left alone.

    Args:
        folder: The run directory.
        of: Its identity.
        step: Optimizer steps taken so far.

    Raises:
        CheckpointWriteError: If the file system refuses.
        ValueError: If the manifest that is there is damaged.
    """
    path, recorded = RunDirectory(folder).manifest, read_identity(folder)
    content: dict[str, Any] = {"identity": of, "circumstances": circumstances()}
    if recorded is not None:
        if not mismatches(recorded, of):
            return
        there = read_json(path, _WHAT)
        now = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        was = {"until_step": step, "until": now, "identity": recorded}
        content["circumstances"] = there.get("circumstances")
        content["earlier"] = [*there.get("earlier", []), was]
    with write_errors(path):
        write_json(path, content, allow_nan=True, default=str)


def read_identity(folder: Path) -> dict[str, Any] | None:
    """Return the identity of a run, or None if it has not been written.

    Raises:
        ValueError: If the manifest is damaged.
    """
    path = RunDirectory(folder).manifest
    if not path.is_file():
        return None
    content = read_json(path, _WHAT)
    if not isinstance(content.get("identity"), dict):
        raise damaged(path, _WHAT, KeyError("identity"))
    if not isinstance(content.get("earlier", []), list):
        raise damaged(path, _WHAT, TypeError("'earlier' is no list"))
    return dict(content["identity"])


def mismatches(recorded: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """Return what differs between two identities, a line each: `data.batch_size: 32 in the run, 64 now`."""
    found = differences(_plain(recorded), _plain(wanted), same=equal, within=(Mapping,))
    return [each.since_the_run() for each in sorted(found, key=lambda each: each.name)]


def remarks(recorded: Mapping[str, Any], wanted: Mapping[str, Any], step: int) -> list[str]:
    """Return what is worth saying of settings that a run is to be continued with, a sentence each."""
    said = []
    old, new = recorded.get(_WARM_UP), wanted.get(_WARM_UP)
    if isinstance(old, int) and isinstance(new, int) and old != new and step >= max(old, new):
        said.append(f"{_WARM_UP}: at step {step} both warm-ups are over, so that the change has no effect.")
    if recorded.get("data.val_fraction") != wanted.get("data.val_fraction"):
        said.append(
            "data.val_fraction: some of the images that are held out now may have been trained on before, "
            "and look better than new ones."
        )
    return said


def _stands_apart(name: str) -> bool:
    parts = name.split(".")
    return parts[-1] in _NOT_PART.get(parts[0], ())


def _flatten(value: Any, prefix: str = "") -> dict[str, Any]:  # noqa: ANN401
    if not isinstance(value, Mapping):
        return {prefix: value}
    return {
        name: leaf
        for key, inner in value.items()
        for name, leaf in _flatten(inner, f"{prefix}.{key}" if prefix else str(key)).items()
    }


def _plain(of: Mapping[str, Any]) -> dict[str, Any]:
    """As it comes back from a file: lists for tuples."""
    return dict(json.loads(json.dumps(of, default=str)))


def _git_revision() -> str | None:
    """Return the revision of the code's checkout, with `-dirty` where it was edited, or none."""
    try:
        done = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
