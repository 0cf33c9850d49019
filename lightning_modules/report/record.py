"""What there is to tell of a run, read from its files; what is missing or damaged is left out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from datamodules.errors import printable
from datamodules.utils.io import read_json
from lightning_modules.checkpoints.names import step_of
from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.logs.metrics_table import MOST_STEPS, read_metrics
from lightning_modules.pictures.series import Series, finite
from lightning_modules.run.data_index import DataIndex
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.journal import LATEST
from lightning_modules.run.lives import Life, lives_of
from lightning_modules.run.manifest import FINGERPRINT
from lightning_modules.run.recovery import Recovery

if TYPE_CHECKING:
    from lightning_modules.evaluation.report import Report

T = TypeVar("T")

_NOT_THERE = (FileNotFoundError, NotADirectoryError)
_UNREADABLE = (
    OSError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    RecursionError,
    yaml.YAMLError,
)


@dataclass(frozen=True)
class Record:
    """What a run's files say.

    Attributes:
        run: The run.
        written: When they were read, in seconds since the epoch.
        config: Its resolved configuration; empty if there was no such file.
        manifest: What decides its weights, and the circumstances of its start; empty likewise.
        data: Its images; None where they are not known.
        lives: Its lives, the first one first; none of a run of before they were kept.
        scalars: The finite points of its curves by name.
        checkpoints: Steps of its checkpoints, ascending.
        damaged: Checkpoints that were set aside, since they were not whole.
        recovery: What it has learned from accidents.
        containers: What its containers on Modal have cost; none elsewhere.
        evaluation: Its newest evaluation; None where it has none.
        unread: Files that could not be read, and why.
    """

    run: RunDirectory
    written: float
    config: Mapping[str, Any] = field(default_factory=dict)
    manifest: Mapping[str, Any] = field(default_factory=dict)
    data: DataIndex | None = None
    lives: Sequence[Life] = ()
    scalars: Mapping[str, Series] = field(default_factory=dict)
    checkpoints: Sequence[int] = ()
    damaged: int = 0
    recovery: Recovery = field(default_factory=Recovery)
    containers: Sequence[Mapping[str, Any]] = ()
    evaluation: Report | None = None
    unread: Sequence[str] = ()

    def setting(self, name: str) -> Any:  # noqa: ANN401
        """Return a setting of the configuration by its dotted name, or None."""
        value: Any = self.config
        for part in name.split("."):
            value = value.get(part) if isinstance(value, Mapping) else None
        return value

    def fact(self, name: str) -> Any:  # noqa: ANN401
        """Return what the newest life has noted of its start, or None."""
        return self.lives[-1].facts.get(name) if self.lives else None

    def curve(self, name: str) -> list[tuple[int, float]]:
        """Return the points of a curve, none if there is no such curve."""
        return list(self.scalars.get(name, ()))

    @property
    def experiment(self) -> str:
        """The experiment's name."""
        named = self.setting("experiment")
        return named if isinstance(named, str) and named else self.run.folder.absolute().parent.name

    @property
    def step(self) -> int:
        """Optimizer steps that have been taken and are not lost, as far as is known."""
        saved = self.checkpoints[-1] if self.checkpoints else 0
        if not self.lives:
            return max([saved, *(points[-1][0] for points in self.scalars.values() if points)])
        return max(saved, self.lives[-1].reached) if self.in_training else saved or self.lives[-1].reached

    @property
    def target(self) -> int | None:
        """Steps that it is to take, where that is set."""
        steps = self.setting("trainer.max_steps")
        return steps if isinstance(steps, int) and 0 < steps <= MOST_STEPS else None

    @property
    def in_training(self) -> bool:
        """Whether a process trains it."""
        return bool(self.lives) and self.lives[-1].end == "training"

    @property
    def finished(self) -> bool:
        """Whether it has come to its end."""
        if self.target is not None:
            return self.step >= self.target
        return bool(self.lives) and self.lives[-1].end == "finished"

    @property
    def lost(self) -> int:
        """Steps that were taken and not gone on from, over all lives."""
        return sum(life.lost or 0 for life in self.lives) + self.at_stake

    @property
    def at_stake(self) -> int:
        """Steps of the last life behind the newest checkpoint, which a life to come takes again."""
        if not self.lives or self.in_training or self.finished:
            return 0
        return max(0, self.lives[-1].reached - (self.checkpoints[-1] if self.checkpoints else 0))


def record_of(folder: Path, clock: Callable[[], float] = time.time) -> Record:
    """Read a run's files.

    Args:
        folder: The run directory.
        clock: Seconds since the epoch.
    """
    run, unread = RunDirectory(folder), []

    def read(path: Path, how: Callable[[], T], default: T) -> T:
        try:
            return how()
        except _NOT_THERE:
            return default
        except _UNREADABLE as error:
            unread.append(printable(" ".join(f"{path.name}: {error}".split())))
            return default

    nothing: dict[str, Any] = {}
    manifest = read(run.manifest, lambda: read_json(run.manifest), nothing)
    identity = manifest.get("identity", {})
    fingerprint = identity.get(FINGERPRINT, "") if isinstance(identity, Mapping) else ""
    report = newest_evaluation(run)
    return Record(
        run,
        clock(),
        config=read(run.config, lambda: _config(run.config), {}),
        manifest=manifest,
        data=DataIndex.load(folder, str(fingerprint)),
        lives=read(run.telemetry, lambda: lives_of(folder), []),
        scalars=read(run.metrics, lambda: _curves(run.metrics), {}),
        checkpoints=[step_of(path) for path in checkpoints_in(run.checkpoints)],
        damaged=sum(1 for _ in run.checkpoints.glob("*.corrupt")),
        recovery=read(run.recovery, lambda: Recovery.load(folder), Recovery()),
        containers=read(run.cost, lambda: _containers(run.cost), []),
        evaluation=None if report is None else read(report, lambda: _evaluation(report), None),
        unread=unread,
    )


def newest_evaluation(run: RunDirectory) -> Path | None:
    """Return the newest report of an evaluation in a run, or none."""
    try:
        found = [(path.stat().st_mtime_ns, path) for path in run.evaluation.glob("**/report.json")]
    except OSError:
        return None
    return max(found)[1] if found else None


def _config(path: Path) -> dict[str, Any]:
    config = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(config, dict):
        raise TypeError(f"it holds {type(config).__name__}")
    return config


def _curves(path: Path) -> dict[str, Series]:
    return {name: finite(series) for name, series in read_metrics(path).items()}


def _containers(path: Path) -> list[Mapping[str, Any]]:
    wanted = {"device": str, "started": float, "seconds": float, "usd": float}
    containers: list[Mapping[str, Any]] = [
        {name: kind(each[name]) for name, kind in wanted.items()} for each in read_json(path)["containers"]
    ]
    for each in containers:
        if not (0 <= each["started"] <= LATEST and math.isfinite(each["seconds"] + each["usd"])):
            raise ValueError("a time or a price is not one that a run can have")
    return containers


def _evaluation(path: Path) -> Report:
    from lightning_modules.evaluation.stored_report import read_report  # imports what evaluates

    return read_report(path)
