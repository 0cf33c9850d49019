"""What the commands do, for programs and notebooks: `import lightning_modules as nl`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lightning.pytorch import Callback

from lightning_modules.cli.commands import evaluate as evaluate_command
from lightning_modules.cli.commands import sample as sample_command
from lightning_modules.cli.fit import StoppedError, train
from lightning_modules.cli.parsing.help import DEFAULT_CONFIG, FLAGS
from lightning_modules.cli.process import refusals_as_errors
from lightning_modules.cli.sample import SampleOptions, sample_in_memory
from lightning_modules.conditioning.class_choice import NONE, PLACE, spelled
from lightning_modules.evaluation.evaluate import evaluate
from lightning_modules.evaluation.report import Report
from lightning_modules.run.finding import find_checkpoint, find_run
from lightning_modules.sampling.sampled_images import SampledImages

__all__ = ["Run", "SampledImages", "fit", "load"]

_OF_FILES = frozenset({"out", "fresh", "part", "classes", "interpolation", "video"})
"""Options of `ninelives sample` that mean nothing for images in memory."""


class Run:
    """A run, or a checkpoint or export by itself. What it does takes the newest checkpoint.

    Args:
        place: A run directory, an experiment's directory (its newest run), a checkpoint, or an export.

    Raises:
        FileNotFoundError: If nothing is trained there.

    Attributes:
        folder: The run directory, or the file.
    """

    def __init__(self, place: str | Path) -> None:
        find_checkpoint(Path(place))
        self.folder = Path(place) if Path(place).is_file() else find_run(Path(place)) or Path(place)

    def __repr__(self) -> str:
        return f"<run {self.folder}>"

    @property
    def checkpoint(self) -> Path:
        """The newest checkpoint."""
        return find_checkpoint(self.folder)

    def sample(
        self, labels: str | Sequence[str | None] | None = (), n: int = 16, **options: object
    ) -> SampledImages:
        """Sample images: those that `ninelives sample` makes with the same options.

        Image `i` depends on the seed, its label and `i` alone.

        Args:
            labels: Classes, for the images in turn: a name, or several; None: no class; nothing: all.
            n: Number of images.
            options: Those of `ninelives sample` but for files and processes, with underscores: `seed`,
                `weights`, `sampler`, `steps`, `nfe`, `guidance`, `guide_length`, `batch_size`, ... What is
                not given is as in the run.

        Raises:
            ValueError: If an option cannot be fulfilled, with what to do.
        """
        unfit = sorted(_OF_FILES & options.keys())
        if unfit:
            raise ValueError(f"{', '.join(unfit)}: for files, which ninelives sample writes; here use .save")
        chosen = [labels] if labels is None or isinstance(labels, str) else labels
        written = ",".join(f"{PLACE}{NONE}" if name is None else spelled(name) for name in chosen)
        given = {"n": n, **({"labels": written} if chosen else {}), **options}
        with refusals_as_errors():
            parsed = sample_command.parse([str(self.folder), *_as_options(given)])
        return sample_in_memory(SampleOptions(**vars(parsed)))

    def evaluate(self, **options: object) -> Report:
        """Measure the quality of samples as `ninelives evaluate` does, which keeps the report in the run.

        Args:
            options: Those of `ninelives evaluate`, with underscores, two of them for a dot: `n`, `nfe`,
                `guidance`, `against`, `features`, `data__workers`, ... Several values are a list.

        Returns:
            The report; printed, it is the command's table.

        Raises:
            EvaluationError, DataError, ValueError: With what to do.
        """
        with refusals_as_errors():
            parsed = evaluate_command.make_parser().parse_args([str(self.folder), *_as_options(options)])
        return evaluate(evaluate_command.request(parsed)).report


def fit(
    root: str | Path | None = None,
    config: str | Path = DEFAULT_CONFIG,
    *,
    callbacks: Sequence[Callback] = (),
    **overrides: object,
) -> Run:
    """Train as `ninelives fit` does: a run is started or continued, saved, and can be interrupted.

    An interruption, as a notebook's stop button, ends the step, saves, and raises `KeyboardInterrupt` with
    what to do; the same call continues. Where there are several GPUs, `trainer__devices=1` trains on one.

    Args:
        root: Folder of images, sub-folders being classes; none takes the config's own.
        config: Name of a config, or the path of one.
        callbacks: Further callbacks.
        overrides: All other options, with two underscores for a dot: `trainer__max_steps=500`, or as a
            mapping, `**{"trainer.max_steps": 500}`. Flags are `fresh=True` and the like.

    Returns:
        The run.

    Raises:
        KeyboardInterrupt: If training was asked to stop; it is saved.
        ValueError: If it cannot be trained so, with the option that is to be changed.
        CheckpointWriteError, DataError, MemoryError, RollBackError: If it cannot go on, with what to do.
    """
    given = {name.replace("__", "."): value for name, value in overrides.items()}
    if given.get("fast_dev_run") or given.get("trainer.fast_dev_run"):
        raise ValueError("a fast_dev_run leaves no run: try it with ninelives fit --fast-dev-run")
    named = {"config": config, **({} if root is None else {"data.root": root}), **given}
    try:
        with refusals_as_errors():
            trained = train(list(_training_options(named)), callbacks)
    except StoppedError as stop:
        raise KeyboardInterrupt(stop.said("The same call")) from None
    return Run(trained.choice.folder)


def load(place: str | Path) -> Run:
    """Return a run: `load("runs/demo")` is the experiment's newest; see `Run`.

    Raises:
        FileNotFoundError: If nothing is trained there, with where it was looked for.
    """
    return Run(place)


def _training_options(given: Mapping[str, object]) -> Iterator[str]:
    for name, value in given.items():
        flag = name.replace("_", "-")
        if flag not in FLAGS:
            yield f"--{name}={_as_text(value)}"
        elif value:
            yield f"--{flag}"


def _as_options(given: Mapping[str, object]) -> list[str]:
    """Return options of a command but training, which are spelled with dashes unless they have a dot."""
    words: list[str] = []
    for name, value in given.items():
        dotted = name.replace("__", ".")
        option = f"--{dotted if '.' in dotted else name.replace('_', '-')}"
        if value is None or (value is False and "." not in dotted):
            continue
        if value is True and "." not in dotted:
            words.append(option)
        elif name == "interval" and isinstance(value, Sequence):
            words += [option, *map(str, value)]
        elif isinstance(value, Sequence) and not isinstance(value, str):
            words.append(f"{option}={','.join(map(str, value))}")
        else:
            words.append(f"{option}={_as_text(value)}")
    return words


def _as_text(value: object) -> str:
    return str(value) if isinstance(value, (str, Path)) else json.dumps(value, default=str)
