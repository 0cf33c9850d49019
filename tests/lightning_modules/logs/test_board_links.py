from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from lightning_modules.logs.board_links import link_runs, runs_below, view_of_runs

EVENTS = "events.out.tfevents.1.machine.2.0"


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two experiments, each with `latest`, as a training leaves them."""
    root = tmp_path / "runs"
    for experiment in ("demo", "cats"):
        for name in ("first", "second"):
            (root / experiment / name / "samples").mkdir(parents=True)
            (root / experiment / name / EVENTS).write_bytes(b"")
        (root / experiment / "latest").symlink_to("second")
    return root


def shown(view: Path) -> list[str]:
    """What TensorBoard, which follows links, finds."""
    found = [Path(place) for place, _, files in os.walk(view, followlinks=True) if EVENTS in files]
    return sorted(str(place.relative_to(view)) for place in found)


def test_each_run_stands_once(runs, tmp_path):
    assert len(shown(runs)) == 6
    link_runs(runs, tmp_path / "view")
    assert shown(tmp_path / "view") == ["cats/first", "cats/second", "demo/first", "demo/second"]


def test_runs_on_another_disk_are_there_once_and_a_loop_has_an_end(runs, tmp_path):
    (runs / "demo").rename(tmp_path / "disk")
    (runs / "demo").symlink_to(tmp_path / "disk")
    (runs / "loop").symlink_to(runs)
    link_runs(runs, tmp_path / "view")
    assert shown(tmp_path / "view") == ["cats/first", "cats/second", "demo/first", "demo/second"]


def test_runs_come_and_go(runs, tmp_path):
    view = tmp_path / "view"
    link_runs(runs, view)
    (runs / "demo" / "third").mkdir()
    (runs / "demo" / "third" / EVENTS).write_bytes(b"")
    shutil.rmtree(runs / "demo" / "first")
    link_runs(runs, view)
    assert shown(view) == ["cats/first", "cats/second", "demo/second", "demo/third"]


@pytest.mark.parametrize(
    ("place", "names"),
    [("demo", ["first", "second"]), ("demo/first", ["first"]), ("demo/latest", ["second"])],
)
def test_an_experiment_or_a_run_by_itself(runs, tmp_path, place, names):
    link_runs(runs / place, tmp_path / "view")
    assert shown(tmp_path / "view") == names


def test_a_relative_folder_is_seen_from_anywhere(runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    link_runs(Path("runs"), tmp_path / "view")
    assert len(shown(tmp_path / "view")) == 4


def test_a_folder_without_runs_is_empty(tmp_path):
    assert list(runs_below(tmp_path / "missing")) == []


def test_the_view_goes_with_its_block(runs):
    with view_of_runs(runs, seconds=0.01) as view:
        assert len(shown(view)) == 4
    assert not view.exists()
    assert len(shown(runs)) == 6
