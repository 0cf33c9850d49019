from __future__ import annotations

import pickle
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from recording import MakeFolder

from datamodules.cache import default_cache_dir, open_cache, write_report
from datamodules.decode import decode_image
from datamodules.index import DataError, Rejected, scan_folder
from datamodules.pixels import MappedImages, Transform

TRANSFORM = Transform(8, (255, 255, 255))

BUILD = """
import sys
from pathlib import Path
from datamodules import cache, cache_build
from datamodules.index import scan_folder
from datamodules.pixels import Transform

def wait(word):
    print(word, flush=True)
    assert sys.stdin.readline()

cache_build.BLOCK_FILES = cache.check_images.__globals__["BLOCK_FILES"] = 2
cache_build._MOST_THREADS = 1
{patch}
transform = Transform(8, (255, 255, 255))
opened = cache.open_cache(scan_folder(Path(sys.argv[1])), transform, Path(sys.argv[2]), 0)
print(opened.images.array.sum(dtype="int64"), flush=True)
"""

WAIT_HALFWAY = """
decode, seen = cache._decode_chunk, []
def _decode_chunk(task):
    seen.append(task)
    if len(seen) == 3:
        wait("halfway")
    return decode(task)
cache._decode_chunk = _decode_chunk
"""

WAIT_BEFORE_PUBLISHING = """
publish = cache._publish
def _publish(*args):
    wait("built")
    publish(*args)
cache._publish = _publish
"""


def start(patch: str, root: Path, cache_dir: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILD.format(patch=patch), str(root), str(cache_dir)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def published(cache_dir: Path) -> list[Path]:
    return [path for path in cache_dir.iterdir() if not path.name.startswith(".")]


def forbid_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr(cache, "decode_image", fail)


def test_cache_holds_every_image_in_index_order(make_folder: MakeFolder, tmp_path: Path) -> None:
    index = scan_folder(make_folder({"a": 3, "b": 2}))
    opened = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
    expected = np.stack([decode_image(index.root / path, 8) for path in index.paths])
    np.testing.assert_array_equal(opened.images.array, expected)
    np.testing.assert_array_equal(opened.rows, np.arange(5))
    assert opened.rejected == ()
    assert not opened.images.array.flags.writeable


def test_second_opening_does_not_decode(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = scan_folder(make_folder({"a": 3}))
    first = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
    forbid_decoding(monkeypatch)
    second = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
    np.testing.assert_array_equal(first.images.array, second.images.array)


def test_unreadable_files_are_left_out_with_their_reasons(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder({"a": 4})
    (root / "a" / "0001.png").write_bytes(b"")
    (root / "a" / "0003.png").write_text("text")
    index = scan_folder(root)
    for again in (False, True):
        if again:
            forbid_decoding(monkeypatch)
        opened = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
        np.testing.assert_array_equal(opened.rows, [0, 2])
        assert opened.images.array.shape == (2, 3, 8, 8)
        np.testing.assert_array_equal(opened.images.array[1], decode_image(root / "a" / "0002.png", 8))
        assert opened.rejected[0] == Rejected("a/0001.png", "the file is empty")
        assert opened.rejected[1].path == "a/0003.png"


def test_worker_processes_give_the_same_as_none(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_folder({"a": 7})
    (root / "a" / "0002.png").write_bytes(b"")
    index = scan_folder(root)
    alone = open_cache(index, TRANSFORM, tmp_path / "alone", workers=0)
    monkeypatch.setattr(cache, "_PARALLEL_FROM", 1)
    monkeypatch.setattr(cache, "_CHUNK", 2)
    together = open_cache(index, TRANSFORM, tmp_path / "together", workers=2)
    np.testing.assert_array_equal(alone.images.array, together.images.array)
    assert alone.rejected == together.rejected
    np.testing.assert_array_equal(alone.rows, together.rows)


def test_each_transform_and_content_has_its_own_cache(make_folder: MakeFolder, tmp_path: Path) -> None:
    root = make_folder({"a": 2})
    folders = {
        open_cache(scan_folder(root), transform, tmp_path / "cache", workers=0).folder
        for transform in (TRANSFORM, Transform(6, (255, 255, 255)), Transform(8, (0, 0, 0)))
    }
    (root / "a" / "0000.png").rename(root / "a" / "0009.png")
    folders.add(open_cache(scan_folder(root), TRANSFORM, tmp_path / "cache", workers=0).folder)
    assert len(folders) == 4


def test_killed_build_is_never_trusted(make_folder: MakeFolder, tmp_path: Path) -> None:
    root, cache_dir = make_folder({"a": 10}), tmp_path / "cache"
    with start(WAIT_HALFWAY, root, cache_dir) as process:
        assert said(process) == "halfway"
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert list(cache_dir.iterdir())  # it had begun to write
    assert published(cache_dir) == []
    index = scan_folder(root)
    opened = open_cache(index, TRANSFORM, cache_dir, workers=0)
    expected = np.stack([decode_image(root / path, 8) for path in index.paths])
    np.testing.assert_array_equal(opened.images.array, expected)


def test_two_builders_at_once_publish_one_cache(make_folder: MakeFolder, tmp_path: Path) -> None:
    root, cache_dir = make_folder({"a": 10}), tmp_path / "cache"
    with (
        start(WAIT_BEFORE_PUBLISHING, root, cache_dir) as one,
        start(WAIT_BEFORE_PUBLISHING, root, cache_dir) as two,
    ):
        assert [said(one), said(two)] == ["built", "built"]  # both have built before either publishes
        (first, error_of_first), (second, error_of_second) = one.communicate("go\n"), two.communicate("go\n")
    assert (one.returncode, two.returncode) == (0, 0), error_of_first + error_of_second
    expected = sum(int(decode_image(path, 8).sum(dtype=np.int64)) for path in root.rglob("*.png"))
    assert [int(first), int(second)] == [expected, expected]
    assert list(cache_dir.iterdir()) == published(cache_dir)  # nothing left lying about
    assert len(published(cache_dir)) == 1


@pytest.mark.parametrize("name", ["images.npy", "cache.json"])
@pytest.mark.parametrize("keep", [0, 100])
def test_damaged_cache_is_built_again(make_folder: MakeFolder, tmp_path: Path, name: str, keep: int) -> None:
    index = scan_folder(make_folder({"a": 3}))
    first = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
    expected = first.images.array.copy()
    damaged = first.folder / name
    damaged.write_bytes(damaged.read_bytes()[: min(keep, damaged.stat().st_size // 2)])
    again = open_cache(index, TRANSFORM, tmp_path / "cache", workers=0)
    np.testing.assert_array_equal(again.images.array, expected)
    assert list((tmp_path / "cache").iterdir()) == [again.folder]


def test_nothing_decodable_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "images").mkdir(exist_ok=True)
        (tmp_path / "images" / name).write_text("no picture")
    with pytest.raises(DataError, match=r"none of the 2 images .* the first is a\.jpg \(not an image"):
        open_cache(scan_folder(tmp_path / "images"), TRANSFORM, tmp_path / "cache", workers=0)
    assert list((tmp_path / "cache").iterdir()) == []


def test_place_that_cannot_be_written_says_so(make_folder: MakeFolder, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot be written to .*file .*--data\.cache_dir"):
        open_cache(scan_folder(make_folder({"a": 1})), TRANSFORM, tmp_path / "file", workers=0)


def test_worker_that_dies_is_an_error(
    make_folder: MakeFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class DyingPool(cache.ProcessPoolExecutor):
        def map(self, *_: object, **__: object) -> object:
            raise cache.BrokenProcessPool("a child process terminated abruptly")

    monkeypatch.setattr(cache, "ProcessPoolExecutor", DyingPool)
    monkeypatch.setattr(cache, "_PARALLEL_FROM", 1)
    with pytest.raises(DataError, match=r"want of memory; try again with fewer --data\.workers"):
        open_cache(scan_folder(make_folder({"a": 2})), TRANSFORM, tmp_path / "cache", workers=1)
    assert list((tmp_path / "cache").iterdir()) == []


def test_images_travel_as_their_path(make_folder: MakeFolder, tmp_path: Path) -> None:
    images = open_cache(scan_folder(make_folder({"a": 50})), TRANSFORM, tmp_path / "cache", workers=0).images
    packed = pickle.dumps(images)
    assert len(packed) < 1000 < images.array.nbytes
    restored = pickle.loads(packed)
    assert isinstance(restored, MappedImages)
    np.testing.assert_array_equal(restored.array, images.array)


def test_default_place_follows_the_desktop_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert default_cache_dir() == Path("/somewhere/ninelives")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/tabby")
    assert default_cache_dir() == Path("/home/tabby/.cache/ninelives")


def test_report_lists_one_file_a_line(tmp_path: Path) -> None:
    report = write_report(tmp_path, [Rejected("a.jpg", "the file is empty"), Rejected("\udce9.jpg", "text")])
    assert report.read_text() == "a.jpg\tthe file is empty\n\\udce9.jpg\ttext\n"
    assert write_report(tmp_path, []).read_text() == ""
    assert list(tmp_path.glob(".rejected-*")) == []
