"""The files of a run: `runs/<experiment>/<UTC start time>/`, and `latest` next to it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lightning_modules.checkpoints.names import LAST

LATEST = "latest"
CHECKPOINTS = "checkpoints"
_MODEL_CHECKPOINTS = "model_checkpoints"
_EXPORT, _PAGE = "export", "page"
SAMPLED, EVALUATION = "sampled", "evaluation"
"""Folders of what is made from a run; on a user's machine too, when it was made on Modal."""


@dataclass(frozen=True)
class RunDirectory:
    """Where each file of a run is.

    Args:
        folder: The run directory, which may not exist yet.
    """

    folder: Path

    @staticmethod
    def containing(file: Path) -> RunDirectory | None:
        """Return the run of which a file is a checkpoint or an export, by the name of its folder.

        Args:
            file: A file, not a link to one.
        """
        folder = file.parent
        run = RunDirectory(folder.parent)
        return run if folder in (run.checkpoints, run.model_checkpoints, run.export) else None

    def start(self) -> None:
        """Make the run directory, with the folder of its checkpoints.

        Raises:
            FileExistsError: If another run of the experiment began in the same second.
        """
        self.checkpoints.mkdir(parents=True)

    @property
    def is_run(self) -> bool:
        """Whether there is a folder of checkpoints, which is made first of all."""
        return self.checkpoints.is_dir()

    @property
    def latest(self) -> Path:
        """The experiment's link to its newest run, or a text file where there are no links."""
        return self.folder.with_name(LATEST)

    @property
    def config(self) -> Path:
        """The resolved configuration."""
        return self.folder / "config.yaml"

    @property
    def manifest(self) -> Path:
        """What the run is: settings that decide its weights, and the circumstances of its start."""
        return self.folder / "manifest.json"

    @property
    def data_index(self) -> Path:
        """What its images were."""
        return self.folder / "data-index.npz"

    @property
    def recovery(self) -> Path:
        """What it has learned from its accidents."""
        return self.folder / "recovery.json"

    @property
    def lock(self) -> Path:
        """The file that the training process holds."""
        return self.folder / ".lock"

    @property
    def cost(self) -> Path:
        """What it has cost on Modal."""
        return self.folder / "cost.json"

    @property
    def telemetry(self) -> Path:
        """The history of its lives, one JSON object a line."""
        return self.folder / "telemetry.jsonl"

    @property
    def metrics(self) -> Path:
        """The table of all scalars."""
        return self.folder / "metrics.csv"

    @property
    def loss_plot(self) -> Path:
        """The picture of the losses."""
        return self.folder / "loss.png"

    @property
    def report(self) -> Path:
        """The page that tells of it."""
        return self.folder / "report.html"

    @property
    def checkpoints(self) -> Path:
        """The folder of the checkpoints."""
        return self.folder / CHECKPOINTS

    @property
    def last(self) -> Path:
        """The link to the newest whole checkpoint."""
        return self.checkpoints / LAST

    @property
    def model_checkpoints(self) -> Path:
        """Where Lightning's `ModelCheckpoint` saves unless it is told another folder."""
        return self.folder / _MODEL_CHECKPOINTS

    @property
    def samples(self) -> Path:
        """The sample grids of the training."""
        return self.folder / "samples"

    def sample_grid(self, step: int) -> Path:
        """Return the sample grid of a step."""
        return self.samples / f"step={step:08d}.png"

    @property
    def evaluation(self) -> Path:
        """Reports, and the pictures of evaluations."""
        return self.folder / EVALUATION

    @property
    def export(self) -> Path:
        """Exported models."""
        return self.folder / _EXPORT

    @property
    def page(self) -> Path:
        """The web page that samples from the trained model."""
        return self.folder / _PAGE

    @property
    def sampled(self) -> Path:
        """Sets of images that were sampled from the trained model."""
        return self.folder / SAMPLED
