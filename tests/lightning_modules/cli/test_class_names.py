"""Class folders whose names mean something else to a YAML, a command line or a reader."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from lightning_modules.conditioning.class_choice import spelled
from lightning_modules.trained.checkpoint import checkpoint_classes
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, tiny

pytestmark = LIGHTNING_WARNINGS

NAMES = (
    "none",
    "null",
    "yes",
    "1",
    "2",
    "10",
    "1.0",
    "1e5",
    "~",
    " x",
    "a, b",
    'c"',
    "#1",
    "[d]",
    "é",
    "--n",
)


@pytest.fixture(scope="module")
def named(cats: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A tiny run on classes of such names, continued once."""
    folder = tmp_path_factory.mktemp("named")
    images = sorted(cats.rglob("*.png"))
    for number, name in enumerate(NAMES):
        (folder / "images" / name).mkdir(parents=True)
        for image in images[number % 4 :: 4]:
            shutil.copy(image, folder / "images" / name / image.name)
    args = [*tiny(folder / "images", folder), "--experiment", "named"]
    load_script("fit").main(args)
    load_script("fit").main([*args, "--trainer.max_steps", "6"])
    return Run((folder / "runs" / "named" / "latest").resolve())


def test_training_and_going_on_keep_the_names(named: Run) -> None:
    checkpoint = named.folder / "checkpoints" / "last.ckpt"
    assert checkpoint_classes(checkpoint) == tuple(sorted(NAMES))
    assert named.checkpoint()["global_step"] == 6


def test_every_class_is_drawn_by_its_name_and_its_place(named: Run, tmp_path: Path) -> None:
    by_name = ",".join(map(spelled, sorted(NAMES)))
    by_place = ",".join(f"/{place}" for place in range(len(NAMES)))
    for out, labels in (("names", by_name), ("places", by_place), ("all", None)):
        args = [str(named.folder), "--n", str(len(NAMES)), "--out", str(tmp_path / out)]
        load_script("sample").main([*args, *([] if labels is None else [f"--labels={labels}"])])
    for name in ("sampling.json", *(f"{index:05d}.png" for index in range(len(NAMES)))):
        drawn = {(tmp_path / out / name).read_bytes() for out in ("names", "places", "all")}
        assert len(drawn) == 1


def test_the_class_none_is_not_the_null_label(named: Run, tmp_path: Path) -> None:
    told = []
    for out, labels in (("class", "none"), ("null", "/none")):
        load_script("sample").main(
            [str(named.folder), "--n", "1", "--labels", labels, "--out", str(tmp_path / out)]
        )
        told.append(json.loads((tmp_path / out / "sampling.json").read_text())["labels"])
    assert told == [["none"], [None]]
    assert (tmp_path / "class" / "00000.png").read_bytes() != (tmp_path / "null" / "00000.png").read_bytes()
