"""What a proof has found, in words and as plain values."""

from __future__ import annotations

import signal
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from lightning_modules.resume_proof.comparison import Comparison
from lightning_modules.resume_proof.kill_results import Death, KillResults
from lightning_modules.resume_proof.kills import Kind


@dataclass(frozen=True)
class Certificate:
    """The result of a proof.

    Attributes:
        setting: What was trained and how it was killed, by name.
        results: Of the jobs.
        leaks: Processes that were left behind.
        seconds: Of the whole proof.
        undisturbed_seconds: Of the run that nothing disturbed.
    """

    setting: dict[str, Any]
    results: Sequence[KillResults]
    leaks: Sequence[str]
    seconds: float
    undisturbed_seconds: float

    @property
    def deaths(self) -> list[Death]:
        """All kills that have come."""
        return [death for result in self.results for death in result.deaths]

    @property
    def comparisons(self) -> list[Comparison]:
        """All comparisons of ends of runs."""
        return [each for result in self.results for each in result.comparisons]

    @property
    def problems(self) -> list[str]:
        """What went wrong, the differences left out."""
        leaks = [f"left behind: {leak}" for leak in self.leaks]
        return [problem for result in self.results for problem in result.problems] + leaks

    @property
    def proven(self) -> bool:
        """Whether there was something to compare, and neither a difference nor a problem."""
        differences = [each for each in self.comparisons if each.difference]
        return bool(self.comparisons) and not differences and not self.problems

    def text(self) -> str:
        """Return the certificate for people."""
        runs = sum(result.runs for result in self.results)
        resumes = sum(result.resumes for result in self.results)
        late = sum(result.too_late for result in self.results)
        lines = [*_kill_table(self.deaths), ""]
        lines += [
            f"{runs} run(s), {resumes} resumes, {self.seconds:.0f} s; undisturbed "
            f"{self.undisturbed_seconds:.0f} s"
        ]
        if late:
            lines += [f"{late} planned kill(s) never came: the run had ended before."]
        lines += ["", *_comparison_table(self.comparisons), ""]
        lines += [f"PROBLEM: {problem}" for problem in self.problems]
        if self.proven:
            lines += [
                f"IDENTICAL after {len(self.deaths)} kills: bit for bit the run that nothing disturbed."
            ]
        else:
            lines += ["NOT PROVEN."]
        return "\n".join(lines)

    def values(self) -> dict[str, Any]:
        """Return all of it as plain values, for a JSON file."""
        return {
            "proven": self.proven,
            "setting": self.setting,
            "kills": [
                {**asdict(d), "kill": {**asdict(d.kill), "kind": str(d.kill.kind)}} for d in self.deaths
            ],
            "by_kind": {kind: summary(deaths) for kind, deaths in by_kind(self.deaths).items()},
            "all": summary(self.deaths),
            "too_late": sum(result.too_late for result in self.results),
            "resumes": sum(result.resumes for result in self.results),
            "runs": sum(result.runs for result in self.results),
            "comparisons": [asdict(each) for each in self.comparisons],
            "differences": [
                f"{each.part}: {each.difference}" for each in self.comparisons if each.difference
            ],
            "problems": self.problems,
            "seconds": self.seconds,
            "undisturbed_seconds": self.undisturbed_seconds,
        }


def by_kind(deaths: Sequence[Death]) -> dict[str, list[Death]]:
    """Return the kills of each kind that there is."""
    kinds = {kind: [death for death in deaths if death.kill.kind is kind] for kind in Kind}
    return {str(kind): those for kind, those in kinds.items() if those}


def summary(deaths: Sequence[Death]) -> dict[str, float]:
    """Return how many kills there were, how many steps each cost, and the seconds a process lived."""
    if not deaths:
        return {"kills": 0}
    lost = [death.steps_lost for death in deaths]
    return {
        "kills": len(deaths),
        "in_startup": sum(death.kill.in_startup for death in deaths),
        "steps_lost_mean": statistics.mean(lost),
        "steps_lost_max": max(lost),
        "seconds_mean": statistics.mean(death.seconds for death in deaths),
    }


def describe_status(status: int) -> str:
    """Return an exit status in words."""
    return signal.Signals(-status).name if status < 0 else f"exit {status}"


def _kill_table(deaths: Sequence[Death]) -> list[str]:
    lines = [f"{'kill':26}{'count':>6}{'in start-up':>13}{'steps lost: mean':>18}{'max':>5}  ended with"]
    rows = by_kind(deaths)
    for name, those in [*rows.items(), *([("all", list(deaths))] if len(rows) > 1 else [])]:
        figures = summary(those)
        statuses = sorted({death.status for death in those})
        counts = [(status, sum(death.status == status for death in those)) for status in statuses]
        ends = ", ".join(f"{describe_status(status)} x {count}" for status, count in counts)
        lines.append(
            f"{name:26}{figures['kills']:>6.0f}{figures['in_startup']:>13.0f}"
            f"{figures['steps_lost_mean']:>18.1f}{figures['steps_lost_max']:>5.0f}  {ends}"
        )
    return lines


def _comparison_table(comparisons: Sequence[Comparison]) -> list[str]:
    lines = []
    for part in dict.fromkeys(each.part for each in comparisons):
        those = [each for each in comparisons if each.part == part]
        difference = next((each.difference for each in those if each.difference), None)
        verdict = f"DIFFERENT: {difference}" if difference else "identical"
        lines.append(f"{part:36}{max(each.values for each in those):>14,} values  {verdict}")
    return lines
