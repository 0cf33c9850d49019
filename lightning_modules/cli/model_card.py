"""What a run knows of its model, for the model card; no path of the machine that it was trained on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from datamodules.sources.table import SOURCES
from datamodules.utils.io import file_digest, read_json
from lightning_modules.evaluation.published import measured
from lightning_modules.evaluation.report import figures_heads, figures_notes, figures_row
from lightning_modules.export.licenses import Licenses
from lightning_modules.export.model_card import MeasuredQuality, ModelCard
from lightning_modules.run.data_index import DataIndex
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.finding import run_config
from lightning_modules.run.manifest import FINGERPRINT, read_identity
from lightning_modules.trained.trained import Trained


def card_of(trained: Trained, description: Mapping[str, Any], licenses: Licenses) -> ModelCard:
    """Gather what is known of a model; what its picture shows is still to be said.

    Args:
        trained: The model; what is told depends on whether its run is there too.
        description: What the manifest of its export says.
        licenses: What its publisher says.

    Raises:
        ValueError: If a file of the run is damaged.
    """
    run = RunDirectory.containing(trained.path)
    identity = (read_identity(run.folder) if run is not None else None) or {}
    index = None if run is None else DataIndex.load(run.folder, str(identity.get(FINGERPRINT)))
    config = run_config(trained.path) or {}
    return ModelCard(
        title_of(trained),
        description,
        sum(parameter.numel() for parameter in trained.module.parameters()),
        licenses,
        dict(_training(trained, config, identity, index)),
        class_counts={} if index is None else dict(zip(index.class_names, index.class_counts, strict=True)),
        settings=identity,
        quality=None if run is None else _quality(run, trained),
    )


def title_of(trained: Trained) -> str:
    """Return the experiment's name, or that of a file that lies by itself.

    The run knows it: one that was copied elsewhere lies in a folder that may have the user's name.
    """
    run = RunDirectory.containing(trained.path)
    if run is None:
        return trained.path.parent.name or trained.path.stem
    named = (run_config(trained.path) or {}).get("experiment")
    return named if isinstance(named, str) and named else run.folder.resolve().parent.name


def _training(
    trained: Trained, config: Mapping[str, Any], identity: Mapping[str, Any], index: DataIndex | None
) -> Iterator[tuple[str, object]]:
    data = config.get("data") or {}
    if data:
        yield "images", _source(data)
    if index is not None:
        yield (
            "number of images",
            f"{len(index.hashes):,}, of which {data.get('val_fraction', 0):.0%} held out",
        )
    step = trained.facts.step
    yield "steps", f"{step:,}"
    if data:
        batch = data["batch_size"] * identity.get("trainer.accumulate_grad_batches", 1)
        batch *= identity.get("trainer.world_size", 1)
        yield "images in a step", batch
        yield "images seen", f"{step * batch:,}"
    module = trained.module
    yield "predicts", type(module.preconditioner).__name__
    yield "noise levels in training", repr(module.noise_levels)
    yield "optimizer", repr(module.optimizer_settings)
    yield "share of images without a label", module.cond_dropout
    yield "weights", _weights(trained, config.get("ema") or {})
    yield from _versions(trained)


def _weights(trained: Trained, ema: Mapping[str, Any]) -> str:
    """Say which weights they are, the main average with its length."""
    if trained.facts.weights != "averaged" or not ema:
        return trained.facts.weights
    name = "decay" if ema.get("length") is None else "length"
    return f"averaged ({name} {ema.get(name)})"


def _source(data: Mapping[str, Any]) -> str:
    """Say where the images come from, without the name of a folder."""
    if data.get("root") is not None:
        return "a folder of images"
    source = data.get("source")
    name = "RenderedCats" if source is None else str(source["class_path"]).rsplit(".", 1)[-1]
    return f"the data source {name} of Nine Lives" if name in SOURCES else "a source of its own"


def _versions(trained: Trained) -> Iterator[tuple[str, object]]:
    run = RunDirectory.containing(trained.path)
    if run is None or not run.manifest.is_file():
        return
    started = read_json(run.manifest).get("circumstances") or {}
    packages = started.get("packages") or {}
    yield "versions", ", ".join(f"{name} {version}" for name, version in packages.items())
    yield "machine", started.get("machine")


def _quality(run: RunDirectory, trained: Trained) -> MeasuredQuality | None:
    """Read the newest evaluation of the run; None where nothing was measured."""
    found = measured(run.evaluation, file_digest(trained.path))
    if found is None:
        return None
    report, rows, of_these = found
    entries = [("floor: real against real", report.floor), *((row.name, row.figures) for row in rows)]
    entries.append(("ceiling: noise", report.ceiling))
    notes = figures_notes(entries)
    if not of_these:
        notes.insert(0, f"Measured of other checkpoints: not of these weights of step {trained.facts.step:,}")
    return MeasuredQuality(
        figures_heads(entries),
        [[title, *figures_row(entries, figures)] for title, figures in entries],
        notes,
        found.protocol(),
        [f"{row.name}: {row.memorization.describe()}" for row in rows if row.memorization],
    )
