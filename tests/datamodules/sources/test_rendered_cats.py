from __future__ import annotations

import multiprocessing
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from datamodules.sources import rendered_cats as rendered_cats
from datamodules.sources.rendered_cats import BREEDS, RenderedCats, render_cat
from datamodules.sources.source import DataSource


def cats_as_array(count: int, seed: int, size: int = 32) -> npt.NDArray[np.float64]:
    """(count, size, size, 3) in [0, 1]; the breeds take turns."""
    drawings = [
        render_cat(BREEDS[i % len(BREEDS)], size, np.random.default_rng((seed, i))) for i in range(count)
    ]
    return np.stack([np.asarray(drawing) for drawing in drawings]) / 255


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*.png"))}


# the drawings


def test_breeds_are_sorted_and_at_least_four() -> None:
    assert list(BREEDS) == sorted(set(BREEDS))
    assert len(BREEDS) >= 4


@pytest.mark.parametrize("breed", BREEDS)
@pytest.mark.parametrize("size", [8, 31, 64])
def test_a_drawing_is_rgb_of_the_size_and_a_function_of_the_generator(breed: str, size: int) -> None:
    first, again, other = (render_cat(breed, size, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert (first.mode, first.size) == ("RGB", (size, size))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


@pytest.mark.parametrize("breed", BREEDS)
def test_a_small_drawing_is_the_large_one_averaged(breed: str) -> None:
    """What an aliased drawing, or one whose lines have a width in pixels, would not be."""
    small, large = (render_cat(breed, size, np.random.default_rng(5)) for size in (32, 256))
    difference = np.asarray(small, dtype=float) - np.asarray(large.reduce(8), dtype=float)
    assert np.sqrt((difference**2).mean()) < 12  # of 255; 4 to 7 measured, above 30 when aliased
    assert len(np.unique(np.asarray(small).reshape(-1, 3), axis=0)) > 256


def test_no_two_cats_are_alike() -> None:
    cats = cats_as_array(180, seed=0).reshape(180, -1)
    squared = (cats**2).sum(1)
    distance = np.sqrt(np.maximum(0, squared[:, None] + squared - 2 * cats @ cats.T) / cats.shape[1])
    np.fill_diagonal(distance, np.inf)
    assert distance.min() > 0.04  # root mean square; 0.09 measured


def test_breeds_are_told_apart_by_the_nearest_class_mean() -> None:
    breeds = np.arange(120) % len(BREEDS)
    known, unknown = cats_as_array(120, seed=0), cats_as_array(120, seed=1)
    means = np.stack([known[breeds == breed].mean(axis=0) for breed in range(len(BREEDS))])
    guesses = ((unknown[:, None] - means) ** 2).sum(axis=(2, 3, 4)).argmin(axis=1)
    assert (guesses == breeds).mean() > 0.7  # 0.91 measured; chance is 0.17
    for breed in range(len(BREEDS)):
        assert (guesses == breeds)[breeds == breed].mean() > 0.4


def test_a_cat_stands_out_from_its_backdrop() -> None:
    """The picture's middle, where the face is, holds far more detail than its left and right edges."""
    cats = cats_as_array(60, seed=2)
    detail = np.abs(np.diff(cats, axis=1)).mean(axis=(0, 1, 3))
    assert detail[8:24].mean() > 2 * np.concatenate([detail[:3], detail[-3:]]).mean()


def test_unknown_breed_and_too_small_a_size_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"'dog'.*tabby"):
        render_cat("dog", 32, rng)
    with pytest.raises(ValueError, match=r"\b8 pixels\b.*\b7\b"):
        render_cat("tabby", 7, rng)


# the data set


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"count": 0}, r"^count .*\b1\b.*\b0\b"),
        ({"size": 7}, r"^size .*\b8\b.*\b7\b"),
        ({"seed": -1}, "^seed .*-1"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        RenderedCats(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("count", [2, 20])
def test_prepare_makes_a_balanced_image_folder(tmp_path: Path, count: int) -> None:
    source = RenderedCats(count=count, size=16, folder=str(tmp_path / "new" / "data"))
    assert isinstance(source, DataSource)
    root = source.prepare()
    assert root.parent == tmp_path / "new" / "data"
    assert root.name.startswith(f"rendered-cats-{count}x16-seed0")
    sizes = {folder.name: len(list(folder.iterdir())) for folder in root.iterdir()}
    assert sorted(sizes) == list(BREEDS[:count])
    assert sum(sizes.values()) == count
    assert max(sizes.values()) - min(sizes.values()) <= 1
    for path in root.rglob("*.png"):
        with Image.open(path) as image:
            assert (image.format, image.mode, image.size) == ("PNG", "RGB", (16, 16))
    assert [path.name for path in root.parent.iterdir()] == [root.name]


def test_image_i_depends_on_the_seed_and_i_alone(tmp_path: Path) -> None:
    small = contents(RenderedCats(count=7, size=16, folder=tmp_path / "a").prepare())
    large = contents(RenderedCats(count=13, size=16, folder=tmp_path / "b").prepare())
    other = contents(RenderedCats(count=7, size=16, seed=1, folder=tmp_path / "a").prepare())
    assert small == {name: large[name] for name in small}
    assert small.keys() == other.keys()
    assert all(small[name] != other[name] for name in small)
    with Image.open(tmp_path / "b" / RenderedCats(13, 16).target.name / BREEDS[2] / "00008.png") as image:
        assert image.tobytes() == render_cat(BREEDS[2], 16, np.random.default_rng((0, 8))).tobytes()


def test_a_second_prepare_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = RenderedCats(count=6, size=8, folder=tmp_path).prepare()
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    monkeypatch.setattr(rendered_cats, "render_cat", lambda *_: pytest.fail("drawn again"))
    assert RenderedCats(count=6, size=8, folder=tmp_path).prepare() == root
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}


def test_another_drawing_version_is_another_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = RenderedCats(count=6, size=8, folder=tmp_path).prepare()
    monkeypatch.setattr(rendered_cats, "RENDERING_VERSION", rendered_cats.RENDERING_VERSION + 1)
    assert RenderedCats(count=6, size=8, folder=tmp_path).prepare() != old


# what is published is whole


@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_build_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    source = RenderedCats(count=12, size=8, folder=tmp_path)
    left = iter(range(7))

    def draw_seven(breed: str, size: int, rng: np.random.Generator) -> Image.Image:
        if next(left, None) is None:
            raise error
        return render_cat(breed, size, rng)

    with monkeypatch.context() as patch:
        patch.setattr(rendered_cats, "render_cat", draw_seven)
        with pytest.raises(type(error)):
            source.prepare()
    assert list(tmp_path.iterdir()) == []
    assert len(contents(source.prepare())) == 12


def draw_one_file(source: RenderedCats, draft: Path) -> None:
    draft.mkdir()
    (draft / "whole").touch()


def test_a_killed_build_is_not_trusted_and_is_swept_up_after_a_day(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = (
        "import sys, time; from datamodules.sources import rendered_cats as d; draw = d.render_cat\n"
        "d.render_cat = lambda *a: (time.sleep(0.05), draw(*a))[1]\n"
        "d.RenderedCats(600, 8, folder=sys.argv[1]).prepare()"
    )
    here = Path(rendered_cats.__file__).parents[2]
    builder = subprocess.Popen([sys.executable, "-c", program, tmp_path], cwd=here, stderr=subprocess.DEVNULL)
    while not any(tmp_path.rglob("*.png")):
        assert builder.poll() is None
        time.sleep(0.02)
    builder.kill()
    builder.wait()
    (leftover,) = tmp_path.iterdir()

    source = RenderedCats(600, 8, folder=tmp_path)
    monkeypatch.setattr(RenderedCats, "_draw_all", draw_one_file)
    assert [path.name for path in source.prepare().iterdir()] == ["whole"]
    assert leftover.exists()  # less than a day old: its process may still be alive

    (source.target / "whole").unlink()  # an empty folder of the right name is no data set either
    two_days_ago = time.time() - 2 * 86400
    os.utime(leftover, (two_days_ago, two_days_ago))
    assert [path.name for path in source.prepare().iterdir()] == ["whole"]
    assert list(tmp_path.iterdir()) == [source.target]


def test_the_slower_of_two_builds_takes_what_the_faster_has_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow, fast = (RenderedCats(count=6, size=8, folder=tmp_path) for _ in range(2))
    published: list[int] = []

    def be_overtaken(breed: str, size: int, rng: np.random.Generator) -> Image.Image:
        monkeypatch.setattr(rendered_cats, "render_cat", render_cat)
        published.append(fast.prepare().stat().st_ino)
        return render_cat(breed, size, rng)

    monkeypatch.setattr(rendered_cats, "render_cat", be_overtaken)
    assert slow.prepare().stat().st_ino == published[0]
    assert list(tmp_path.iterdir()) == [slow.target]
    assert len(contents(slow.target)) == 6


def test_a_target_that_cannot_be_replaced_is_an_error(tmp_path: Path) -> None:
    source = RenderedCats(count=1, size=8, folder=tmp_path)
    source.target.write_text("a file of this name")
    with pytest.raises(OSError, match="irectory"):
        source.prepare()
    assert list(tmp_path.iterdir()) == [source.target]


def prepare_together(
    barrier: threading.Barrier, answers: queue.Queue[dict[str, bytes]], folder: Path
) -> None:
    barrier.wait(60)
    answers.put(contents(RenderedCats(count=30, size=16, folder=folder).prepare()))


def test_two_processes_at_once_both_get_the_whole_folder(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    barrier, answers = context.Barrier(2), context.Queue()
    together = [
        context.Process(target=prepare_together, args=(barrier, answers, tmp_path / "shared"))
        for _ in range(2)
    ]
    for process in together:
        process.start()
    first, second = answers.get(timeout=120), answers.get(timeout=120)
    for process in together:
        process.join(60)
        assert process.exitcode == 0
    answers.close()
    alone = RenderedCats(count=30, size=16, folder=tmp_path / "alone").prepare()
    assert first == second == contents(alone)
    assert [path.name for path in (tmp_path / "shared").iterdir()] == [alone.name]
