from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save
from torch import Tensor

from datamodules.utils.io import atomic_write, file_digest, write_json
from lightning_modules.export.manifest import guide_of, manifest_path, read_manifest, rebuild
from lightning_modules.module import DiffusionModule


def export_safetensors(module: DiffusionModule, description: dict[str, Any], out: Path) -> None:
    """Write a model's weights as safetensors, and then its manifest; each whole or not at all.

    Args:
        module: The model.
        description: What `describe` says of it.
        out: The file.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in module.state_dict().items()}
    with atomic_write(out) as file:
        file.write(save(tensors, metadata={"format": "pt"}))
    write_json(manifest_path(out), description | {"file": out.name, "sha256": file_digest(out)})


def load_export(path: Path, device: str = "cpu") -> DiffusionModule:
    """Load a model that was exported as safetensors: the same denoiser, bit for bit.

    The average that it guides itself with is loaded too, where it was exported along with it.

    Args:
        path: The file; its manifest is next to it.
        device: Where to put the model.

    Raises:
        FileNotFoundError: If the file or its manifest is not there.
        ValueError: If they do not belong together or are not of this project.
    """
    if path.suffix != ".safetensors":
        raise ValueError(f"{path} is not a .safetensors file, which alone can be loaded into torch")
    manifest = read_manifest(path)
    module = rebuild(manifest)
    module.load_state_dict(load_file(path))
    if (guide := guide_of(manifest)) is not None:
        module.ema = {guide.length: _parameters(module, path.with_name(guide.file))}
    return module.to(device).eval()


def _parameters(module: DiffusionModule, exported: Path) -> dict[str, Tensor]:
    """Read the weights of another export of the same model."""
    read_manifest(exported)
    stored = load_file(exported)
    return {name: stored[name] for name, _ in module.named_parameters()}
