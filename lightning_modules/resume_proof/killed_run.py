"""Runs that are killed as planned, continued, and compared at their ends."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from datamodules.utils.exit_codes import RESUME
from lightning_modules.checkpoints.names import step_of
from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.resume_proof.attempt import Attempt, Watch
from lightning_modules.resume_proof.child import AttemptSettings
from lightning_modules.resume_proof.comparison import compare_batches, compare_checkpoints, compare_logs
from lightning_modules.resume_proof.damage import tear
from lightning_modules.resume_proof.kill_results import Death, KillResults
from lightning_modules.resume_proof.kills import Kill, Kind, Moment, Tear
from lightning_modules.resume_proof.undisturbed import Start, Undisturbed, run_folder, run_folders, tail
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.finding import find_checkpoint


class KilledRun:
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
        self._pace = like.pace
        self._attempts = 0
        self._stopped = threading.Event()
        self.sessions: list[int] = []
        self.results = KillResults()

    def go_through(self, kills: Sequence[Kill]) -> KillResults:
        """Train until all kills have come and the last run has ended; a problem ends it early."""
        left = list(kills)
        while not self.results.problems:
            self.results.runs += 1
            left = self._train(left, self._folder / f"run-{self.results.runs}")
            if not left:
                break
        return self.results

    def stop(self) -> None:
        """End it: the process that is alive is killed, and no other is started."""
        self._stopped.set()
        for session in self.sessions[-1:]:
            with contextlib.suppress(ProcessLookupError):
                os.kill(session, signal.SIGKILL)

    def _train(self, left: list[Kill], root: Path) -> list[Kill]:
        """Train a run to its end, and return the kills that have not come yet."""
        root.mkdir(parents=True)
        torn: dict[Path, int] = {}
        found: dict[int, str] = {}
        whole = 0
        while True:
            kill = left[0] if left else None
            attempt = self._attempt(root, kill)
            self._check(attempt, kill, whole, found)
            if self.results.problems:
                return []
            self.results.resumes += bool(whole and attempt.batches)
            position = attempt.batches[-1][0] // self._accumulation if attempt.batches else whole
            if kill is not None and self._has_come(kill, attempt):
                if kill.kind is Kind.TORN:
                    self._tear_newest(root, kill, torn)
                whole = self._newest_whole(root, torn)
                lost = max(0, position - whole)
                self._note(
                    Death(kill, attempt.status, position, lost, attempt.seconds, attempt.log.name), attempt
                )
                left = left[1:]
            elif kill is not None:
                left = self._put_off(left)
            if attempt.status == 0:
                self._compare(root, found)
                return left

    def _attempt(self, root: Path, kill: Kill | None) -> Attempt:
        self._attempts += 1
        log = self._folder / f"process-{self._attempts:04d}.log"
        args = (*self._args, "--trainer.default_root_dir", str(root))
        settings = AttemptSettings(args, str(log))
        if kill is not None and kill.kind is Kind.FULL_DISK:
            settings = replace(settings, file_size_limit=self._like.checkpoint_bytes // 2)
        if kill is not None and kill.kind is Kind.BETWEEN_WRITE_AND_RENAME and kill.detail != Moment.BYTES:
            settings = replace(settings, moment=Moment(kill.detail), moment_from=kill.micro_batch)
        child = self._start(settings)
        self.sessions.append(child.pid)
        attempt = Watch(child, log, kill, self._pace).follow()
        if attempt.times:  # the undisturbed run's start may have had data to prepare
            self._pace = replace(self._pace, startup=min(self._pace.startup, attempt.times[0]))
        return attempt

    def _check(self, attempt: Attempt, kill: Kill | None, whole: int, found: dict[int, str]) -> None:
        """Note what a process did that it should not have done, and what it trained on."""
        if self._stopped.is_set():
            self._blame(attempt, "stopped on request")
        elif attempt.hung:
            self._blame(attempt, f"a process hung and was aborted (status {attempt.status})")
        elif attempt.status not in self._expected(kill, attempt):
            self._blame(attempt, f"a process ended with the unexpected status {attempt.status}")
        for place, (number, digest) in enumerate(attempt.batches):
            if number != whole * self._accumulation + place:
                wanted = whole * self._accumulation + place
                self._blame(attempt, f"a process trained on micro-batch {number} where {wanted} was next")
                return
            expected = self._like.batches[number] if number < len(self._like.batches) else None
            if digest != expected:
                self._blame(attempt, f"micro-batch {number} holds other images or labels")
                return
            found[number] = digest

    def _expected(self, kill: Kill | None, attempt: Attempt) -> set[int]:
        if kill is None:
            return {0}
        if kill.kind is Kind.FULL_DISK:
            refused = bool(attempt.errors) or "could not write" in tail(attempt.log)
            return {0, -kill.kind.signal} | ({1} if refused else set())
        if kill.kind in (Kind.SIGTERM, Kind.SIGINT):
            return {0, RESUME, -kill.kind.signal}
        return {0, -kill.kind.signal}

    def _has_come(self, kill: Kill, attempt: Attempt) -> bool:
        return attempt.killed or (kill.kind is Kind.FULL_DISK and attempt.status != 0)

    def _put_off(self, left: list[Kill]) -> list[Kill]:
        """Let a kill that came too late come earlier in the next run, or give it up the second time."""
        kill = left[0]
        detail = Moment.RENAME if kill.kind is Kind.BETWEEN_WRITE_AND_RENAME else kill.detail
        earlier = replace(kill, share=0.0, detail=str(detail), micro_batch=max(0, kill.micro_batch - 1))
        if kill.share == 0.0:
            self.results.too_late += 1
            return left[1:]
        return [earlier, *left[1:]]

    def _note(self, death: Death, attempt: Attempt) -> None:
        self.results.deaths.append(death)
        asked = death.kill.kind in (Kind.SIGTERM, Kind.SIGINT) and death.status == RESUME
        if asked and attempt.batches and death.steps_lost:
            self._blame(attempt, f"{death.steps_lost} steps were lost although the process was asked to stop")
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
        last, expected = find_checkpoint(run), find_checkpoint(self._like.folder)
        self.results.comparisons += [
            compare_batches(self._like.batches, found),
            *compare_checkpoints(expected, last),
            *compare_logs(self._like.folder, run),
        ]
        before = _contents(root)
        attempt = self._attempt(root, None)
        if attempt.status or attempt.batches or _contents(root) != before:
            self._blame(
                attempt, f"started once more, the finished run was not left alone (status {attempt.status})"
            )

    def _blame(self, attempt: Attempt, what: str) -> None:
        self.results.problems.append(f"{what}; the end of {attempt.log}:\n{tail(attempt.log)}")


def _checkpoints(root: Path) -> list[Path]:
    return [path for run in run_folders(root) for path in checkpoints_in(RunDirectory(run).checkpoints)]


def _is_torn(path: Path, torn: dict[Path, int]) -> bool:
    return path in torn and torn[path] == path.stat().st_ino


def _contents(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_size, path.lstat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if not path.is_dir()
    }
