"""What is said while training goes on, on a terminal and in a log."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pytest
import torch
from lightning.pytorch import Callback

from lightning_modules.callbacks import progress
from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.callbacks.progress import Pace, StepProgressBar
from tests.helpers.tiny import data, fit, module, trainer

VALIDATING = {"enable_progress_bar": True, "val_check_interval": 2}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    # Not `sys.stdout` itself: pytest puts its own in place when a test begins.
    monkeypatch.setattr(progress, "sys", SimpleNamespace(stdout=stream))
    return stream


class Looks(Callback):
    """What the bar shows at the end of every micro-batch."""

    def __init__(self, bar: StepProgressBar) -> None:
        self.bar = bar
        self.steps: list[int] = []
        self.totals: set[float | None] = set()

    def on_train_batch_end(self, *_):
        assert self.bar.bar is not None
        self.steps.append(self.bar.bar.n)
        self.totals.add(self.bar.bar.total)


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.startswith("step ")]


@pytest.mark.parametrize("accumulation", [1, 3])
def test_the_bar_counts_the_steps_of_the_whole_run(image_folder, tmp_path, accumulation, terminal):
    options = {"accumulate_grad_batches": accumulation}
    fit(tmp_path, module(), data(image_folder), [StepCheckpoint(2)], max_steps=2, **options)
    options["enable_progress_bar"] = True
    bar, resume = StepProgressBar(), tmp_path / "checkpoints" / "step=00000002.ckpt"
    looks = Looks(bar)
    fit(
        tmp_path,
        module(),
        data(image_folder),
        [bar, looks, StepCheckpoint(2)],
        resume,
        max_steps=5,
        **options,
    )
    assert looks.totals == {5}
    assert looks.steps[accumulation - 1 :: accumulation] == [3, 4, 5]
    assert bar.bar is None


def test_a_terminal_has_a_bar_and_a_line_for_each_validation(image_folder, tmp_path, terminal):
    fit(tmp_path, module(), data(image_folder), [StepProgressBar(1)], max_steps=4, **VALIDATING)
    said = terminal.getvalue()
    assert "\r" in said
    assert "| step 0/4" in said
    clean = [line.rsplit("\r", 1)[-1] for line in said.split("\n")]
    assert [line.split(":")[0] for line in lines("\n".join(clean))] == ["step 2 of 4", "step 4 of 4"]


def test_a_log_has_the_lines_and_nothing_else(image_folder, tmp_path, capsys):
    capsys.readouterr()
    fit(tmp_path, module(), data(image_folder), [StepProgressBar(1)], max_steps=5, **VALIDATING)
    said = capsys.readouterr().out
    assert "\r" not in said
    assert "\x1b" not in said
    assert len(said.splitlines()) == len(lines(said)) == 3
    pattern = r"step (\d) of 5: loss [\d.]+, held out [\d.]+, [\d.,e+]+ images/s(, [\w ]+ left)?"
    assert [re.fullmatch(pattern, line)[1] for line in lines(said)] == ["2", "4", "5"]


def test_a_log_has_a_line_every_so_often(image_folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_SECONDS", 0.0)
    fit(tmp_path, module(), data(image_folder), [StepProgressBar(1)], max_steps=3, enable_progress_bar=True)
    said = lines(capsys.readouterr().out)
    assert [line.split(":")[0] for line in said] == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]


def test_the_loss_is_the_mean_since_the_line_before(image_folder, tmp_path, capsys):
    losses = []

    class Losses(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, *_):
            losses.append(float(outputs["loss"]))

    options = {"accumulate_grad_batches": 3, **VALIDATING, "val_check_interval": 6}
    fit(tmp_path, module(), data(image_folder), [StepProgressBar(), Losses()], max_steps=4, **options)
    shown = [float(re.search(r"loss ([\d.]+)", line)[1]) for line in lines(capsys.readouterr().out)]
    means = [sum(losses[:6]) / 6, sum(losses[6:]) / 6]
    assert shown == pytest.approx(means, rel=1e-3)


def test_a_picture_that_was_written_is_named(image_folder, tmp_path, capsys, monkeypatch):
    (tmp_path / "samples").mkdir()
    (tmp_path / "samples" / "step=00000002.png").touch()
    monkeypatch.setattr(progress, "run_folder", lambda trainer: tmp_path)
    fit(tmp_path, module(), data(image_folder), [StepProgressBar()], max_steps=4, **VALIDATING)
    first, second = lines(capsys.readouterr().out)
    assert first.endswith("samples/step=00000002.png")
    assert "samples" not in second


def test_0_says_nothing(image_folder, tmp_path, terminal):
    fit(tmp_path, module(), data(image_folder), [StepProgressBar(0)], max_steps=4, **VALIDATING)
    assert terminal.getvalue() == ""


def test_a_run_by_time_has_no_total(tmp_path, terminal):
    bar = StepProgressBar()
    run = trainer(tmp_path, [bar], max_time="00:00:00:10", enable_progress_bar=True)
    bar.setup(run, torch.nn.Identity(), "fit")
    bar.on_train_start(run, torch.nn.Identity())
    assert run.max_steps == -1
    assert bar.bar.total is None
    bar.on_exception(run, torch.nn.Identity(), RuntimeError())
    assert bar.bar is None


# Speed and time left


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


def test_speed_is_of_training_and_time_left_of_everything():
    clock = Clock()
    pace = Pace(clock=clock)
    pace.count(1000)  # the first took an hour of compiling, of which nothing is known here
    assert pace.images_per_second is None
    assert pace.left(10) is None
    for _ in range(100):
        clock.now += 2
        pace.count(10)
    assert pace.images_per_second == pytest.approx(5)
    assert pace.left(1000) == pytest.approx(200)
    before = pace.pause()
    clock.now += 100
    pace.go_on(before)
    clock.now += 2
    pace.count(10)
    assert pace.images_per_second == pytest.approx(5)
    assert pace.left(1010) == pytest.approx(202 + 100)


def test_speed_follows_slowly():
    clock = Clock()
    pace = Pace(60.0, clock)
    for seconds in (1.0,) * 500 + (2.0,) * 10:
        clock.now += seconds
        pace.count(10)
    assert 7 < pace.images_per_second < 9
    for _ in range(200):
        clock.now += 2
        pace.count(10)
    assert pace.images_per_second == pytest.approx(5, rel=1e-2)
