"""Volumes through the command line, and the containers' copies of them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from . import Emulator
from .volume_files import Copy

SAMPLE = Path(__file__).with_name("sample_app.py")
BLOCK = 8 * 2**20


@pytest.mark.slow
def test_a_folder_is_put_listed_fetched_and_removed(modal_server: Emulator, tmp_path: Path):
    folder = tmp_path / "images"
    (folder / "inner").mkdir(parents=True)
    contents = {
        "empty": b"",
        "inner/small.txt": b"small",
        "blocks": os.urandom(BLOCK + 5) + bytes(100),
        "zeros": bytes(BLOCK + 7),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    assert modal_server.modal("volume", "create", "data", "--version", "2")[0] == 0
    status, output = modal_server.modal("volume", "put", "data", str(folder), "/set")
    assert status == 0, output
    published = modal_server.published("data")
    assert {name: (published / "set" / name).read_bytes() for name in contents} == contents

    status, output = modal_server.modal("volume", "put", "data", str(folder), "/set")
    assert status != 0
    assert "already exists" in output
    status, output = modal_server.modal("volume", "ls", "data", "/set")
    assert sorted(output.split()) == ["set/blocks", "set/empty", "set/inner", "set/zeros"]

    target = tmp_path / "fetched"
    target.mkdir()
    status, output = modal_server.modal("volume", "get", "data", "/set", str(target))
    assert status == 0, output
    assert {name: (target / "set" / name).read_bytes() for name in contents} == contents

    assert modal_server.modal("volume", "rm", "data", "/set", "--recursive")[0] == 0
    assert list(published.iterdir()) == []
    status, output = modal_server.modal("volume", "ls", "data", "/set")
    assert status == 1
    assert "No such file" in output


@pytest.mark.slow
def test_a_volume_is_created_copied_within_renamed_and_deleted(modal_server: Emulator, tmp_path: Path):
    (tmp_path / "a.txt").write_text("a")
    assert modal_server.modal("volume", "create", "runs", "--version", "2")[0] == 0
    assert modal_server.modal("volume", "put", "runs", str(tmp_path / "a.txt"), "/one/")[0] == 0
    assert modal_server.modal("volume", "cp", "runs", "/one", "/two", "--recursive")[0] == 0
    assert (modal_server.published("runs") / "two" / "a.txt").read_text() == "a"
    assert modal_server.modal("volume", "rename", "runs", "old", "--yes")[0] == 0
    status, output = modal_server.modal("volume", "list", "--json")
    assert status == 0
    assert [row["name"] for row in json.loads(output)] == ["old"]
    assert modal_server.modal("volume", "delete", "old", "--yes")[0] == 0
    status, output = modal_server.modal("volume", "ls", "old")
    assert status == 1
    assert "not found" in output


def test_a_reload_with_an_open_file_is_refused_and_names_it(modal_server: Emulator):
    status, output = modal_server.modal("run", f"{SAMPLE}::call", "--function", "reload")
    assert status == 0, output
    assert "there are open files preventing the operation: open.txt: path open.txt is open" in output


@pytest.fixture
def copies(tmp_path: Path) -> tuple[Path, Copy, Copy]:
    published = tmp_path / "published"
    (published / "folder").mkdir(parents=True)
    (published / "folder" / "a").write_text("a")
    (published / "b").write_text("b")
    return published, Copy(tmp_path / "1", published), Copy(tmp_path / "2", published)


def test_two_containers_publish_what_each_changed(copies: tuple[Path, Copy, Copy]):
    published, one, two = copies
    (one.folder / "folder" / "a").write_text("changed by one")
    (one.folder / "last").symlink_to("folder/a")
    (two.folder / "b").unlink()
    (two.folder / "c").write_text("new in two")
    assert not (published / "last").exists()
    assert one.commit() == ["folder/a", "last"]
    assert two.commit() == ["b", "c"]
    assert (published / "folder" / "a").read_text() == "changed by one"
    assert (published / "last").readlink() == Path("folder/a")
    assert sorted(path.name for path in published.iterdir()) == ["c", "folder", "last"]
    assert one.commit() == []


def test_a_reload_takes_over_what_is_published(copies: tuple[Path, Copy, Copy]):
    _, one, two = copies
    (one.folder / "folder" / "a").write_text("changed by one")
    (one.folder / "b").unlink()
    (one.folder / "b").mkdir()
    one.commit()
    (two.folder / "not committed").touch()
    two.reload()
    assert (two.folder / "folder" / "a").read_text() == "changed by one"
    assert (two.folder / "b").is_dir()
    assert not (two.folder / "not committed").exists()
    assert two.commit() == []


def test_open_files_are_found(copies: tuple[Path, Copy, Copy]):
    _, one, _ = copies
    assert one.open_files([os.getpid()]) == []
    with (one.folder / "folder" / "a").open():
        assert one.open_files([os.getpid()]) == ["folder/a"]
