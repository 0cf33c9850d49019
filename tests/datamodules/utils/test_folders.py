from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from datamodules.utils.folders import clear_abandoned, whole_folder

NAMES = ("a", "b")


def write(place: Path, text: str, names: tuple[str, ...] = NAMES) -> None:
    with whole_folder(place, NAMES) as draft:
        for name in names:
            (draft / name).write_text(text)


def write_half(place: Path, failure: BaseException) -> None:
    with whole_folder(place, NAMES) as draft:
        (draft / "a").write_text("new")
        raise failure


def contents(place: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.iterdir()}


def test_a_folder_appears_at_the_end_and_is_replaced_as_a_whole(tmp_path: Path) -> None:
    place = tmp_path / "deep" / "folder"
    with whole_folder(place, NAMES) as draft:
        (draft / "a").write_text("old")
        (draft / "b").write_text("old")
        assert not place.exists()
    write(place, "new", names=("a",))
    assert contents(place) == {"a": "new"}
    assert [path.name for path in place.parent.iterdir()] == ["folder"]
    assert place.stat().st_mode == place.parent.stat().st_mode


@pytest.mark.skipif(sys.platform != "linux", reason="the system's call is Linux's")
def test_a_reader_always_finds_one_of_the_two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "folder"
    write(place, "old")
    monkeypatch.setattr(Path, "rename", None)  # nothing is moved away first
    write(place, "new")
    assert contents(place) == {"a": "new", "b": "new"}


def test_a_system_without_exchange_renames_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datamodules.utils.folders.ctypes.CDLL", lambda *_, **__: object())
    write(tmp_path / "folder", "old")
    write(tmp_path / "folder", "new", names=("a",))
    assert contents(tmp_path / "folder") == {"a": "new"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    write(place, "old")
    with pytest.raises(OSError, match="disk full"):
        write_half(place, OSError("disk full"))
    assert contents(place) == {"a": "old", "b": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_a_failure_leaves_nothing_where_nothing_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        write_half(tmp_path / "folder", KeyboardInterrupt())
    assert not list(tmp_path.iterdir())


def test_what_would_be_lost_is_named(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    write(place, "old")
    (place / "CNAME").write_text("mine")
    with pytest.raises(ValueError, match=rf"{re.escape(str(place))} holds CNAME.*--out"):
        write(place, "new")
    assert contents(place) == {"a": "old", "b": "old", "CNAME": "mine"}


def test_a_file_that_comes_while_writing_is_not_lost(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    write(place, "old")
    with pytest.raises(ValueError, match="CNAME"), whole_folder(place, NAMES):
        (place / "CNAME").write_text("mine")
    assert contents(place)["CNAME"] == "mine"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_files_and_links_are_refused(kind: str, tmp_path: Path) -> None:
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("mine")
    else:
        (tmp_path / "elsewhere").mkdir()
        place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match=rf"a {kind}.*--out"):
        write(place, "new")


def test_an_empty_folder_is_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    write(tmp_path / "here", "new")
    assert contents(tmp_path / "here") == {"a": "new", "b": "new"}
    monkeypatch.chdir(tmp_path)
    write(Path("relative"), "new")
    assert contents(tmp_path / "relative")["a"] == "new"


def abandoned(place: Path, *folders: str) -> Path:
    """What a killed process leaves."""
    workshop = place.with_name(f".{place.name}.abc.tmp")
    for name in folders:
        write(workshop / name, name)
    (workshop / "lock").touch()
    return workshop


def test_what_a_killed_process_has_left_is_removed(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    write(place, "here")
    workshop = abandoned(place, "new", "old")
    (tmp_path / ".another.abc.tmp").mkdir()
    write(place, "later")
    assert not workshop.exists()
    assert contents(place)["a"] == "later"
    assert (tmp_path / ".another.abc.tmp").exists()


def test_what_a_killed_process_had_taken_away_is_put_back(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    abandoned(place, "new", "old")
    clear_abandoned(place)
    assert contents(place) == {"a": "old", "b": "old"}
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_what_a_live_process_is_writing_stays(tmp_path: Path) -> None:
    place = tmp_path / "folder"
    with whole_folder(place, NAMES) as draft:
        clear_abandoned(place)
        write(place, "by another process")
        (draft / "a").write_text("mine")
    assert contents(place) == {"a": "mine"}


def test_without_locks_nothing_is_removed(tmp_path: Path, no_locks: None) -> None:
    place = tmp_path / "folder"
    workshop = abandoned(place, "new")
    write(place, "text")
    assert contents(place)["a"] == "text"
    assert workshop.exists()


@pytest.mark.parametrize("inside", ["", "a"])
def test_the_present_folder_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    here = tmp_path / "here"
    (here / inside).mkdir(parents=True)
    monkeypatch.chdir(here / inside)
    with pytest.raises(ValueError, match="the folder that you are in"):
        write(here if inside else Path(), "new")
    assert Path.cwd() == here / inside
    assert here.samefile(tmp_path / "here")
