"""What stands out in a run, the worst first, each with what to do."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from datamodules.pages.html import Level
from lightning_modules.report.curves import bands
from lightning_modules.report.record import Record
from lightning_modules.report.words import counted
from lightning_modules.run.manifest import mismatches

_LOST = 0.05  # share of the steps taken that is worth a word when it is lost
_SLOWER = 0.7  # of the speed before
_WAITING = 0.2
_RISEN = 1.05  # of the smallest held-out loss
_FEW = 4  # points of a curve that say nothing yet
_MOST_LINES = 8

_ORDER: dict[Level, int] = {"problem": 0, "look": 1, "good": 2}


class Remark(NamedTuple):
    """Something that stands out.

    Attributes:
        level: How bad it is.
        title: What is so.
        advice: What it means, or what to do.
        command: The command that does it, if it is one.
    """

    level: Level
    title: str
    advice: str
    command: str = ""


def remarks(record: Record, commands: Mapping[str, str]) -> list[Remark]:
    """Return what stands out in a run.

    Args:
        record: The run.
        commands: Lines for a shell, by what they do: `evaluate`, `continue`.
    """
    found = [
        *_progress(record, commands),
        *_lives(record),
        *_accidents(record),
        *_learning(record),
        *_speed(record),
        *_changes(record),
        *_evaluation(record, commands),
        *(Remark("problem", "A file of the run cannot be read.", said) for said in record.unread),
    ]
    return sorted(found, key=lambda remark: _ORDER[remark.level])


def _progress(record: Record, commands: Mapping[str, str]) -> Iterator[Remark]:
    if record.in_training:
        return
    if not record.checkpoints:
        yield Remark(
            "problem",
            "There is no checkpoint.",
            "Nothing of the run could be continued or sampled from. The first one is saved after "
            "checkpoint.every_n_steps, or at a signal.",
        )
    elif not record.finished and record.target:
        left = record.target - record.step
        yield Remark(
            "look",
            f"{counted(left, 'step is', 'steps are')} left.",
            "The run was stopped before its target.",
            commands.get("continue", ""),
        )


def _lives(record: Record) -> Iterator[Remark]:
    lives = record.lives
    taken = sum(life.reached - life.step for life in lives)
    abrupt = sum(life.end in ("killed", "error") for life in lives)
    if record.lost and record.lost > _LOST * taken:
        yield Remark(
            "look",
            f"{counted(record.lost, 'step')} of {taken:,} lost, {record.lost / taken:.0%}.",
            "They were taken again. A smaller --checkpoint.every_n_steps loses less.",
        )
    elif len(lives) > 1 and abrupt:
        lost = f"{counted(record.lost, 'step')} in all" if record.lost else "nothing"
        yield Remark(
            "good",
            f"Killed or failed {counted(abrupt, 'time')}; lost: {lost}.",
            "Every life went on from the newest whole checkpoint, as if nothing had happened.",
        )
    if record.damaged:
        yield Remark(
            "look",
            f"{counted(record.damaged, 'checkpoint')} set aside, damaged (*.corrupt).",
            "The one before was used. If that happens again, look at the disk.",
        )


def _accidents(record: Record) -> Iterator[Remark]:
    if record.recovery.split > 1:
        yield Remark(
            "look",
            f"Memory ran out: a batch is computed in {record.recovery.split} parts.",
            "The steps are the same, but slower.",
        )
    if record.recovery.left_out:
        steps = sum(window.steps for window in record.recovery.left_out)
        yield Remark(
            "look",
            f"Training diverged {counted(len(record.recovery.left_out), 'time')} and went back.",
            f"The data of {counted(steps, 'step')} are left out. Look at the gradient norm before; a lower "
            "learning rate or a longer warm-up may help.",
        )
    skipped = record.curve("skipped_steps")
    if skipped:
        yield Remark(
            "look",
            f"{counted(round(skipped[-1][1]), 'step')} not taken.",
            "Their loss or gradient was not finite, or an outlier.",
        )


def _learning(record: Record) -> Iterator[Remark]:
    val = record.curve("loss/val")
    if len(val) >= _FEW:
        step, least = min(val, key=lambda point: point[1])
        recent = statistics.fmean(value for _, value in val[-3:])
        behind = sum(at > step for at, _ in val)
        if least > 0 and behind >= 3 and recent > _RISEN * least:
            yield Remark(
                "problem",
                f"The held-out loss rises: {recent:.4g} now, {least:.4g} at step {step:,}.",
                "The model memorizes its training images. More images, augmentation, dropout or fewer steps "
                "help, and --checkpoint.keep_best keeps the best checkpoint.",
            )
    elif not val and record.fact("val_images") == 0:
        yield Remark(
            "look",
            "No images are held out.",
            "Nothing can tell learning from memorizing. Give --data.val_fraction 0.05 in another run.",
        )
    behind_baseline = [band for band in bands(record) if not band.learned]
    if behind_baseline:
        names = ", ".join(f"{band.low} to {band.high}" for band in behind_baseline)
        yield Remark(
            "look",
            f"Nothing is learned yet at noise levels {names}.",
            "The error is not below what needs no learning. At the smallest levels that takes longest.",
        )


def _speed(record: Record) -> Iterator[Remark]:
    rates = [rate for _, rate in record.curve("throughput/images_per_second")]
    if len(rates) >= 2 * _FEW:
        before, now = (
            statistics.median(rates[: len(rates) // 2]),
            statistics.median(rates[-len(rates) // 4 :]),
        )
        if now < _SLOWER * before:
            yield Remark(
                "look",
                f"Training has become slower: {now:.3g} images per second, {before:.3g} before.",
                "Something else uses the machine, or memory is short.",
            )
    waiting = [share for _, share in record.curve("throughput/data_wait_share")]
    recent = waiting[-len(waiting) // 2 :]
    if len(waiting) >= _FEW and (share := statistics.median(recent)) > _WAITING:
        yield Remark(
            "look",
            f"{share:.0%} of the time training waits for data.",
            "More loader workers (--data.workers) or a faster disk for the cache help.",
        )


def _changes(record: Record) -> Iterator[Remark]:
    earlier, identity = record.manifest.get("earlier"), record.manifest.get("identity")
    if not isinstance(earlier, list) or not isinstance(identity, Mapping):
        return
    for change in earlier:
        if isinstance(change, Mapping) and isinstance(was := change.get("identity"), Mapping):
            lines = mismatches(was, identity)
            more = f"; and {len(lines) - _MOST_LINES:,} more" if len(lines) > _MOST_LINES else ""
            yield Remark(
                "look",
                f"Settings that decide the weights were changed at step {change.get('until_step')}.",
                f"{'; '.join(lines[:_MOST_LINES])}{more}. 'In the run' means until that step.",
            )


def _evaluation(record: Record, commands: Mapping[str, str]) -> Iterator[Remark]:
    command = commands.get("evaluate", "")
    if record.evaluation is None:
        if record.checkpoints and not record.in_training:
            yield Remark(
                "look",
                "Not evaluated yet.",
                "How good its samples are, and whether they are copies, is not measured.",
                command,
            )
        return
    from lightning_modules.report.quality import copies, steps

    yield from (
        Remark("problem", "Samples are copies of training images.", said)
        for said in copies(record.evaluation)
    )
    measured = max(steps(record.evaluation), default=record.step)
    if measured < record.step:
        yield Remark(
            "look",
            f"The evaluation is of step {measured:,}.",
            f"The run has gone on to step {record.step:,} since.",
            command,
        )
