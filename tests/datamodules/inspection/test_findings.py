from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from datamodules.decode.decode import Limits
from datamodules.index.index import Rejected, scan_folder
from datamodules.inspection.facts import inspect_images
from datamodules.inspection.findings import findings
from datamodules.inspection.inspection import Inspection, to_quarantine
from tests.helpers.scenes import scene


def inspection(root: Path, image_size: int = 64, parameters: int | None = None) -> Inspection:
    index = scan_folder(root)
    seen = inspect_images(index, np.arange(len(index)), Limits(), 0, lambda _: None)
    return Inspection(index, seen, image_size, parameters)


def names(found: Inspection, rows: np.ndarray) -> list[str]:
    return [found.index.paths[row] for row in rows]


def test_everything_is_found(folder: Path) -> None:
    found = inspection(folder)
    assert found.class_counts == {"cats": 17, "dogs": 3}
    assert [path for path, _ in found.rejected] == ["dogs/empty.jpg", "dogs/page.jpg"]
    copies = [names(found, group) for group in found.copies]
    assert copies == [["cats/00.png", "cats/copy.png"], ["cats/02.png", "dogs/cat.png"]]
    assert [names(found, group) for group in found.lookalikes] == [["cats/01.png", "cats/small.jpg"]]
    assert [names(found, group) for group in found.mixed] == [["cats/02.png", "dogs/cat.png"]]
    assert names(found, found.bordered) == ["cats/barred.png"]
    assert names(found, found.flat) == ["cats/blank.png"]
    assert names(found, found.misnamed) == ["cats/webp.jpg"]
    assert found.distinct == 17
    assert found.kinds["PNG RGB"] == 16


def test_conclusions_come_worst_first_and_say_what_to_do(folder: Path) -> None:
    conclusions = findings(inspection(folder, parameters=10**6))
    levels = [finding.level for finding in conclusions]
    assert levels == sorted(levels, key=["problem", "look", "good"].index)
    titles = " / ".join(finding.title for finding in conclusions)
    for part in (
        ": 2 of 22",
        "class: 1",
        "copies: 2, near duplicates: 1",
        "bars: 1",
        "color: 1",
        ": 1 .heic",
        "ending: 1",
        " 10 images: 1",
        "17 distinct",
    ):
        assert part in titles
    assert all(finding.advice for finding in conclusions)


def test_parts_of_a_data_set_are_a_problem(tmp_path: Path) -> None:
    for name in ("train", "val"):
        (tmp_path / "set" / name / "@eaDir").mkdir(parents=True)
        for number in range(10):
            scene(number + 50 * (name == "val")).save(tmp_path / "set" / name / f"{number}.png")
    worst, *others = findings(inspection(tmp_path / "set"))
    assert worst.level == "problem"
    assert "train, val" in worst.title
    assert "--data.split_folders merge" in worst.advice
    assert "(@eaDir)" in " ".join(finding.title for finding in others)


def test_a_sound_folder_is_called_so(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "sound" / name).mkdir(parents=True)
        for number in range(10):
            scene(number + 50 * (name == "b")).save(tmp_path / "sound" / name / f"{number}.png")
    assert {finding.level for finding in findings(inspection(tmp_path / "sound", parameters=1000))} == {
        "good"
    }


@pytest.mark.parametrize(("parameters", "level"), [(10**6, "problem"), (20_000, "look"), (1000, "good")])
def test_capacity_is_measured_in_pixel_values(folder: Path, parameters: int, level: str) -> None:
    found = inspection(folder, 64, parameters)
    assert found.values_per_parameter == 17 * 3 * 64 * 64 / parameters
    (capacity,) = (finding for finding in findings(found) if "distinct images" in finding.title)
    assert capacity.level == level


def test_suggested_size_is_one_that_nine_in_ten_reach(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    for number in range(20):
        side = 40 if number < 2 else 200
        scene(number, side, 2 * side).save(tmp_path / "images" / f"{number}.png")
    found = inspection(tmp_path / "images", 256)
    assert (found.share_enlarged(64), found.share_enlarged(256)) == (0.1, 1.0)
    assert found.suggested_size == 128
    assert "100% of the images are smaller than 256 px" in [finding.title for finding in findings(found)]


def test_quarantine_holds_what_is_asked_for_and_keeps_the_largest(folder: Path) -> None:
    found = inspection(folder)
    rejected = ["dogs/empty.jpg", "dogs/page.jpg"]
    assert [path for path, _ in to_quarantine(found, ())] == rejected
    copies = to_quarantine(found, ["copies"])
    assert Rejected("cats/copy.png", "a copy of cats/00.png") in copies
    assert [path for path, _ in copies] == sorted([*rejected, "cats/copy.png", "dogs/cat.png"])
    assert Rejected("cats/small.jpg", "looks like cats/01.png") in to_quarantine(found, ["lookalikes"])
    others = [path for path, _ in to_quarantine(found, ["borders", "flat"])]
    assert others == sorted([*rejected, "cats/barred.png", "cats/blank.png"])


def test_chain_of_copies_and_lookalikes_ends_at_the_file_that_stays(tmp_path: Path) -> None:
    root = tmp_path / "images"
    root.mkdir()
    scene(0, 60, 45).save(root / "a.png")
    (root / "b.png").write_bytes((root / "a.png").read_bytes())
    scene(0, 60, 45).resize((240, 180)).save(root / "c.png")
    files = dict(to_quarantine(inspection(root), ["copies", "lookalikes"]))
    assert files == {"a.png": "looks like c.png", "b.png": "looks like c.png"}


def test_the_list_that_is_written_cures_what_was_found(folder: Path, tmp_path: Path) -> None:
    from datamodules.index.quarantine import write_quarantine

    everything = ["copies", "lookalikes", "borders", "flat"]
    write_quarantine(tmp_path / "bad.txt", to_quarantine(inspection(folder), everything))
    index = scan_folder(folder, quarantine=tmp_path / "bad.txt")
    seen = inspect_images(index, np.arange(len(index)), Limits(), 0, lambda _: None)
    cured = Inspection(index, seen, 64)
    assert not cured.rejected
    assert not cured.surplus
    assert not cured.mixed
    assert not len(cured.bordered)
    assert not len(cured.flat)
    assert len(to_quarantine(cured, ())) == len(index.quarantined)  # an earlier list stays in force
