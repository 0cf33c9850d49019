"""The README of a published model, with the front matter that the Hugging Face Hub reads."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from datamodules.errors import printable
from lightning_modules.export.licenses import Licenses
from lightning_modules.export.markdown import escaped, fenced, table

SAMPLES = "samples.png"
MODEL, GUIDE = "model", "guide"
"""Names of the files without their endings."""

_MOST_CLASSES = 60


@dataclass(frozen=True)
class MeasuredQuality:
    """What an evaluation found, as text that a card shows.

    Args:
        heads: Heads of the table of figures.
        rows: Its rows, the floor first and the ceiling last, each a title and its cells.
        notes: What the figures are read as.
        protocol: What was compared with what, without the places of files.
        memorization: What was found of copies, a line for each set of samples that was looked at.
    """

    heads: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str]
    protocol: Mapping[str, object]
    memorization: Sequence[str]


@dataclass(frozen=True)
class ModelCard:
    """What is said of a model.

    Args:
        title: Its name.
        description: What the manifest of its export says.
        parameters: Number of its parameters.
        licenses: What its publisher says.
        training: What it was trained on and how, names and values.
        pictured: What the picture of samples shows, in Markdown.
        class_counts: Training images by printable name of the class, held-out ones included; empty where
            that is not known.
        settings: All settings that decided its weights; empty where they are not known.
        quality: What the newest evaluation found; None where there was no evaluation.
    """

    title: str
    description: Mapping[str, Any]
    parameters: int
    licenses: Licenses
    training: Mapping[str, object]
    pictured: str = ""
    class_counts: Mapping[str, int] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    quality: MeasuredQuality | None = None

    @property
    def name(self) -> str:
        """The title as a name of a repository and a folder: letters, digits, dots, dashes."""
        return re.sub(r"[^A-Za-z0-9.]+", "-", self.title).strip("-.")[:64] or "model"

    @property
    def classes(self) -> list[str]:
        """The names that can be asked for; none where nothing can."""
        names = list(self.description.get("class_names", []))
        return names if len(names) > 1 else []

    def render(self) -> str:
        """Return the text of README.md."""
        parts = [
            self._front_matter(),
            f"# {escaped(self.title)}",
            self._summary(),
            f"![samples]({SAMPLES})\n\n{self.pictured}",
            f"## Use\n\n{self._use()}",
            f"## Training\n\n{self._training()}",
            f"## Figures\n\n{self._figures()}",
            f"## Copies of training images\n\n{self._memorization()}",
            f"## Limits\n\n{self._limits()}",
            f"## Licenses\n\n{self._licenses()}",
        ]
        return "\n\n".join(parts) + "\n"

    def _front_matter(self) -> str:
        network = _network(self.description).lower()
        kind = "class-conditional" if self.classes else "unconditional"
        told = {
            **self.licenses.front_matter(),
            "library_name": "ninelives",
            "pipeline_tag": "unconditional-image-generation",
            "tags": ["diffusion", "image-generation", "pytorch", "safetensors", "onnx", network, kind],
        }
        return f"---\n{yaml.safe_dump(told, sort_keys=False, allow_unicode=True)}---"

    def _summary(self) -> str:
        images, told = self.description["images"], self.description
        of = f"of {len(self.classes):,} classes" if self.classes else "without labels"
        return (
            f"A diffusion model ({_network(told)}, {self.parameters:,} parameters) that samples images of "
            f"{images['size']} x {images['size']} pixels, {of}. Its weights are the "
            f"{escaped(told['weights'])} ones of step {told['step']:,}. It was trained with Nine Lives, a "
            "PyTorch Lightning project for small diffusion models."
        )

    def _use(self) -> str:
        asked = f"labels={self.classes[0]!r}, " if self.classes else ""
        guided = (
            f" The settings guide the model away from an average of its own weights, `{GUIDE}.safetensors`, "
            "which is loaded along with it."
            if "guide" in self.description
            else ""
        )
        program = (
            "import lightning_modules as nl\n\n"
            f'images = nl.load("{self.name}").sample({asked}n=16)\nimages.save("pictures")'
        )
        condition = ", labels" if self.classes else ""
        return "\n\n".join(
            [
                "Download the files, and sample with Nine Lives installed:",
                fenced(f"hf download USER/{self.name} --local-dir {self.name}", "bash"),
                fenced(program, "python"),
                f"These are the images of the training run, for the same seed, labels and settings.{guided}",
                f"Other programs can run `{MODEL}.onnx`, the denoiser `D(x, sigma{condition})`, in which `x` "
                f"is an image plus `sigma` times Gaussian noise; `{MODEL}.onnx.json` says its inputs, the "
                "classes and the sampler's settings:",
                table(["setting", "value"], list(_flat(self.description["sampling"]))),
            ]
        )

    def _training(self) -> str:
        parts = [table(["what", "value"], list(self.training.items()))]
        if self.classes:
            shown = self.classes[:_MOST_CLASSES]
            counts = [
                f"{escaped(name)} ({count:,})"
                if (count := self.class_counts.get(printable(name))) is not None
                else escaped(name)
                for name in shown
            ]
            more = len(self.classes) - len(shown)
            rest = f" and {more:,} more, which `{MODEL}.safetensors.json` names" if more else ""
            told = ", with their numbers of images" if self.class_counts else ""
            parts.append(f"Classes{told}: {', '.join(counts)}{rest}.")
        if self.settings:
            text = yaml.safe_dump(dict(self.settings), sort_keys=False, allow_unicode=True)
            parts.append(
                "<details><summary>All settings that decided the weights</summary>\n\n"
                f"{fenced(text, 'yaml')}\n\n</details>"
            )
        return "\n\n".join(parts)

    def _figures(self) -> str:
        if self.quality is None:
            return (
                "This model was **not evaluated**: nothing is known of the quality of its samples but the "
                "picture above. `ninelives evaluate` measures it against the images that it was trained on."
            )
        quality = self.quality
        notes = "\n".join(f"* {escaped(note)}" for note in quality.notes)
        return "\n\n".join(
            [
                "Each figure stands between a floor, real images against real images, and a ceiling, noise.",
                table(["", *quality.heads], quality.rows),
                notes,
                table(["protocol", "value"], list(quality.protocol.items())),
            ]
        )

    def _memorization(self) -> str:
        found = [] if self.quality is None else list(self.quality.memorization)
        if not found:
            return (
                "**Not measured.** A model of few images can give copies of them: compare its samples with "
                "the images that it was trained on before you give it to others."
            )
        return "\n".join(f"* {escaped(line)}" for line in found)

    def _limits(self) -> str:
        images = self.description["images"]
        size = images["size"]
        subject = "the classes above" if self.classes else "the kind of images that it was trained on"
        return "\n".join(
            [
                f"* It knows {subject} and nothing else; there is no text prompt.",
                f"* It samples {size} x {size} pixels and no other size.",
                "* What is rare in its training images, or missing, is rare or missing in its samples.",
                "* Its samples show nothing that happened: they are no evidence of anything.",
            ]
        )

    def _licenses(self) -> str:
        weights = self.licenses.weights
        stated = "**not stated**: ask who published the model" if weights is None else f"`{weights}`"
        return f"* Weights: {stated}\n* Images that the model was trained on: `{self.licenses.data}`"


def _network(description: Mapping[str, Any]) -> str:
    return str(description["model"]["class_path"]).removesuffix("Diffusion")


def _flat(settings: Mapping[str, Any], prefix: str = "") -> list[tuple[str, object]]:
    flat: list[tuple[str, object]] = []
    for name, value in settings.items():
        if isinstance(value, Mapping):
            flat += _flat(value, f"{prefix}{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            flat.append(
                (f"{prefix}{name}", " to ".join("infinity" if v is None else f"{v:g}" for v in value))
            )
        else:
            flat.append((f"{prefix}{name}", "none" if value is None else value))
    return flat
