"""A trained model, from wherever it is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lightning_modules.base import DiffusionModule
from lightning_modules.export.manifest import read_manifest
from lightning_modules.export.safetensors_file import load_export
from lightning_modules.models import CheckpointFacts, checkpoint_facts, load_model
from lightning_modules.runs import find_checkpoint, run_sampling
from lightning_modules.sampling import Sampling


class Trained(NamedTuple):
    """A trained model and what is known of it."""

    path: Path
    """Its file."""

    module: DiffusionModule
    """The model, not in training."""

    sampling: Sampling
    """How its run draws images."""

    facts: CheckpointFacts
    """What its weights are."""

    @property
    def home(self) -> Path:
        """The run directory that the file is in, or the folder of a file by itself."""
        folder = self.path.parent
        return folder.parent if folder.name in ("checkpoints", "export") else folder


def load_trained(place: Path, device: str = "cpu") -> Trained:
    """Load the averaged weights of a run, a checkpoint, or a .safetensors export.

    Args:
        place: The file, a run directory, or an experiment's directory, whose `latest` run it is.
        device: Where to put the model.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If the file is not whole, or not of this project.
    """
    path = find_checkpoint(place)
    if path.suffix == ".safetensors":
        manifest = read_manifest(path)
        facts = CheckpointFacts(manifest["step"], manifest["weights"])
        return Trained(path, load_export(path, device), Sampling.from_dict(manifest["sampling"]), facts)
    return Trained(path, load_model(path, device).eval(), run_sampling(path), checkpoint_facts(path))
