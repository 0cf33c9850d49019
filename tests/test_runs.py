from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from lightning_modules.runs import (
    find_checkpoint,
    point_latest,
    run_name,
    run_sampling,
    start_run_directory,
)
from lightning_modules.sampling import Sampling


def make_run(folder: Path, step: int = 3) -> Path:
    """A run directory with a checkpoint and `last.ckpt`."""
    start_run_directory(folder)
    point_latest(folder)
    checkpoint = folder / "checkpoints" / f"step={step:08d}.ckpt"
    checkpoint.write_bytes(b"weights")
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


@pytest.mark.parametrize("place", ["", "nowhere", "cats/run"])
def test_no_checkpoint_says_where_it_was_looked_for(tmp_path, place):
    start_run_directory(tmp_path / "cats" / "run")
    with pytest.raises(FileNotFoundError) as error:
        find_checkpoint(tmp_path / place)
    for looked_for in ("checkpoints", "latest/checkpoints"):
        assert str(tmp_path / place / looked_for / "last.ckpt") in str(error.value)


def test_sampling_is_the_run_s_own(tmp_path):
    checkpoint = make_run(tmp_path / "run")
    sampling = {
        "sampler": "heun",
        "steps": 7,
        "grid": "flow",
        "guidance": 2.5,
        "guidance_interval": [0.1, float("inf")],
        "sigma_min": 0.01,
        "sigma_max": 50.0,
    }
    config = {"sample_grid": {"rows": 2, "sampling": sampling}, "seed_everything": 0}
    (tmp_path / "run" / "config.yaml").write_text(yaml.safe_dump(config))
    expected = Sampling("heun", 7, "flow", 2.5, None, (0.1, float("inf")), 0.01, 50.0)
    assert run_sampling(checkpoint) == expected
    assert run_sampling(find_checkpoint(tmp_path / "run")) == expected


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("sample_grid: {sampling: [", "config.yaml is damaged"),
        ("", "it holds NoneType"),
        ("sample_grid: {}", "sample_grid.sampling: KeyError"),
        ("sample_grid: {sampling: {wiggle: 1}}", "wiggle"),
    ],
)
def test_a_damaged_configuration_is_named(tmp_path, text, says):
    checkpoint = make_run(tmp_path / "run")
    (tmp_path / "run" / "config.yaml").write_text(text)
    with pytest.raises(ValueError, match=r"config\.yaml is damaged .*copy the checkpoint out") as error:
        run_sampling(checkpoint)
    assert says in str(error.value)


def test_sampling_of_a_lone_checkpoint_is_the_default(tmp_path):
    (tmp_path / "weights.ckpt").write_bytes(b"")
    assert run_sampling(tmp_path / "weights.ckpt") == Sampling()
