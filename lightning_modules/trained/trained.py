"""A trained model, from wherever it is."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lightning_modules.checkpoints.facts import CheckpointFacts, checkpoint_facts
from lightning_modules.ema.names import length_in
from lightning_modules.export.manifest import read_manifest
from lightning_modules.export.safetensors_file import load_export
from lightning_modules.module import DiffusionModule
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.finding import find_checkpoint
from lightning_modules.sampling.settings import Sampling
from lightning_modules.sampling.stored import run_sampling
from lightning_modules.trained.averages import load_weights
from lightning_modules.trained.checkpoint import load_model


class Trained(NamedTuple):
    """A trained model and what is known of it."""

    path: Path
    """Its file."""

    module: DiffusionModule
    """The model, not in training."""

    sampling: Sampling
    """How its run samples images."""

    facts: CheckpointFacts
    """What its weights are."""

    @property
    def home(self) -> RunDirectory:
        """The run that the file is in; the folder of a file by itself takes its place."""
        return RunDirectory.containing(self.path) or RunDirectory(self.path.parent)


def load_trained(place: Path, device: str = "cpu", weights: str | None = None) -> Trained:
    """Load a run, a checkpoint, or a .safetensors export.

    Args:
        place: The file, a run directory, or an experiment's directory, whose `latest` run it is.
        device: Where to put the model.
        weights: Name of the weights, as `load_weights` takes it; None takes the averaged ones, or the raw
            ones of a run without an average.

    Raises:
        FileNotFoundError: If it does not exist.
        ValueError: If the file is not whole, not of this project, or does not have these weights.
    """
    path = find_checkpoint(place)
    if path.suffix == ".safetensors":
        if weights is not None:
            raise ValueError(
                f"{path} has one set of weights: export the others of its run, or leave --weights out"
            )
        manifest = read_manifest(path)
        facts = CheckpointFacts(manifest["step"], manifest["weights"])
        return Trained(path, load_export(path, device), Sampling.from_dict(manifest["sampling"]), facts)
    if weights is None:
        module = load_model(path, device).eval()
        return Trained(path, module, run_sampling(path), checkpoint_facts(path))
    loaded = load_weights(path, weights, device)
    words = loaded.kind if length_in(weights) is None else f"{loaded.kind} ({loaded.note})"
    facts = checkpoint_facts(path)._replace(weights=words)
    return Trained(path, loaded.module.eval(), run_sampling(path), facts)
