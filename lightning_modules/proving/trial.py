"""The two runs of a proof: one that nothing disturbs, and one that is killed as planned."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from lightning_modules.checkpoints.whole import checkpoints_in, step_of
from lightning_modules.proving.child import Child, Orders
from lightning_modules.proving.comparison import (
    Comparison,
    compare_batches,
    compare_checkpoints,
    compare_logs,
)
from lightning_modules.proving.damage import tear
from lightning_modules.proving.kills import Kill, Kind, Moment, Tear
from lightning_modules.proving.life import Life, Pace, Watch
from lightning_modules.resume.signals import RESUME_STATUS

TAIL = 15
"""Lines of a log that are shown where something went wrong."""

Start = Callable[[Orders], Child]


class ProofError(Exception):
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


@dataclass(frozen=True)
class Death:
    """A kill that has come, and what it cost.

    Attributes:
        kill: As planned.
        status: The process' exit status, -N if it died of signal N.
        position: Steps that the run had taken.
        steps_lost: Those that no whole checkpoint had.
        seconds: The process' life.
        log: Name of its log.
    """

    kill: Kill
    status: int
    position: int
    steps_lost: int
    seconds: float
    log: str


@dataclass
class Outcome:
    """What became of a run that was killed as planned.

    Attributes:
        deaths: The kills that came.
        too_late: Kills that never came: the run had ended before.
        resumes: Processes that went on from a checkpoint.
        runs: Runs that were trained from their first step to their last.
        comparisons: Of the ends of the runs with the undisturbed one's.
        problems: What went wrong besides, with the ends of logs.
    """

    deaths: list[Death] = field(default_factory=list)
    too_late: int = 0
    resumes: int = 0
    runs: int = 0
    comparisons: list[Comparison] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def train_undisturbed(start: Start, args: Sequence[str], folder: Path, micro_batches: int) -> Undisturbed:
    """Train a run that nothing disturbs.

    Raises:
        ProofError: If it fails, with the end of its log.
    """
    orders = Orders((*args, "--trainer.default_root_dir", str(folder)), str(folder.with_suffix(".log")))
    life = Watch(start(orders), Path(orders.log), None, Pace()).follow()
    numbers = [number for number, _ in life.batches]
    if life.status or numbers != list(range(micro_batches)):
        raise ProofError(
            f"the undisturbed run ended with status {life.status} after {len(numbers)} of {micro_batches} "
            f"micro-batches:\n{tail(life.log)}"
        )
    gaps = dict(enumerate(b - a for a, b in zip(life.times, [*life.times[1:], life.seconds], strict=True)))
    writing = statistics.median(life.writings) if life.writings else 0.01
    patience = max(120.0, 50 * max(life.times[0], *gaps.values()))
    run = run_folder(folder)
    newest = checkpoints_in(run / "checkpoints")[-1]
    return Undisturbed(
        run,
        tuple(digest for _, digest in life.batches),
        Pace(life.times[0], gaps, writing, patience),
        newest.stat().st_size,
        life.seconds,
    )


class Ordeal:
    """Train a run in processes that are killed one after the other, until it ends, and compare it.

    Where a run ends before all kills have come, another is trained for those that are left.

    Args:
        start: How to start a process.
        args: The command line of a process, without the folder of its runs.
        folder: Where its runs and logs go.
        like: The undisturbed run.
        accumulation: Micro-batches per step.
        seen: Called after each kill.
    """

    def __init__(
        self,
        start: Start,
        args: Sequence[str],
        folder: Path,
        like: Undisturbed,
        accumulation: int,
        seen: Callable[[], None],
    ) -> None:
        self._start, self._args, self._folder = start, tuple(args), folder
        self._like, self._accumulation, self._seen = like, accumulation, seen
        self._steps = len(like.batches) // accumulation
        self._lives = 0
        self.sessions: list[int] = []
        self.outcome = Outcome()

    def go_through(self, kills: Sequence[Kill]) -> Outcome:
        """Train until all kills have come and the last run has ended; a problem ends it early."""
        left = list(kills)
        while not self.outcome.problems:
            self.outcome.runs += 1
            left = self._train(left, self._folder / f"run-{self.outcome.runs}")
            if not left:
                break
        return self.outcome

    def _train(self, left: list[Kill], root: Path) -> list[Kill]:
        """Train a run to its end, and return the kills that have not come yet."""
        root.mkdir(parents=True)
        torn: dict[Path, int] = {}
        found: dict[int, str] = {}
        whole = 0
        while True:
            kill = left[0] if left else None
            life = self._live(root, kill)
            self._check(life, kill, whole, found)
            if self.outcome.problems:
                return []
            self.outcome.resumes += bool(whole and life.batches)
            position = life.batches[-1][0] // self._accumulation if life.batches else whole
            if kill is not None and self._has_come(kill, life):
                if kill.kind is Kind.TORN:
                    self._tear_newest(root, kill, torn)
                whole = self._newest_whole(root, torn)
                lost = max(0, position - whole)
                self._note(Death(kill, life.status, position, lost, life.seconds, life.log.name), life)
                left = left[1:]
            elif kill is not None:
                left = self._put_off(left)
            if life.status == 0:
                self._compare(root, found)
                return left

    def _live(self, root: Path, kill: Kill | None) -> Life:
        self._lives += 1
        log = self._folder / f"process-{self._lives:04d}.log"
        args = (*self._args, "--trainer.default_root_dir", str(root))
        orders = Orders(args, str(log))
        if kill is not None and kill.kind is Kind.FULL_DISK:
            orders = replace(orders, file_size_limit=self._like.checkpoint_bytes // 2)
        if kill is not None and kill.kind is Kind.BETWEEN_WRITE_AND_RENAME and kill.detail != Moment.BYTES:
            orders = replace(orders, moment=Moment(kill.detail), moment_from=kill.micro_batch)
        _wait_for_the_next_second(root)
        child = self._start(orders)
        self.sessions.append(child.pid)
        return Watch(child, log, kill, self._like.pace).follow()

    def _check(self, life: Life, kill: Kill | None, whole: int, found: dict[int, str]) -> None:
        """Note what a process did that it should not have done, and what it trained on."""
        if life.hung:
            self._blame(life, f"a process hung and was aborted (status {life.status})")
        elif life.status not in self._expected(kill, life):
            self._blame(life, f"a process ended with the unexpected status {life.status}")
        for place, (number, digest) in enumerate(life.batches):
            if number != whole * self._accumulation + place:
                wanted = whole * self._accumulation + place
                self._blame(life, f"a process trained on micro-batch {number} where {wanted} was next")
                return
            expected = self._like.batches[number] if number < len(self._like.batches) else None
            if digest != expected:
                self._blame(life, f"micro-batch {number} holds other images or labels")
                return
            found[number] = digest

    def _expected(self, kill: Kill | None, life: Life) -> set[int]:
        if kill is None:
            return {0}
        if kill.kind is Kind.FULL_DISK:
            refused = bool(life.errors) or "could not write" in tail(life.log)
            return {0, -kill.kind.signal} | ({1} if refused else set())
        if kill.kind in (Kind.SIGTERM, Kind.SIGINT):
            return {0, RESUME_STATUS, -kill.kind.signal}
        return {0, -kill.kind.signal}

    def _has_come(self, kill: Kill, life: Life) -> bool:
        return life.killed or (kill.kind is Kind.FULL_DISK and life.status != 0)

    def _put_off(self, left: list[Kill]) -> list[Kill]:
        """Let a kill that came too late come earlier in the next run, or give it up the second time."""
        kill = left[0]
        detail = Moment.RENAME if kill.kind is Kind.BETWEEN_WRITE_AND_RENAME else kill.detail
        earlier = replace(kill, share=0.0, detail=str(detail), micro_batch=max(0, kill.micro_batch - 1))
        if kill.share == 0.0:
            self.outcome.too_late += 1
            return left[1:]
        return [earlier, *left[1:]]

    def _note(self, death: Death, life: Life) -> None:
        self.outcome.deaths.append(death)
        asked = death.kill.kind in (Kind.SIGTERM, Kind.SIGINT) and death.status == RESUME_STATUS
        if asked and life.batches and death.steps_lost:
            self._blame(life, f"{death.steps_lost} steps were lost although the process was asked to stop")
        self._seen()

    def _tear_newest(self, root: Path, kill: Kill, torn: dict[Path, int]) -> None:
        candidates = [path for path in _checkpoints(root) if not _is_torn(path, torn)]
        if candidates:
            tear(candidates[-1], Tear(kill.detail), kill.share)
            torn[candidates[-1]] = candidates[-1].stat().st_ino

    def _newest_whole(self, root: Path, torn: dict[Path, int]) -> int:
        steps = [step_of(path) for path in _checkpoints(root) if not _is_torn(path, torn)]
        return max(steps, default=0)

    def _compare(self, root: Path, found: dict[int, str]) -> None:
        """Compare a run that has ended, and see that starting it once more changes nothing."""
        run = run_folder(root)
        last = run / "checkpoints" / "last.ckpt"
        expected = self._like.folder / "checkpoints" / "last.ckpt"
        self.outcome.comparisons += [
            compare_batches(self._like.batches, found),
            *compare_checkpoints(expected, last),
            *compare_logs(self._like.folder, run),
        ]
        before = _contents(root)
        life = self._live(root, None)
        if life.status or life.batches or _contents(root) != before:
            self._blame(
                life, f"started once more, the finished run was not left alone (status {life.status})"
            )

    def _blame(self, life: Life, what: str) -> None:
        self.outcome.problems.append(f"{what}; the end of {life.log}:\n{tail(life.log)}")


def run_folder(root: Path) -> Path:
    """Return the newest run directory below a folder of runs."""
    (latest,) = root.glob("*/latest")
    return latest.resolve()


def tail(log: Path) -> str:
    """Return the last lines of a log, indented."""
    lines = log.read_text(errors="replace").replace("\r", "\n").splitlines() if log.is_file() else []
    return "\n".join(f"    {line}" for line in lines[-TAIL:]) or "    (it is empty)"


def _checkpoints(root: Path) -> list[Path]:
    latest = list(root.glob("*/latest"))
    return checkpoints_in(latest[0].resolve() / "checkpoints") if latest else []


def _is_torn(path: Path, torn: dict[Path, int]) -> bool:
    return path in torn and torn[path] == path.stat().st_ino


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }


def _wait_for_the_next_second(root: Path) -> None:
    """Let TensorBoard's files of two processes not begin in the same second, whose order it cannot tell."""
    stamps = [int(path.name.split(".")[3]) for path in root.glob("*/latest/events.out.tfevents.*")]
    while stamps and int(time.time()) <= max(stamps):
        time.sleep(0.02)


def leaked(sessions: Sequence[int], patience: float = 120.0) -> list[str]:
    """Return the processes that ended training processes have left behind, after time to end by themselves.

    Args:
        sessions: The training processes, each of which led a session of its own.
        patience: Seconds to wait for what is left of them. Loader workers look for their parent every 5 s.
    """
    until = time.monotonic() + patience
    while (left := _members(set(sessions))) and time.monotonic() < until:
        time.sleep(0.1)
    return left


def _members(sessions: set[int]) -> list[str]:
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                text = Path(entry.path, "stat").read_text()
            except OSError:
                continue  # it has just ended
            fields = text.rpartition(")")[2].split()
            if int(fields[3]) in sessions and fields[0] != "Z":
                found.append(f"process {entry.name} of session {fields[3]}")
    return found
