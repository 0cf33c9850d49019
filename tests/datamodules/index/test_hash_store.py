from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from datamodules.index import hash_store, hashing
from datamodules.index.index import ImageIndex, Rejected, scan_folder
from tests.helpers.image_files import touch


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the files whose content is read, and every file old enough to be recorded at once."""
    monkeypatch.setattr(hash_store, "_RACY", -(10**12))
    seen: list[str] = []
    hash_file = hashing.hash_file

    def noting(path: str) -> object:
        seen.append(Path(path).name)
        return hash_file(path)

    monkeypatch.setattr(hashing, "hash_file", noting)
    return seen


def assert_as_without_store(index: ImageIndex) -> None:
    fresh = scan_folder(index.root)
    assert index.paths == fresh.paths
    np.testing.assert_array_equal(index.hashes, fresh.hashes)
    assert index.fingerprint == fresh.fingerprint


def test_second_start_reads_nothing(tmp_path: Path, reads: list[str]) -> None:
    root = touch(tmp_path / "images", *(f"{i % 3}/{i}.jpg" for i in range(300)))
    first = scan_folder(root, tmp_path / "cache")
    assert len(reads) == 300
    second = scan_folder(root, tmp_path / "cache")
    assert len(reads) == 300
    assert second.fingerprint == first.fingerprint
    assert_as_without_store(second)


def test_only_what_changed_is_read(tmp_path: Path, reads: list[str]) -> None:
    root = touch(tmp_path / "images", *(f"x/{name}.jpg" for name in "abcdefg"))
    scan_folder(root, tmp_path / "cache")
    reads.clear()
    (root / "x/a.jpg").unlink()
    (root / "x/c.jpg").write_text("longer than before")
    touch(root, "w/new.jpg", "x/bb.jpg", "y/last.jpg")
    index = scan_folder(root, tmp_path / "cache")
    assert sorted(reads) == ["bb.jpg", "c.jpg", "last.jpg", "new.jpg"]
    assert_as_without_store(index)


def test_same_size_and_modification_time_do_not_deceive(tmp_path: Path, reads: list[str]) -> None:
    root = touch(tmp_path / "images", "a.jpg", "b.jpg")
    before = (root / "a.jpg").stat()
    scan_folder(root, tmp_path / "cache")
    reads.clear()
    while (
        root / "a.jpg"
    ).stat().st_ctime_ns == before.st_ctime_ns:  # until the file system's clock has ticked
        (root / "a.jpg").write_bytes(b"A.JPG")
        os.utime(root / "a.jpg", ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (root / "a.jpg").stat().st_mtime_ns == before.st_mtime_ns
    index = scan_folder(root, tmp_path / "cache")
    assert reads == ["a.jpg"]
    assert_as_without_store(index)


def test_file_that_just_changed_is_not_recorded(tmp_path: Path) -> None:
    root = touch(tmp_path / "images", "fresh.jpg")
    os.utime(touch(root, "future.jpg") / "future.jpg", (2**33, 2**33))
    scan_folder(root, tmp_path / "cache")
    with np.load(next((tmp_path / "cache" / "hashes").iterdir())) as stored:
        assert (stored["stamps"] == hashing.UNKNOWN).all()


def test_reading_resumes_after_an_interruption(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "_CHUNK", 1)
    root = touch(tmp_path / "images", *(f"{i:03}.jpg" for i in range(50)))
    noting = hashing.hash_file

    def interrupted(path: str) -> object:
        if path.endswith("020.jpg"):
            raise KeyboardInterrupt
        return noting(path)

    with monkeypatch.context() as patch:
        patch.setattr(hashing, "hash_file", interrupted)
        with pytest.raises(KeyboardInterrupt):
            scan_folder(root, tmp_path / "cache", threads=1)
    read = len(reads)
    assert read >= 20
    index = scan_folder(root, tmp_path / "cache")
    assert len(reads) == 50
    assert sorted(reads) == sorted(set(reads))
    assert_as_without_store(index)


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "text", "gone"])
def test_damaged_store_is_made_again(tmp_path: Path, reads: list[str], damage: str) -> None:
    root = touch(tmp_path / "images", "a.jpg", "b.jpg")
    scan_folder(root, tmp_path / "cache")
    (file,) = (tmp_path / "cache" / "hashes").iterdir()
    whole = bytearray(file.read_bytes())
    at = whole.index(b"a.jpg\0b.jpg")
    whole[at] ^= 1
    content = {"cut": whole[:200], "flipped": whole, "emptied": b"", "text": b"no archive"}
    file.unlink() if damage == "gone" else file.write_bytes(content[damage])
    reads.clear()
    assert_as_without_store(scan_folder(root, tmp_path / "cache"))
    assert sorted(reads) == ["a.jpg", "a.jpg", "b.jpg", "b.jpg"]
    reads.clear()
    scan_folder(root, tmp_path / "cache")
    assert reads == []


def test_folders_have_stores_of_their_own(tmp_path: Path, reads: list[str]) -> None:
    one, two = touch(tmp_path / "one", "a.jpg"), touch(tmp_path / "two", "a.jpg", "b.jpg")
    for root in (one, two, one, two):
        scan_folder(root, tmp_path / "cache")
    assert sorted(reads) == ["a.jpg", "a.jpg", "b.jpg"]
    assert len(list((tmp_path / "cache" / "hashes").iterdir())) == 2


def test_place_that_cannot_be_written_costs_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    root = touch(tmp_path / "images", "a.jpg")
    (tmp_path / "file").touch()
    with caplog.at_level(logging.WARNING):
        assert scan_folder(root, tmp_path / "file").paths == ("a.jpg",)
    assert str(tmp_path / "file") in caplog.text


def test_file_that_is_written_to_meanwhile_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = touch(tmp_path, "a.jpg", "b.jpg")
    digest = hashing.digest

    def growing(file: object) -> bytes:
        found = digest(file)  # type: ignore[arg-type]
        if os.fstat(file.fileno()).st_ino == (root / "a.jpg").stat().st_ino:  # type: ignore[attr-defined]
            with (root / "a.jpg").open("ab") as other:
                other.write(b"more")
        return found

    monkeypatch.setattr(hashing, "digest", growing)
    index = scan_folder(root)
    assert index.paths == ("b.jpg",)
    reason = "it changes while it is read: something still writes to it"
    assert index.rejected == (Rejected("a.jpg", reason),)


def test_file_that_vanishes_meanwhile_is_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = touch(tmp_path / "images", "a.jpg", "b.jpg")
    hash_file = hashing.hash_file

    def vanishing(path: str) -> object:
        (root / "a.jpg").unlink(missing_ok=True)
        return hash_file(path)

    monkeypatch.setattr(hashing, "hash_file", vanishing)
    index = scan_folder(root, threads=1)
    assert index.paths == ("b.jpg",)
    assert index.rejected == (Rejected("a.jpg", "no such file or directory"),)


def test_any_number_of_threads_gives_the_same(tmp_path: Path) -> None:
    root = touch(tmp_path, *(f"{i % 5}/{i}.jpg" for i in range(600)))
    indices = [scan_folder(root, threads=threads) for threads in (1, 2, 16)]
    assert len({index.fingerprint for index in indices}) == 1
    shutil.rmtree(root)
