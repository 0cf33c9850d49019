"""Runs on file systems without links or locks, copies of runs, and callbacks that save on their own."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from datamodules.utils.exit_codes import RESUME
from lightning_modules.cli.fit import fit
from lightning_modules.run.finding import find_run
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script
from tests.helpers.resuming import At, CrashError, crash, latest, runs, same_end, stopped_at

pytestmark = LIGHTNING_WARNINGS


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(os, "symlink", refuse)


def draws(place: Path, out: Path) -> list[str]:
    load_script("sample").main([str(place), "--n", "2", "--out", str(out)])
    return sorted(path.name for path in out.iterdir())


def test_without_links_and_locks_a_run_is_trained_continued_and_drawn_from(
    args, tmp_path, straight, no_links, no_locks, caplog
):
    assert stopped_at(3, args) == RESUME
    experiment = tmp_path / "runs" / "demo"
    assert (experiment / "latest").is_file()
    assert not any(path.is_symlink() for path in tmp_path.joinpath("runs").rglob("*"))
    fit(args)
    assert len(runs(tmp_path)) == 1
    run = find_run(experiment)
    assert run is not None
    assert not (run / "checkpoints" / "last.ckpt").exists()
    assert os.strerror(errno.ENOLCK) in caplog.text
    caplog.clear()
    for number, place in enumerate((experiment, experiment / "latest", run)):
        assert "00001.png" in draws(place, tmp_path / "out" / str(number))
    # Said before the drawing, once for each.
    assert caplog.text.count(os.strerror(errno.ENOLCK)) == 3
    shutil.copy(run / "checkpoints" / "step=00000008.ckpt", run / "checkpoints" / "last.ckpt")
    same_end(Run(run), straight)


@pytest.mark.parametrize("how", ["cp -rL", "rsync -r"])
def test_a_copied_run_is_continued_where_it_was(args, tmp_path, straight, how):
    assert stopped_at(3, args) == RESUME
    here, there = tmp_path / "runs", tmp_path / "copied"
    subprocess.run(["cp", "-rL", here, there], check=True)
    if how == "rsync -r":  # which leaves links out
        shutil.rmtree(there / "demo" / "latest")
        (there / "demo" / runs(tmp_path)[0] / "checkpoints" / "last.ckpt").unlink()
    fit([*args, "--trainer.default_root_dir", str(there)])
    (name,) = (path.name for path in (there / "demo").iterdir() if path.name != "latest")
    assert name == runs(tmp_path)[0]
    same_end(Run(there / "demo" / name), straight)
    assert "00001.png" in draws(there / "demo", tmp_path / "out")


def test_latest_moves_when_there_is_a_checkpoint(args, tmp_path):
    """A start that comes to nothing leaves it on the run that has something to show."""
    fit(args)
    first = latest(tmp_path).folder
    late = [*args, "--fresh", "--checkpoint.every_n_steps", "5"]
    seen: list[Path] = []
    fit(late, [At(step, lambda: seen.append(latest(tmp_path).folder)) for step in (4, 6)])
    second = latest(tmp_path).folder
    assert first != second
    assert seen == [first, second]


def test_a_start_that_came_to_nothing_is_taken_up_or_passed_over(args, tmp_path):
    """Killed before its first checkpoint it is the newest run, and yet hides no older one."""
    assert stopped_at(3, args) == RESUME
    first = latest(tmp_path).folder
    with pytest.raises(CrashError):
        fit([*args, "--fresh"], [At(1, crash)])
    second = first.with_name(runs(tmp_path)[-1])
    assert stopped_at(1, args) == RESUME
    assert latest(tmp_path).folder == second
    with pytest.raises(CrashError):
        fit([*args, "--fresh", "--seed_everything", "5"], [At(1, crash)])
    fit(args)
    assert latest(tmp_path).folder == second
    assert latest(tmp_path).checkpoint()["global_step"] == 8


@pytest.mark.filterwarnings("ignore:Checkpoint directory .* exists and is not empty")
@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_lightning_s_model_checkpoint_can_be_added(args, tmp_path, straight):
    more = [*args, "--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps=1"]
    assert stopped_at(3, more) == RESUME
    fit(more)
    run = latest(tmp_path)
    assert list((run.folder / "model_checkpoints").glob("*.ckpt"))
    same_end(run, straight)
    assert "00001.png" in draws(run.folder, tmp_path / "out")
