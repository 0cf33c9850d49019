"""A Volume's copy while its container goes on writing to it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.modal_emulator import volume_files


def test_what_vanishes_during_a_commit_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    published = tmp_path / "published"
    published.mkdir()
    copy = volume_files.Copy(tmp_path / "copy", published)
    (copy.folder / "kept").write_text("kept")
    (copy.folder / "temporary").write_text("gone in a moment")
    walk = os.walk

    def walk_and_lose(folder: Path):
        for found in walk(folder):
            (copy.folder / "temporary").unlink(missing_ok=True)
            yield found

    monkeypatch.setattr(volume_files.os, "walk", walk_and_lose)
    assert copy.commit() == ["kept"]
    assert [path.name for path in published.iterdir()] == ["kept"]


def test_what_vanishes_between_listing_and_copying_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    published = tmp_path / "published"
    published.mkdir()
    copy = volume_files.Copy(tmp_path / "copy", published)
    for name in ("a", "b"):
        (copy.folder / name).write_text(name)
    put = volume_files.put

    def put_and_lose(source: Path, target: Path) -> None:
        put(source, target)
        (copy.folder / "b").unlink(missing_ok=True)

    monkeypatch.setattr(volume_files, "put", put_and_lose)
    copy.commit()
    assert [path.name for path in published.iterdir()] == ["a"]
