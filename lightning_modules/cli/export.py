"""What `ninelives export` does."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from lightning_modules.cli.huggingface import export_huggingface
from lightning_modules.ema.names import EMA
from lightning_modules.export.licenses import Licenses
from lightning_modules.export.manifest import describe
from lightning_modules.export.onnx_file import export_onnx
from lightning_modules.export.safetensors_file import export_safetensors
from lightning_modules.trained.trained import load_trained

Format = Literal["safetensors", "onnx", "huggingface"]


def export(
    run: Path,
    to: Format,
    out: Path | None = None,
    weights: str | None = None,
    licenses: Licenses | None = None,
) -> str:
    """Export the newest checkpoint of a run, and return what was written, in a line.

    Args:
        run: A checkpoint, a run directory, or an experiment's directory.
        to: The format; `huggingface` is a folder with both others, samples and a model card.
        out: The file or the folder; None: in `export/` in the run.
        weights: Name of the weights; None: the main average.
        licenses: What a model card says of licenses; needed for it.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If the file's name has another ending than the format, or the export fails.
    """
    trained = load_trained(run, weights=weights)
    if to == "huggingface":
        if licenses is None:
            raise ValueError("a model card needs the license of the images: --data-license CC-BY-4.0, say")
        return export_huggingface(trained, out or trained.home.export / to, licenses)
    facts = trained.facts
    name = "" if weights in (None, EMA) else f"-{weights}"
    path = out or trained.home.export / f"step={facts.step:08d}{name}.{to}"
    if path.suffix != f".{to}":
        raise ValueError(f"{path} is not the name of a .{to} file")
    write = {"safetensors": export_safetensors, "onnx": export_onnx}[to]
    sampling, note = trained.sampling, ""
    if sampling.own_guide is not None:
        sampling = sampling.unguided()
        note = "; it samples unguided, since an export has one set of weights and so no guide"
    write(trained.module, describe(trained.module, facts, sampling), path)
    size = path.stat().st_size / 1e6
    return f"{path} ({size:.1f} MB, {facts.weights} weights of step {facts.step}) and {path.name}.json{note}"
