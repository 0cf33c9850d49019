from __future__ import annotations

import logging
import os
import re
from pathlib import Path

import pytest

from datamodules.index.index import DataError, Rejected, scan_folder
from datamodules.index.quarantine import read_quarantine, write_quarantine
from tests.helpers.image_files import touch

NAMES = [
    "b/plain name.jpg",
    "b/two\nlines.jpg",
    "b/tab\t.jpg",
    '"quoted".jpg',
    "#1.jpg",
    " edge .jpg",
    "ねこ.jpg",
]


def test_every_name_comes_back(tmp_path: Path) -> None:
    files = [Rejected(name, f"reason {i}") for i, name in enumerate([*NAMES, os.fsdecode(b"caf\xe9.jpg")])]
    write_quarantine(tmp_path / "deep" / "list.txt", files)
    assert read_quarantine(tmp_path / "deep" / "list.txt") == dict(files)
    assert "b/plain name.jpg\treason 0\n" in (tmp_path / "deep" / "list.txt").read_text()


def test_a_list_may_be_written_by_hand(tmp_path: Path) -> None:
    (tmp_path / "list.txt").write_bytes(b'# mine\r\n\r\na.jpg\r\nb.jpg\t too dark \n"c\\n.jpg"\n')
    found = read_quarantine(tmp_path / "list.txt")
    assert found == {"a.jpg": "no reason given", "b.jpg": "too dark", "c\n.jpg": "no reason given"}


def test_what_cannot_be_understood_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"none\.txt "):
        read_quarantine(tmp_path / "none.txt")
    (tmp_path / "list.txt").write_text('a.jpg\n"b.jpg\n')
    with pytest.raises(DataError, match=r"list\.txt, line 2: \"b\.jpg "):
        read_quarantine(tmp_path / "list.txt")
    (tmp_path / "list.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"list\.txt .*UTF-8"):
        read_quarantine(tmp_path / "list.txt")


def test_listed_files_are_left_out_but_not_rejected(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / "images", "a/1.jpg", "a/2.jpg", "b/3.jpg")
    write_quarantine(tmp_path / "list.txt", [Rejected("a/2.jpg", "dark"), Rejected("b/3.jpg", "text")])
    index = scan_folder(root, quarantine=tmp_path / "list.txt")
    assert index.paths == ("a/1.jpg",)
    assert index.class_names == ("a",)
    assert index.rejected == ()
    assert index.quarantined == (Rejected("a/2.jpg", "dark"), Rejected("b/3.jpg", "text"))
    assert caplog.text == ""


def test_entries_that_match_nothing_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = touch(tmp_path / "images", "a.jpg", "b.jpg")
    (tmp_path / "list.txt").write_text("a.jpg\nimages/b.jpg\n")
    with caplog.at_level(logging.WARNING):
        scan_folder(root, quarantine=tmp_path / "list.txt")
    assert "1 of 2" in caplog.text


def test_quarantine_of_everything_is_an_error(tmp_path: Path) -> None:
    root = touch(tmp_path / "images", "a.jpg")
    (tmp_path / "list.txt").write_text("a.jpg\n")
    with pytest.raises(DataError, match=rf"{re.escape(str(root))}: .*\b1\b"):
        scan_folder(root, quarantine=tmp_path / "list.txt")
