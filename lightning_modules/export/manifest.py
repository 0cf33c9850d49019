"""What an exported file says of itself, as JSON next to it: enough to run the model without this project."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from datamodules.utils.io import file_digest, read_json
from lightning_modules.checkpoints.facts import CheckpointFacts
from lightning_modules.diffusion.setting import Setting
from lightning_modules.models import MODELS
from lightning_modules.module import DiffusionModule
from lightning_modules.networks.config import NetworkConfig
from lightning_modules.sampling.settings import Sampling

FORMAT_VERSION = 1


class Guide(NamedTuple):
    """The export that a model guides itself with: an average of its own weights."""

    length: float
    """Relative length of the average."""

    file: str
    """Name of the file, in the same folder."""


def manifest_path(exported: Path) -> Path:
    """Return where the manifest of an exported file is."""
    return exported.with_name(f"{exported.name}.json")


def describe(
    module: DiffusionModule, facts: CheckpointFacts, sampling: Sampling, guide: Guide | None = None
) -> dict[str, Any]:
    """Return the facts of a model that no file format changes, as plain values.

    Args:
        module: The model, with the weights that are exported.
        facts: Where they are from.
        sampling: How images are to be sampled from it.
        guide: What it is guided with, if that is exported too.
    """
    channels, _, size = module.image_shape
    return {
        "format_version": FORMAT_VERSION,
        "weights": facts.weights,
        "step": facts.step,
        "model": {"class_path": type(module).__name__, "init_args": _options(module)},
        "encoder": to_plain(module.encoder),
        "images": {"size": size, "channels": channels, "layout": "NCHW", "range": [-1.0, 1.0]},
        **module.conditioner.facts(),
        "denoiser": "denoised = c_skip * x + c_out * network(c_in * x, ln(sigma) / 4, condition)",
        "preconditioning": to_plain(module.preconditioner),
        "sampling": sampling.to_dict(),
        **({} if guide is None else {"guide": guide._asdict()}),
    }


def read_manifest(exported: Path) -> dict[str, Any]:
    """Read and check the manifest of an exported file.

    Raises:
        FileNotFoundError: If the file or its manifest is not there.
        ValueError: If the manifest is of another version, or the file is not the one it describes.
    """
    for path in (exported, manifest_path(exported)):
        if not path.is_file():
            raise FileNotFoundError(f"there is no {path}: an export is a file and its .json next to it")
    try:
        manifest = read_json(manifest_path(exported))
        version, digest = manifest["format_version"], manifest["sha256"]
    except (ValueError, KeyError) as error:
        raise ValueError(f"{manifest_path(exported)} is not the manifest of an export") from error
    if version != FORMAT_VERSION:
        raise ValueError(f"{exported} has format version {version}; this program reads {FORMAT_VERSION}")
    if digest != file_digest(exported):
        raise ValueError(f"{exported} is not the file that its manifest describes: export it again")
    return manifest


def guide_of(manifest: dict[str, Any]) -> Guide | None:
    """Return what a manifest says of the model's guide; None where it has no guide.

    Raises:
        ValueError: If it is not a file of the same folder.
    """
    told = manifest.get("guide")
    if told is None:
        return None
    guide = Guide(**told)
    if Path(guide.file).name != guide.file:
        raise ValueError(f"the guide {guide.file!r} of an export is a file of its folder")
    return guide


def rebuild(manifest: dict[str, Any]) -> DiffusionModule:
    """Make the model of a manifest, with untrained weights.

    Raises:
        ValueError: If there is no such model or setting.
    """
    model = manifest["model"]
    if model["class_path"] not in MODELS:
        raise ValueError(f"there is no model {model['class_path']!r}; there are {', '.join(MODELS)}")
    options = {name: from_plain(value) for name, value in model["init_args"].items()}
    return MODELS[model["class_path"]](**options)


def to_plain(value: Any) -> Any:  # noqa: ANN401
    """Turn a setting into what JSON has: a dataclass becomes `class_path` and `init_args`, as in a YAML."""
    if isinstance(value, (Setting, NetworkConfig)) and dataclasses.is_dataclass(value):
        fields = {field.name: to_plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {"class_path": type(value).__name__, "init_args": fields}
    if isinstance(value, (list, tuple)):
        return [to_plain(item) for item in value]
    return value


def from_plain(value: Any) -> Any:  # noqa: ANN401
    """Turn what `to_plain` made back into the setting; lists become tuples.

    Raises:
        ValueError: If there is no such setting.
    """
    if isinstance(value, dict):
        known = {kind.__name__: kind for base in (Setting, NetworkConfig) for kind in _kinds(base)}
        if value["class_path"] not in known:
            raise ValueError(f"there is no setting {value['class_path']!r}")
        options = {name: from_plain(item) for name, item in value["init_args"].items()}
        return known[value["class_path"]](**options)
    if isinstance(value, list):
        return tuple(from_plain(item) for item in value)
    return value


def _options(module: DiffusionModule) -> dict[str, Any]:
    return {name: to_plain(value) for name, value in module.hparams.items() if not name.startswith("_")}


def _kinds(base: type[object]) -> Iterator[type[object]]:
    for kind in base.__subclasses__():
        yield kind
        yield from _kinds(kind)
