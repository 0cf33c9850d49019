from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
import yaml

from lightning_modules.checkpoints.whole import path_of
from lightning_modules.runs import (
    find_checkpoint,
    point_latest,
    run_config,
    run_name,
    run_sampling,
    start_run_directory,
)
from lightning_modules.sampling import Sampling


def make_run(folder: Path, step: int = 3) -> Path:
    """A run directory with a checkpoint and `last.ckpt`."""
    (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
    point_latest(folder)
    checkpoint = folder / "checkpoints" / f"step={step:08d}.ckpt"
    checkpoint.write_bytes(b"weights")
    (checkpoint.parent / "last.ckpt").unlink(missing_ok=True)
    (checkpoint.parent / "last.ckpt").symlink_to(checkpoint.name)
    return checkpoint


def test_run_name_is_the_utc_second():
    assert run_name(datetime(2026, 11, 3, 9, 2, 1, tzinfo=UTC)) == "2026-11-03T09-02-01Z"
    before = datetime.now(UTC).replace(microsecond=0)
    named = datetime.strptime(run_name(), "%Y-%m-%dT%H-%M-%SZ").replace(tzinfo=UTC)
    assert before <= named <= datetime.now(UTC)


def test_names_sort_by_time():
    times = [datetime(2026, month, 1, hour, tzinfo=UTC) for month in (2, 10) for hour in (3, 20)]
    assert sorted(map(run_name, times)) == [run_name(time) for time in times]


def test_latest_points_to_the_newest_run(tmp_path):
    for name in ("one", "two"):
        start_run_directory(tmp_path / "cats" / name)
        point_latest(tmp_path / "cats" / name)
        assert (tmp_path / "cats" / "latest").resolve() == tmp_path / "cats" / name
    assert sorted(path.name for path in (tmp_path / "cats").iterdir()) == ["latest", "one", "two"]
    assert (tmp_path / "cats" / "latest").readlink() == Path("two")  # relative: the folder may move


def test_two_runs_of_the_same_second_are_refused(tmp_path):
    start_run_directory(tmp_path / "cats" / "one")
    with pytest.raises(FileExistsError):
        start_run_directory(tmp_path / "cats" / "one")


def test_a_checkpoint_is_found_in_three_ways(tmp_path):
    make_run(tmp_path / "cats" / "one")
    newest = make_run(tmp_path / "cats" / "two")
    for place in (newest, tmp_path / "cats" / "two", tmp_path / "cats", tmp_path / "cats" / "latest"):
        assert find_checkpoint(place) == newest
    assert find_checkpoint(tmp_path / "cats" / "one").parents[1].name == "one"


@pytest.mark.parametrize("place", ["", "cats/run"])
def test_no_checkpoint_says_where_it_was_looked_for(tmp_path, place):
    start_run_directory(tmp_path / "cats" / "run")
    with pytest.raises(FileNotFoundError) as error:
        find_checkpoint(tmp_path / place)
    for looked_for in ("checkpoints", "latest/checkpoints"):
        assert str(tmp_path / place / looked_for / "last.ckpt") in str(error.value)


def test_a_place_that_is_not_there_names_the_nearest(tmp_path):
    make_run(tmp_path / "cats" / "run")
    with pytest.raises(FileNotFoundError, match=r"did you mean .*cats") as error:
        find_checkpoint(tmp_path / "cat")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("count", [1, 30])
def test_a_deleted_checkpoint_is_answered_with_those_there_are(tmp_path, count):
    for step in range(count):
        path_of(make_run(tmp_path / "run").parent, 100 + step).write_bytes(b"weights")
    with pytest.raises(FileNotFoundError, match=r"step=00000050\.ckpt") as error:
        find_checkpoint(tmp_path / "run" / "checkpoints" / "step=00000050.ckpt")
    assert f"step={99 + count:08d}.ckpt" in str(error.value)
    assert len(str(error.value)) < 500


SETTINGS = Sampling("heun", 7, "flow", 2.5, None, (0.1, float("inf")), 0.01, 50.0)


def checkpoint_with(path: Path, sampling: object) -> Path:
    torch.save({"model": "DiTDiffusion", "state_dict": {}, "global_step": 3, "sampling": sampling}, path)
    return path


def test_sampling_is_the_checkpoint_s_own_whatever_the_run_s_configuration_says(tmp_path):
    checkpoint = checkpoint_with(make_run(tmp_path / "run"), SETTINGS.to_dict())
    config = {"sample_grid": {"sampling": {"steps": 3}}}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    assert run_sampling(checkpoint) == SETTINGS
    assert run_sampling(find_checkpoint(tmp_path / "run")) == SETTINGS
    assert run_sampling(checkpoint.rename(tmp_path / "elsewhere.ckpt")) == SETTINGS


def test_sampling_of_a_run_without_sample_grids_is_the_default(tmp_path):
    assert run_sampling(checkpoint_with(tmp_path / "weights.ckpt", None)) == Sampling()


def test_sampling_settings_that_are_none_are_named(tmp_path):
    checkpoint = checkpoint_with(tmp_path / "weights.ckpt", {"wiggle": 1})
    with pytest.raises(ValueError, match=r"weights\.ckpt: .*wiggle"):
        run_sampling(checkpoint)


@pytest.mark.parametrize("text", ["sample_grid: {sampling: [", ""])
def test_a_damaged_configuration_is_named(tmp_path, text):
    checkpoint = make_run(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml is damaged .*copy the checkpoint out"):
        run_config(checkpoint)


def test_a_lone_checkpoint_has_no_configuration_whatever_lies_around(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights.ckpt").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "models"):
        (folder / "config.yaml").write_text("somebody: else")
    monkeypatch.chdir(tmp_path / "models")
    assert run_config(tmp_path / "models" / "weights.ckpt") is None
    assert run_config(Path("weights.ckpt")) is None
