from __future__ import annotations

import ast
import errno
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
import torch
import yaml

from lightning_modules.checkpoints.names import path_of
from lightning_modules.checkpoints.whole import point_last
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.experiment import newest_run, point_latest
from lightning_modules.run.finding import find_checkpoint, find_run, run_config
from lightning_modules.run.names import experiment_name, run_name
from lightning_modules.sampling.settings import Sampling
from lightning_modules.sampling.stored import run_sampling
from tests.helpers.places import REPOSITORY


def make_run(folder: Path, step: int = 3) -> Path:
    """A run directory with a checkpoint and `last.ckpt`."""
    if not folder.exists():
        RunDirectory(folder).start()
    point_latest(folder)
    checkpoint = folder / "checkpoints" / f"step={step:08d}.ckpt"
    checkpoint.write_bytes(b"weights")
    point_last(checkpoint.parent, checkpoint)
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
        RunDirectory(tmp_path / "cats" / name).start()
        point_latest(tmp_path / "cats" / name)
        assert (tmp_path / "cats" / "latest").resolve() == tmp_path / "cats" / name
    assert sorted(path.name for path in (tmp_path / "cats").iterdir()) == ["latest", "one", "two"]
    assert (tmp_path / "cats" / "latest").readlink() == Path("two")  # relative: the folder may move


def test_two_runs_of_the_same_second_are_refused(tmp_path):
    RunDirectory(tmp_path / "cats" / "one").start()
    with pytest.raises(FileExistsError):
        RunDirectory(tmp_path / "cats" / "one").start()


def test_a_checkpoint_is_found_in_three_ways(tmp_path):
    make_run(tmp_path / "cats" / "one")
    newest = make_run(tmp_path / "cats" / "two")
    for place in (newest, tmp_path / "cats" / "two", tmp_path / "cats", tmp_path / "cats" / "latest"):
        assert find_checkpoint(place) == newest
    assert find_checkpoint(tmp_path / "cats" / "one").parents[1].name == "one"


@pytest.mark.parametrize("place", ["", "cats/run"])
def test_no_checkpoint_says_where_it_was_looked_for(tmp_path, place):
    RunDirectory(tmp_path / "cats" / "run").start()
    with pytest.raises(FileNotFoundError) as error:
        find_checkpoint(tmp_path / place)
    assert f"{tmp_path / place}: " in str(error.value)
    assert str(tmp_path / place / "checkpoints") in str(error.value)


@pytest.mark.parametrize(
    ("root", "config", "name"),
    [
        (None, "cats", "cats"),
        (None, "demo", "demo"),
        ("my_images", "demo", "my_images"),
        ("my_images", "cats", "my_images-cats"),
        ("/elsewhere/my_images/", "cats", "my_images-cats"),
        ("my images (2)", "demo", "my_images_2_"),
        ("a/b/..", "demo", "a"),
        ("猫/кошки", "demo", "кошки"),
        ("cafe\u0301", "demo", "caf\u00e9"),
        (".hidden", "demo", "hidden"),
        ("--fresh", "demo", "fresh"),
        ("latest", "demo", "imageslatest"),
        ("###", "demo", "images_"),
        ("/", "demo", "images"),
        ("x" * 300, "demo", "x" * 100),
        (os.fsdecode(b"odd\xff"), "demo", "odd_"),
    ],
    ids=repr,
)
def test_an_own_folder_names_the_experiment(root, config, name):
    assert experiment_name(config, root, "demo") == name
    assert experiment_name(config, root and Path(root), "demo") == name


def test_the_folder_one_is_in_has_a_name_too(tmp_path, monkeypatch):
    images = tmp_path / "my_images" / "inner"
    images.mkdir(parents=True)
    monkeypatch.chdir(images.parent)
    assert experiment_name("demo", Path(), "demo") == "my_images"
    monkeypatch.chdir(images)
    assert experiment_name("demo", Path(".."), "demo") == "my_images"
    (tmp_path / "link").symlink_to(images)
    assert experiment_name("demo", tmp_path / "link", "demo") == "link"  # as it was given


# Copies, and file systems without links


def follow_links(here: Path, there: Path) -> None:
    subprocess.run(["cp", "-rL", here, there], check=True)


def leave_links_out(here: Path, there: Path) -> None:
    """As `rsync -r` does."""

    def links(folder: str, names: list[str]) -> set[str]:
        return {name for name in names if Path(folder, name).is_symlink()}

    shutil.copytree(here, there, ignore=links)


def pack_and_unpack(here: Path, there: Path) -> None:
    """As Python's zip does it: the link `latest` is an empty folder then."""
    shutil.unpack_archive(shutil.make_archive(str(here), "zip", here), there)


def as_text(here: Path, there: Path) -> None:
    """What point_latest writes where there are no links."""
    leave_links_out(here, there)
    (there / "cats" / "latest").write_text("2026-11-02T00-00-00Z\n")


COPIES = [follow_links, leave_links_out, pack_and_unpack, as_text]


@pytest.mark.parametrize("copy", COPIES)
def test_a_copied_run_is_found_by_all_its_names(tmp_path, copy):
    older, newer = (tmp_path / "runs" / "cats" / f"2026-11-0{day}T00-00-00Z" for day in (1, 2))
    make_run(older, step=9)
    make_run(newer, step=3)
    make_run(newer, step=5)
    copy(tmp_path / "runs", tmp_path / "copy")
    experiment = tmp_path / "copy" / "cats"
    run = experiment / newer.name
    for place in (experiment, experiment / "latest", run):
        found = find_checkpoint(place)
        assert found.name == "step=00000005.ckpt"
        if place != experiment / "latest" or copy is not follow_links:
            assert found.parents[1] == run
    inner = experiment / "latest" / "checkpoints" / "step=00000003.ckpt"
    assert find_checkpoint(inner).read_bytes() == b"weights"
    assert find_checkpoint(experiment / older.name).name == "step=00000009.ckpt"
    assert newest_run(experiment) == find_run(experiment) == run
    # Where it is trained on, a new checkpoint is found, whatever `latest` is.
    point_latest(run)
    (run / "checkpoints" / "step=00000006.ckpt").write_bytes(b"weights")
    assert find_checkpoint(experiment).name == "step=00000006.ckpt"


def test_a_copy_of_latest_alone_is_a_run(tmp_path):
    make_run(tmp_path / "runs" / "cats" / "one", step=4)
    (tmp_path / "copy").mkdir()
    follow_links(tmp_path / "runs" / "cats" / "latest", tmp_path / "copy" / "latest")
    for place in (tmp_path / "copy", tmp_path / "copy" / "latest"):
        assert find_checkpoint(place) == tmp_path / "copy" / "latest" / "checkpoints" / "step=00000004.ckpt"


@pytest.fixture
def no_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system like exFAT or Google Drive."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "symlink", refuse)


def test_without_links_latest_is_a_text_file_and_the_last_is_found_by_name(tmp_path, no_links):
    for name, step in (("one", 9), ("two", 3)):
        folder = tmp_path / "cats" / name
        RunDirectory(folder).start()
        path = path_of(folder / "checkpoints", step)
        path.write_bytes(b"weights")
        (folder / "checkpoints" / "last.ckpt").write_bytes(b"older weights")  # a copy of a link
        point_last(folder / "checkpoints", path)
        point_latest(folder)
        assert (tmp_path / "cats" / "latest").read_text() == f"{name}\n"
        assert find_checkpoint(tmp_path / "cats") == find_checkpoint(tmp_path / "cats" / "latest") == path
    names = {path.relative_to(tmp_path / "cats").as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert names == {"latest", "one/checkpoints/step=00000009.ckpt", "two/checkpoints/step=00000003.ckpt"}


def test_what_latest_says_is_not_believed_if_it_is_no_run(tmp_path):
    make_run(tmp_path / "cats" / "one")
    latest = tmp_path / "cats" / "latest"
    latest.unlink()
    for content in (b"", b"gone", b"../../etc", b"\xff\xfe", b"x" * 10_000):
        latest.write_bytes(content)
        assert newest_run(tmp_path / "cats") == tmp_path / "cats" / "one"


def test_a_place_that_is_not_there_names_the_nearest(tmp_path):
    make_run(tmp_path / "cats" / "run")
    with pytest.raises(FileNotFoundError, match=r"/cats\?") as error:
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
    with pytest.raises(ValueError, match=r"config\.yaml "):
        run_config(checkpoint)


def test_a_lone_checkpoint_has_no_configuration_whatever_lies_around(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "weights.ckpt").write_bytes(b"")
    for folder in (tmp_path, tmp_path / "models"):
        (folder / "config.yaml").write_text("somebody: else")
    monkeypatch.chdir(tmp_path / "models")
    assert run_config(tmp_path / "models" / "weights.ckpt") is None
    assert run_config(Path("weights.ckpt")) is None


NAMES = {
    path.name
    for path in (
        getattr(RunDirectory(Path("run")), name)
        for name, value in vars(RunDirectory).items()
        if isinstance(value, property)
        and name not in {"is_run", "evaluation", "export", "page", "report", "samples"}
    )
}
"""Names of a run's files; the others are names with other uses too."""


def test_the_names_of_a_run_s_files_stand_in_one_place():
    assert {"config.yaml", "latest", "last.ckpt", "checkpoints", "manifest.json"} <= NAMES
    own = {"lightning_modules/run/directory.py", "lightning_modules/checkpoints/names.py"}
    elsewhere = {
        f"{place}: {node.value}"
        for folder in ("lightning_modules", "scripts")
        for path in (REPOSITORY / folder).rglob("*.py")
        if (place := path.relative_to(REPOSITORY).as_posix()) not in own
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in NAMES
    }
    assert not elsewhere


def test_a_checkpoint_and_an_export_lie_in_their_run(tmp_path):
    run = RunDirectory(tmp_path / "demo" / "one")
    for folder in (run.checkpoints, run.model_checkpoints, run.export):
        assert RunDirectory.containing(folder / "file") == run
    assert RunDirectory.containing(run.samples / "file") is None
    assert RunDirectory.containing(Path("file")) is None
    assert run.sample_grid(12) == run.samples / "step=00000012.png"
    assert run.latest == tmp_path / "demo" / "latest"
