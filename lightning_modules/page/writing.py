"""Writing the page of a run: a folder that is whole or not there."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from datamodules.utils.folders import clear_abandoned, whole_folder
from datamodules.utils.io import file_digest, read_json, write_json
from datamodules.utils.text import listed
from lightning_modules.export.onnx_file import check_installed, write_graph
from lightning_modules.export.stored_weights import Storage, round_weights
from lightning_modules.module import DiffusionModule
from lightning_modules.page.figures import run_figures
from lightning_modules.page.front_end import check_built, copy_front_end
from lightning_modules.page.manifest import (
    FORMAT_VERSION,
    check_shown,
    commands,
    describe_model,
    digests,
    part,
    probe,
)
from lightning_modules.trained.trained import load_trained

MANIFEST = "model.json"
DENOISER, GUIDE = "model/denoiser.onnx", "model/guide.onnx"


class Page(NamedTuple):
    """A page that was written."""

    folder: Path
    """Where it is."""

    words: str
    """What it is, in a line."""


def write_page(
    run: Path, out: Path | None = None, weights: str | None = None, storage: Storage = "int16"
) -> Page:
    """Write a static folder that samples from a model in a browser; a page that is there is replaced.

    Args:
        run: A checkpoint, a run directory, an experiment's directory, or a .safetensors export.
        out: The folder; None: `page/` in the run.
        weights: Name of the weights; None: the main average.
        storage: How the weights are stored; arithmetic is in float32.

    Raises:
        FileNotFoundError: If there is no checkpoint, or the front end is not built.
        ValueError: If the folder holds something else, or the model cannot be exported.
    """
    check_built()
    check_installed()
    trained = load_trained(run, weights=weights)
    check_shown(trained.module)
    folder = trained.home.page if out is None else out
    clear_abandoned(folder)
    with whole_folder(folder, replaces=names_of_page(folder)) as draft:
        copy_front_end(draft)
        described = describe_model(trained)
        guide = trained.sampling.own_guide
        average = None if guide is None else dict(trained.module.ema_weights(guide))
        written = _write_model(draft, DENOISER, trained.module, storage)
        described |= {"denoiser": written, "guide": None, "weights_dtype": storage}
        described["probe"] = probe(trained.module)
        if average is not None:
            trained.module.load_state_dict(trained.module.state_dict() | average)
            described["guide"] = _write_model(draft, GUIDE, trained.module, storage)
        described["figures"] = run_figures(trained.home, file_digest(trained.path))
        described["commands"] = commands(trained, run, weights)
        described["files"] = digests(draft, _files(draft))
        write_json(draft / MANIFEST, described)
        size = sum(file.stat().st_size for file in _files(draft)) / 1e6
    facts = trained.facts
    return Page(folder, f"{folder} ({size:.1f} MB, {facts.weights} weights of step {facts.step}, {storage})")


def names_of_page(folder: Path) -> list[str]:
    """Return the names in a folder if all its files are a page's, and so may be replaced.

    Raises:
        ValueError: If it is a page with files of somebody else's in it, with their names.
    """
    try:
        written = read_json(folder / MANIFEST)
        if written["format_version"] != FORMAT_VERSION:
            return []
        ours = {*written["files"], MANIFEST}
    except (OSError, ValueError, KeyError, TypeError):
        return []  # what is there, if anything, is not ours
    others = sorted({file.relative_to(folder).as_posix() for file in _files(folder)} - ours)
    if others:
        raise ValueError(
            f"{folder} holds {listed(others)}, not a part of the page that was written there, which would be "
            f"deleted: move it, or choose another folder with --out"
        )
    return [path.name for path in folder.iterdir()]


def _write_model(draft: Path, path: str, module: DiffusionModule, storage: Storage) -> dict[str, Any]:
    (draft / path).parent.mkdir(exist_ok=True)
    left = round_weights(module, storage)
    write_graph(module, draft / path, storage, unused_inputs=False)
    return part(draft, path) | {"left_in_float32": left}


def _files(folder: Path) -> list[Path]:
    """Return what is in a folder and below, but for the folders themselves."""
    return [path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir()]
