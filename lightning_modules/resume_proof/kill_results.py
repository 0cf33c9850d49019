"""What became of the runs of a proof."""

from __future__ import annotations

from dataclasses import dataclass, field

from lightning_modules.resume_proof.comparison import Comparison
from lightning_modules.resume_proof.kills import Kill


@dataclass(frozen=True)
class Death:
    """A kill that has come, and what it cost.

    Attributes:
        kill: As planned.
        status: The process' exit status, -N if it died of signal N.
        position: Steps that the run had taken.
        steps_lost: Those that no whole checkpoint had.
        seconds: How long the process ran.
        log: Name of its log.
    """

    kill: Kill
    status: int
    position: int
    steps_lost: int
    seconds: float
    log: str


@dataclass
class KillResults:
    """What became of a run that was killed as planned.

    Attributes:
        deaths: The kills that came.
        too_late: Kills that never came: the run had ended before.
        resumes: Processes that went on from a checkpoint.
        runs: Runs that were trained from their first step to their last.
        comparisons: Of the ends of the runs with the undisturbed one's.
        problems: What else went wrong, with the ends of logs.
    """

    deaths: list[Death] = field(default_factory=list)
    too_late: int = 0
    resumes: int = 0
    runs: int = 0
    comparisons: list[Comparison] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
