"""Where drawn images are kept, and drawing that was interrupted."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from command_line import LIGHTNING_WARNINGS, SCRIPTS, Run, load_script, python, refusal
from PIL import Image

pytestmark = LIGHTNING_WARNINGS

SIX = ["--n", "6", "--batch-size", "2"]


def sample(run: Run, out: Path, *args: str) -> Path:
    load_script("sample").main([str(run.folder), "--out", str(out), *args])
    return out


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def pictures(folder: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("[0-9]*.png"))])


# One file


def test_array_holds_the_images_and_labels_of_the_folder(trained: Run, tmp_path: Path) -> None:
    folder = sample(trained, tmp_path / "folder", *SIX, "--labels", "tabby,none")
    out = sample(trained, tmp_path / "set.npz", *SIX, "--labels", "tabby,none")
    with np.load(out) as archive:
        np.testing.assert_array_equal(archive["arr_0"], pictures(folder))
        assert archive["arr_0"].dtype == np.uint8
        assert archive["arr_1"].tolist() == [4, 6] * 3
    beside = {"folder", "here", "set.grid.png", "set.npz", "set.npz.json", "xdg"}
    assert names(tmp_path) <= beside
    assert (tmp_path / "set.grid.png").read_bytes() == (folder / "grid.png").read_bytes()


def test_array_grows(trained: Run, tmp_path: Path) -> None:
    out = sample(trained, tmp_path / "set.npz", "--n", "3", "--batch-size", "2")
    sample(trained, out, *SIX)
    whole = sample(trained, tmp_path / "whole.npz", *SIX)
    with np.load(out) as grown, np.load(whole) as once:
        assert np.abs(grown["arr_0"].astype(int) - once["arr_0"]).max() <= 1
        np.testing.assert_array_equal(grown["arr_1"], once["arr_1"])


# Going on


def test_the_same_command_again_draws_nothing(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for out in (tmp_path / "folder", tmp_path / "set.npz"):
        sample(trained, out, *SIX)
    before = contents(tmp_path / "folder"), (tmp_path / "set.npz").read_bytes()

    def no_drawing(*_: object) -> None:
        pytest.fail("an image was drawn again")

    monkeypatch.setattr("lightning_modules.sample_command.draw_batch", no_drawing)
    for out in (tmp_path / "folder", tmp_path / "set.npz"):
        sample(trained, out, *SIX)
    assert (contents(tmp_path / "folder"), (tmp_path / "set.npz").read_bytes()) == before


@pytest.mark.parametrize("name", ["folder", "set.npz"])
def test_interrupted_drawing_ends_as_if_it_had_not_been(
    name: str, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lightning_modules import sample_command

    whole = sample(trained, tmp_path / "whole" / name, *SIX)
    drawn, once = [], sample_command.draw_batch

    def stops(*args: object) -> object:
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(args)
        return once(*args)

    monkeypatch.setattr(sample_command, "draw_batch", stops)
    with pytest.raises(SystemExit, match="the same command goes on"):
        sample(trained, tmp_path / "cut" / name, *SIX)
    monkeypatch.setattr(sample_command, "draw_batch", once)
    cut = sample(trained, tmp_path / "cut" / name, *SIX)
    assert contents(cut if name == "folder" else cut.parent).keys() == (
        contents(whole if name == "folder" else whole.parent).keys()
    )
    if name == "folder":
        assert contents(cut) == contents(whole)
    else:
        with np.load(cut) as one, np.load(whole) as other:
            np.testing.assert_array_equal(one["arr_0"], other["arr_0"])


def test_killed_drawing_goes_on_bit_for_bit(trained: Run, tmp_path: Path) -> None:
    args = ["--n", "40", "--batch-size", "1", "--steps", "40"]
    command = [sys.executable, str(SCRIPTS / "sample.py"), str(trained.folder), "--out", "cut", *args]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 200
    while not (tmp_path / "cut" / "00002.png").is_file() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert {"drawing.json", "00002.png"} <= names(tmp_path / "cut")
    sample(trained, tmp_path / "cut", *args)
    whole = sample(trained, tmp_path / "whole", *args)
    np.testing.assert_array_equal(pictures(tmp_path / "cut"), pictures(whole))


def test_more_images_are_added(trained: Run, tmp_path: Path) -> None:
    out = sample(trained, tmp_path / "out", "--n", "4", "--batch-size", "2")
    first = contents(out)
    sample(trained, out, *SIX)
    assert pictures(out).shape[0] == 6
    assert {name: contents(out)[name] for name in first if name[0] == "0"} == {
        name: data for name, data in first.items() if name[0] == "0"
    }


@pytest.mark.parametrize(
    ("args", "says"),
    [
        (["--seed", "1"], "seed is 0, not 1"),
        (["--steps", "7"], "sampling.steps is 2, not 7"),
        (["--labels", "tabby"], "not tabby"),
        (["--guidance", "2"], "sampling.guidance is 1.0, not 2.0"),
        (["--n", "3"], "n is 6, not 3"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("name", ["folder", "set.npz"])
def test_other_settings_are_refused_and_named(
    name: str,
    args: list[str],
    says: str,
    trained: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = sample(trained, tmp_path / "there" / name, *SIX)
    before = contents(tmp_path / "there" if out.suffix else out)
    status, message = refusal([str(trained.folder), "--out", str(out), *SIX, *args], capsys, "sample")
    assert status == 1
    last = message.strip().splitlines()[-1]
    assert last.startswith("error: ")
    assert says in last
    assert "--fresh" in last
    assert contents(tmp_path / "there" if out.suffix else out) == before


@pytest.mark.parametrize("name", ["folder", "set.npz"])
def test_fresh_replaces(name: str, trained: Run, tmp_path: Path) -> None:
    out = sample(trained, tmp_path / name, *SIX)
    sample(trained, out, "--n", "2", "--seed", "1", "--fresh")
    expected = sample(trained, tmp_path / f"other-{name}", "--n", "2", "--seed", "1")
    if name == "folder":
        assert contents(out) == contents(expected)
    else:
        with np.load(out) as one, np.load(expected) as other:
            np.testing.assert_array_equal(one["arr_0"], other["arr_0"])


@pytest.mark.parametrize("fresh", [[], ["--fresh"]], ids=str)
def test_somebody_s_own_pictures_are_left_alone(
    fresh: list[str], trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "mine" / "00000.png")
    before = contents(tmp_path / "mine")
    args = [str(trained.folder), "--out", str(tmp_path / "mine"), *fresh]
    status, message = refusal(args, capsys, "sample")
    assert status == 1
    assert "no drawing.json" in message
    assert contents(tmp_path / "mine") == before


def test_manifest_names_what_the_images_depend_on(trained: Run, tmp_path: Path) -> None:
    out = sample(trained, tmp_path / "out", "--n", "2", "--interval", "0.1", "2", "--guidance", "3")
    told = json.loads((out / "drawing.json").read_text())
    assert told["model"]["weights"] == "averaged"
    assert told["model"]["step"] == 4
    assert len(told["model"]["sha256"]) == 64
    assert told["sampling"]["guidance_interval"] == [0.1, 2.0]
    assert told["labels"].startswith("calico,ginger")


# Parts


@pytest.mark.parametrize("name", ["folder", "set.npz"])
def test_parts_together_draw_what_one_process_draws(
    name: str,
    trained: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = sample(trained, tmp_path / "whole" / name, *SIX)
    shared = tmp_path / "shared" / name
    sample(trained, shared, *SIX, "--part", "2/2")
    assert "part 2 of 2 is drawn" in capsys.readouterr().out
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    sample(trained, shared, *SIX)
    assert "6 images" in capsys.readouterr().out
    if name == "folder":
        assert contents(shared) == contents(whole)
    else:
        with np.load(shared) as one, np.load(whole) as other:
            np.testing.assert_array_equal(one["arr_0"], other["arr_0"])


def test_fresh_and_parts_exclude_each_other(trained: Run, capsys: pytest.CaptureFixture[str]) -> None:
    status, message = refusal([str(trained.folder), "--fresh", "--part", "1/2"], capsys, "sample")
    assert status == 2
    assert "--fresh" in message


# Pictures


def test_pictures_of_classes_interpolation_and_denoising(trained: Run, tmp_path: Path) -> None:
    out = sample(trained, tmp_path / "out", "--n", "4", "--classes", "--interpolation", "--video")
    wanted = ["classes.png", "interpolation.png", "denoising.png", "denoising.gif", "grid.png"]
    assert set(wanted) <= names(out)
    sizes = {}
    for name in wanted:
        with Image.open(out / name) as picture:
            sizes[name] = picture.size
    assert sizes["classes.png"] == (8 * (6 * 16 + 5 * 2), 8 * (4 * 16 + 3 * 2))
    assert sizes["interpolation.png"] == (8 * (8 * 16 + 7 * 2), 8 * (4 * 16 + 3 * 2))
    assert sizes["denoising.png"] == (8 * (2 * 16 + 2), 8 * (4 * 16 + 3 * 2))
    with Image.open(out / "denoising.gif") as film:
        assert film.n_frames == 2
    assert pictures(out).shape[0] == 4


# Guidance


def test_guide_run_changes_the_images(trained: Run, tmp_path: Path) -> None:
    early = trained.folder / "checkpoints" / "step=00000002.ckpt"
    plain = sample(trained, tmp_path / "plain", "--n", "2")
    guided = sample(trained, tmp_path / "guided", "--n", "2", "--guidance", "3", "--guide-run", str(early))
    assert np.abs(pictures(plain).astype(int) - pictures(guided)).max() > 1
    told = json.loads((guided / "drawing.json").read_text())
    assert told["guide"]["step"] == 2


@pytest.mark.parametrize("args", [["--interval", "0", "1"], ["--guide-run", "."]], ids=" ".join)
def test_guidance_that_does_nothing_is_refused(
    args: list[str], trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if args[0] == "--guide-run":
        args = [args[0], str(trained.folder)]
    status, message = refusal([str(trained.folder), "--out", str(tmp_path / "out"), *args], capsys, "sample")
    assert status == 1
    assert f"{args[0]} does nothing" in message
    assert not (tmp_path / "out").exists()


def test_script_and_package_know_the_same_names() -> None:
    from typing import get_args

    from lightning_modules.sampling import GridName, SamplerName, Threshold

    script = load_script("sample")
    assert list(get_args(SamplerName)) == script.SAMPLERS
    assert list(get_args(GridName)) == script.GRIDS
    assert list(get_args(Threshold)) == script.THRESHOLDS


def test_help_needs_no_torch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = python("sample.py", "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "torchrun" in result.stdout
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "argparse" in imported
    assert "torch" not in imported
