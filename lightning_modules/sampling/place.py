"""Where samples go when nobody says: a folder in the run, another one for other settings."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamodules.utils.io import read_json
from lightning_modules.conditioning.class_choice import NONE
from lightning_modules.sampling.figures import FOLDER_MANIFEST

COUNT = "n"
"""What a manifest calls the number of images, which alone may grow."""

_LONGEST = 100
_UNFIT = re.compile(r"[^A-Za-z0-9=.,+_-]")


def default_folder(
    sampled: Path, manifest: Mapping[str, Any], own: Mapping[str, Any], weights: str | None, labeled: bool
) -> Path:
    """Return the folder of a set of images, named by its step and what differs from the run's own sampling.

    The same settings always give the same folder; where it holds images of other settings, as after a name
    too long to say everything, a hash of the settings stands behind the name.

    Args:
        sampled: The folder of all sets that are sampled from the model.
        manifest: What the images are sampled with.
        own: How the run samples its own pictures, `Sampling.to_dict`.
        weights: Name of the weights, if one was asked for.
        labeled: Whether classes were asked for.
    """
    words = [f"step={manifest['model']['step']:08d}", *([weights] if weights else [])]
    if labeled:
        words.append("labels=" + "+".join(NONE if name is None else str(name) for name in manifest["labels"]))
    if manifest["seed"]:
        words.append(f"seed={manifest['seed']}")
    words += [
        f"{name}={_word(value, own[name])}"
        for name, value in manifest["sampling"].items()
        if value != own[name]
    ]
    if manifest["guide"] is not None:
        words.append(f"guide={manifest['guide']['step']}")
    said = "-".join(words)
    name = _UNFIT.sub("_", said)[:_LONGEST]
    hashed = sampled / f"{name}-{_digest(manifest)}"
    plain = sampled / name
    return plain if name == said and _is_for(plain, manifest) else hashed


def _is_for(folder: Path, manifest: Mapping[str, Any]) -> bool:
    """Tell whether a folder is free, or holds images that were sampled with these settings."""
    try:
        there = read_json(folder / FOLDER_MANIFEST)
    except FileNotFoundError:
        return not any(path.stem.isdigit() for path in folder.glob("*.png"))
    except ValueError:
        return False
    return bool(_settings(there) == _settings(manifest))


def _settings(manifest: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in manifest.items() if name != COUNT}


def _digest(manifest: Mapping[str, Any]) -> str:
    text = json.dumps(_settings(manifest), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def _word(value: Any, own: Any) -> str:  # noqa: ANN401
    """Return a setting's value as a part of a name; of several values those that differ."""
    if isinstance(value, dict):
        return "+".join(f"{each:g}" for name, each in value.items() if each != own[name])
    if isinstance(value, list):
        return ",".join("inf" if each is None else f"{each:g}" for each in value)
    return "none" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
