"""The run that nothing disturbs, which the killed ones are compared with."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.resume_proof.attempt import Pace, Watch
from lightning_modules.resume_proof.child import AttemptSettings, Child
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.experiment import newest_run

Start = Callable[[AttemptSettings], Child]
"""How a training process is started."""
TAIL = 15
"""Lines of a log that are shown where something went wrong."""


class ProofError(ValueError):
    """The undisturbed run does not train, so that there is nothing to prove."""


@dataclass(frozen=True)
class Undisturbed:
    """The run that the others are compared with.

    Attributes:
        folder: Its run directory.
        batches: The hash of each micro-batch.
        pace: How long things took.
        checkpoint_bytes: Size of a checkpoint.
        seconds: Of its process.
    """

    folder: Path
    batches: tuple[str, ...]
    pace: Pace
    checkpoint_bytes: int
    seconds: float


def train_undisturbed(
    start: Start,
    args: Sequence[str],
    folder: Path,
    micro_batches: int,
    seen: Callable[[], None] = lambda: None,
) -> Undisturbed:
    """Train a run that nothing disturbs.

    Args:
        start: How to start its process.
        args: Its command line, without the folder of its runs.
        folder: Where its run goes; the log goes next to it.
        micro_batches: Its length.
        seen: Called at every micro-batch.

    Raises:
        ProofError: If it fails, with the end of its log.
    """
    settings = AttemptSettings(
        (*args, "--trainer.default_root_dir", str(folder)), str(folder.with_suffix(".log"))
    )
    attempt = Watch(start(settings), Path(settings.log), None, Pace(), seen).follow()
    numbers = [number for number, _ in attempt.batches]
    if attempt.status or numbers != list(range(micro_batches)):
        raise ProofError(
            f"the undisturbed run ended with status {attempt.status} after {len(numbers)} of {micro_batches} "
            f"micro-batches:\n{tail(attempt.log)}"
        )
    gaps = dict(
        enumerate(b - a for a, b in zip(attempt.times, [*attempt.times[1:], attempt.seconds], strict=True))
    )
    writing = statistics.median(attempt.writings) if attempt.writings else 0.01
    patience = max(120.0, 50 * max(attempt.times[0], *gaps.values()))
    run = run_folder(folder)
    newest = checkpoints_in(RunDirectory(run).checkpoints)[-1]
    return Undisturbed(
        run,
        tuple(digest for _, digest in attempt.batches),
        Pace(attempt.times[0], gaps, writing, patience),
        newest.stat().st_size,
        attempt.seconds,
    )


def run_folder(root: Path) -> Path:
    """Return the newest run directory below a folder of runs."""
    (run,) = run_folders(root)
    return run


def run_folders(root: Path) -> list[Path]:
    """Return the newest run directory of each experiment below a folder of runs."""
    return [run.resolve() for experiment in sorted(root.glob("*")) if (run := newest_run(experiment))]


def tail(log: Path) -> str:
    """Return the last lines of a log, indented."""
    lines = log.read_text(errors="replace").replace("\r", "\n").splitlines() if log.is_file() else []
    return "\n".join(f"    {line}" for line in lines[-TAIL:]) or "    (it is empty)"
