"""What `ninelives export --to huggingface` does: a folder that can be published as it is."""

from __future__ import annotations

import dataclasses
import shlex
from pathlib import Path
from typing import Any

from datamodules.utils.folders import check_replaceable, whole_folder
from datamodules.utils.io import file_digest, write_text
from lightning_modules.cli.model_card import card_of
from lightning_modules.export.licenses import Licenses
from lightning_modules.export.manifest import Guide, describe, read_manifest, rebuild
from lightning_modules.export.model_card import GUIDE, MODEL, SAMPLES
from lightning_modules.export.onnx_file import export_onnx
from lightning_modules.export.safetensors_file import export_safetensors
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.images import save_png
from lightning_modules.pictures.sheets import LaidOut, Sheet
from lightning_modules.sampling.demonstrations import class_grid
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.settings import Sampling
from lightning_modules.trained.trained import Trained

README = "README.md"
_ENDINGS = (".safetensors", ".safetensors.json", ".onnx", ".onnx.json")
FILES = (README, SAMPLES, *(f"{name}{ending}" for name in (MODEL, GUIDE) for ending in _ENDINGS))
"""All that such a folder may hold; the guide's files where the run samples with one."""

_CARD = "readme_sha256"
"""What the manifest of the weights says of the card, so that one that was edited is not replaced."""
_PICTURED = 24
"""About so many images are sampled for the picture."""


def export_huggingface(trained: Trained, out: Path, licenses: Licenses) -> str:
    """Write the weights, the ONNX graph, samples and the model card, all or nothing of it.

    Args:
        trained: The model.
        out: The folder.
        licenses: What its publisher says.

    Returns:
        What was written and how it is uploaded, in lines.

    Raises:
        ValueError: If the folder holds something else, or the export fails.
    """
    check_replaceable(out, FILES)
    _check_ours(out)
    module, sampling, facts = trained.module, trained.sampling, trained.facts
    length = sampling.own_guide
    guide = None if length is None else Guide(length, f"{GUIDE}.safetensors")
    description = describe(module, facts, sampling, guide)
    card = card_of(trained, description, licenses)  # first, since a damaged file of the run ends it
    with whole_folder(out, FILES) as folder:
        if length is not None:
            of_guide = facts._replace(weights=f"averaged (length {length:g})")
            described = describe(module, of_guide, sampling.unguided())
            _write(folder, GUIDE, _guide(module, described, length), described)
        pictured = _picture(module, sampling, folder / SAMPLES)
        write_text(folder / README, dataclasses.replace(card, pictured=pictured).render())
        _write(folder, MODEL, module, description | {_CARD: file_digest(folder / README)})
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    stated = "" if licenses.weights else "; the license of the weights is not stated, --license states it"
    return (
        f"{out}: {len(list(out.iterdir()))} files, {size:.1f} MB ({facts.weights} weights of step "
        f"{facts.step}){stated}. Nothing was uploaded. Read {README}; then this uploads it:\n"
        f"hf upload USER/{card.name} {shlex.quote(str(out))} ."
    )


def _check_ours(out: Path) -> None:
    """Refuse to replace a folder whose files have the names, but were not written by an export as they are.

    Raises:
        ValueError: With the file.
    """
    there = sorted(out.iterdir()) if out.is_dir() else []
    if not there:
        return
    try:
        card = read_manifest(out / f"{MODEL}.safetensors").get(_CARD)
        known = [path.is_file() and not path.is_symlink() for path in there]
        if all(known) and (out / README).is_file() and file_digest(out / README) == card:
            return
    except (FileNotFoundError, ValueError):
        pass
    raise ValueError(
        f"{out} is not as an export has left it ({README} may have been edited), and would be deleted: "
        "move it away, or choose a new folder with --out"
    )


def _write(folder: Path, name: str, module: DiffusionModule, description: dict[str, Any]) -> None:
    export_onnx(module, description, folder / f"{name}.onnx")
    export_safetensors(module, description, folder / f"{name}.safetensors")


def _guide(module: DiffusionModule, description: dict[str, Any], length: float) -> DiffusionModule:
    """Make the model with its average of a length as weights.

    Raises:
        ValueError: If the checkpoint has no such average.
    """
    guide = rebuild(description)
    guide.load_state_dict(module.state_dict() | dict(module.ema_weights(length)))
    return guide.eval()


def _picture(module: DiffusionModule, sampling: Sampling, path: Path) -> str:
    """Sample a picture, the first images of seed 0, and say what it shows."""
    conditioner = module.conditioner
    every, columns = conditioner.every(), 6
    if conditioner.unconditional:
        asked = conditioner.choose(None).repeated(_PICTURED)
        picture = LaidOut(Sheet(columns), module.encoder.decode(sample(module, asked, sampling)))
        shown = f"The first {_PICTURED} samples"
    elif len(every) <= _PICTURED // 2:
        picture = class_grid(module, sampling, rows=_PICTURED // len(every))
        shown = "A column is a class, a row starts from the same noise: the first samples"
    else:
        asked = every[:_PICTURED]
        images = module.encoder.decode(sample(module, asked, sampling, indices=[0] * len(asked)))
        picture = LaidOut(Sheet(columns, captions=conditioner.captions(asked)), images)
        shown = f"A sample of each of the first {len(asked)} classes"
    save_png(picture.draw(), path)
    return f"{shown} of seed 0, with the settings below; not selected."
