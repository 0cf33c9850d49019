"""Where samples are kept, and sampling that was interrupted."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.utils.exit_codes import RESUME
from tests.helpers.command_line import LIGHTNING_WARNINGS, SCRIPTS, Run, load_script, python, refusal

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


def test_the_same_command_again_samples_nothing(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for out in (tmp_path / "folder", tmp_path / "set.npz"):
        sample(trained, out, *SIX)
    before = contents(tmp_path / "folder"), (tmp_path / "set.npz").read_bytes()

    def no_sampling(*_: object) -> None:
        pytest.fail("an image was sampled again")

    monkeypatch.setattr("lightning_modules.cli.sample.sample_batch", no_sampling)
    for out in (tmp_path / "folder", tmp_path / "set.npz"):
        sample(trained, out, *SIX)
    assert (contents(tmp_path / "folder"), (tmp_path / "set.npz").read_bytes()) == before


@pytest.mark.parametrize("name", ["folder", "set.npz"])
def test_interrupted_sampling_ends_as_if_it_had_not_been(
    name: str,
    trained: Run,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from lightning_modules.cli import sample as sample_command

    whole = sample(trained, tmp_path / "whole" / name, *SIX)
    taken, once = [], sample_command.sample_batch

    def stops(*args: object) -> object:
        if len(taken) == 2:
            raise KeyboardInterrupt
        taken.append(args)
        return once(*args)

    monkeypatch.setattr(sample_command, "sample_batch", stops)
    with pytest.raises(SystemExit) as stop:
        sample(trained, tmp_path / "cut" / name, *SIX)
    assert stop.value.code == RESUME
    assert "same command" in capsys.readouterr().err
    monkeypatch.setattr(sample_command, "sample_batch", once)
    cut = sample(trained, tmp_path / "cut" / name, *SIX)
    assert contents(cut if name == "folder" else cut.parent).keys() == (
        contents(whole if name == "folder" else whole.parent).keys()
    )
    if name == "folder":
        assert contents(cut) == contents(whole)
    else:
        with np.load(cut) as one, np.load(whole) as other:
            np.testing.assert_array_equal(one["arr_0"], other["arr_0"])


@pytest.mark.slow
def test_killed_sampling_goes_on_bit_for_bit(trained: Run, tmp_path: Path) -> None:
    args = ["--n", "40", "--batch-size", "1", "--steps", "40"]
    command = [sys.executable, str(SCRIPTS / "sample.py"), str(trained.folder), "--out", "cut", *args]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 200
    while not (tmp_path / "cut" / "00002.png").is_file() and time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert {"sampling.json", "00002.png"} <= names(tmp_path / "cut")
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
        (["--labels", "tabby"], "not ['tabby']"),
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
    assert "sampling.json" in message
    assert contents(tmp_path / "mine") == before


def test_manifest_names_what_the_images_depend_on(trained: Run, tmp_path: Path) -> None:
    out = sample(trained, tmp_path / "out", "--n", "2", "--interval", "0.1", "2", "--guidance", "3")
    told = json.loads((out / "sampling.json").read_text())
    assert told["model"]["weights"] == "averaged"
    assert told["model"]["step"] == 4
    assert len(told["model"]["sha256"]) == 64
    assert told["sampling"]["guidance_interval"] == [0.1, 2.0]
    assert told["labels"][:2] == ["calico", "ginger"]


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
    assert "2 of 2" in capsys.readouterr().out
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
    for name, (columns, rows) in {"classes": (6, 4), "interpolation": (8, 4), "denoising": (2, 4)}.items():
        width, height = sizes[f"{name}.png"]
        assert 128 * columns < width < 128 * (columns + 2)
        assert 128 * rows < height < 128 * (rows + 1)
    with Image.open(out / "denoising.gif") as film:
        assert film.n_frames == 2
    assert pictures(out).shape[0] == 4


# Guidance


def test_guide_run_changes_the_images(trained: Run, tmp_path: Path) -> None:
    early = trained.folder / "checkpoints" / "step=00000002.ckpt"
    plain = sample(trained, tmp_path / "plain", "--n", "2")
    guided = sample(trained, tmp_path / "guided", "--n", "2", "--guidance", "3", "--guide-run", str(early))
    assert np.abs(pictures(plain).astype(int) - pictures(guided)).max() > 1
    told = json.loads((guided / "sampling.json").read_text())
    assert told["guide"]["step"] == 2


@pytest.mark.parametrize("args", [["--interval", "0", "1"], ["--guide-run", "."]], ids=" ".join)
def test_guidance_that_does_nothing_is_refused(
    args: list[str], trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if args[0] == "--guide-run":
        args = [args[0], str(trained.folder)]
    status, message = refusal([str(trained.folder), "--out", str(tmp_path / "out"), *args], capsys, "sample")
    assert status == 1
    assert f"{args[0]} " in message
    assert "--guidance 2" in message
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "args",
    [
        *(["--n", value] for value in ("0", "-1", "1e9", "100000000000", "many")),
        *(["--seed", value] for value in ("-1", "1.5", "9" * 20)),
        *(["--steps", value] for value in ("0", "-3", "1000000000")),
        *(["--nfe", value] for value in ("0", "1000000000")),
        *(["--shift", value] for value in ("0", "-1", "nan", "inf")),
        *(["--sigma-min", value] for value in ("0", "-1", "nan", "inf")),
        *(["--guidance", value] for value in ("nan", "inf", "strong")),
        *(["--interval", *value] for value in (("3", "1"), ("1", "1"), ("-1", "2"), ("nan", "2"))),
        *(["--guide-length", value] for value in ("-0.1", "0.3", "nan")),
        *(["--churn", value] for value in ("-1", "nan", "inf")),
        *(["--batch-size", value] for value in ("0", "-1")),
        *(["--part", value] for value in ("0/2", "3/2", "1/0", "1", "a/b", "²/3")),
        *(["--weights", value] for value in ("ema=", "ema=nan", "ema=0", "ema=inf", "mean")),
        ["--sampler", "heum"],
    ],
    ids=" ".join,
)
def test_an_option_out_of_its_range_is_refused_before_anything_is_looked_at(
    args: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = refusal([str(tmp_path / "no-run"), *args], capsys, "sample")
    assert status == 2
    assert f"error: {args[0]}: " in message


@pytest.mark.parametrize(
    ("args", "says"),
    [(["--sigma-min", "30"], "sigma_min"), (["--guide-length", "0.1", "--guidance", "2"], "guide_length")],
    ids=str,
)
def test_settings_that_do_not_fit_the_run_are_refused_before_anything_is_written(
    args: list[str], says: str, trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = refusal([str(trained.folder), "--out", str(tmp_path / "out"), *args], capsys, "sample")
    assert status == 1
    assert says in message.strip().splitlines()[-1]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rank", "world"), [("x", "2"), ("0", "two"), ("2", "2"), ("-1", "2"), ("0", "0"), ("1", "")]
)
def test_a_share_of_the_environment_that_is_none_is_refused_by_name(
    rank: str,
    world: str,
    trained: Run,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    status, message = refusal([str(tmp_path / "no-run")], capsys, "sample")
    assert status == 2
    assert "RANK=" in message.strip().splitlines()[-1]
    out = sample(trained, tmp_path / "out", "--n", "1", "--part", "1/1")  # --part goes before it
    assert "00000.png" in names(out)


def test_an_empty_share_of_the_environment_is_none(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.setenv(name, "")
    assert {"00000.png", "grid.png"} <= names(sample(trained, tmp_path / "out", "--n", "1"))


# Places


@pytest.fixture
def own(trained: Run, tmp_path: Path) -> Run:
    """A copy of the run to draw into."""
    return Run(shutil.copytree(trained.folder, tmp_path / "own", symlinks=True))


SETTINGS = (
    [],
    ["--seed", "1"],
    ["--labels", "tabby"],
    ["--labels", "none"],
    ["--weights", "raw"],
    ["--steps", "3"],
    ["--sampler", "euler"],
    ["--guidance", "2"],
    ["--guidance", "2", "--interval", "0.1", "5"],
    ["--guidance", "2", "--interval", "0.1", "inf"],
    ["--guidance", "2", "--guide-run", "{run}/checkpoints/step=00000002.ckpt"],
    ["--threshold", "clip"],
    ["--sampler", "stochastic_heun", "--churn", "3"],
    ["--labels", ",".join(["tabby", "siamese", "calico"] * 20)],
    ["--labels", ",".join(["tabby", "siamese", "calico"] * 20), "--seed", "1"],
)


@pytest.mark.slow
def test_without_a_place_other_settings_take_another_folder(own: Run) -> None:
    for again in range(2):
        for args in SETTINGS:
            filled = [arg.format(run=own.folder) for arg in args]
            load_script("sample").main([str(own.folder), "--n", "2", *filled])
        folders = list((own.folder / "sampled").iterdir())
        assert len(folders) == len(SETTINGS), again
    assert len({(folder / "sampling.json").read_bytes() for folder in folders}) == len(SETTINGS)
    called = {folder.name for folder in folders}
    assert {"step=00000004", "step=00000004-seed=1", "step=00000004-labels=tabby"} <= called
    assert all(len(name) < 120 for name in called)


def test_without_a_place_more_are_added_and_fewer_change_nothing(
    own: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    out = own.folder / "sampled" / "step=00000004"
    load_script("sample").main([str(own.folder), "--n", "2"])
    load_script("sample").main([str(own.folder), "--n", "5"])
    before = {name: data for name, data in contents(out).items() if name != "grid.png"}
    load_script("sample").main([str(own.folder), "--n", "3"])
    assert {name: data for name, data in contents(out).items() if name != "grid.png"} == before
    assert "3 images" in capsys.readouterr().out.splitlines()[-1]


def test_without_a_place_images_of_something_else_are_left_alone(own: Run) -> None:
    mine = own.folder / "sampled" / "step=00000004"
    mine.mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(mine / "00000.png")
    before = contents(mine)
    load_script("sample").main([str(own.folder), "--n", "1"])
    assert contents(mine) == before
    assert len(list((own.folder / "sampled").iterdir())) == 2


@pytest.mark.parametrize(
    "name", ["a.png", "a.JPG", "a.npy", "a.safetensors", "file", "folder.npz", "foreign.npz", "text.npz"]
)
def test_a_place_that_can_hold_no_images_is_refused_in_a_line(
    name: str, trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.npz").mkdir()
    np.savez(tmp_path / "foreign.npz", mine=np.zeros(3))
    (tmp_path / "text.npz").write_text("mine")
    before = sorted(tmp_path.iterdir())
    out = tmp_path / name
    status, message = refusal([str(trained.folder), "--n", "1", "--out", str(out)], capsys, "sample")
    assert status == 1
    assert "--out" in message
    assert len(message.splitlines()) == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("damage", ["", "{", "[]", "null"])
def test_a_damaged_manifest_is_named(
    damage: str, trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = sample(trained, tmp_path / "out", "--n", "1")
    (out / "sampling.json").write_text(damage)
    status, message = refusal([str(trained.folder), "--n", "1", "--out", str(out)], capsys, "sample")
    assert status == 1
    assert "sampling.json" in message
    assert "--fresh" in message
    sample(trained, out, "--n", "1", "--fresh")


# Evaluation


def test_every_file_that_is_drawn_is_a_sample_or_known_to_be_none(trained: Run, tmp_path: Path) -> None:
    from lightning_modules.evaluation.image_sets import folder_images

    every = ["--n", "4", "--classes", "--interpolation", "--video"]
    out = sample(trained, tmp_path / "tree" / "out", *every)
    sample(trained, tmp_path / "tree" / "out" / "beside.npz", *every)
    assert {"grid.png", "denoising.gif", "beside.grid.png", "beside.denoising.gif"} <= names(out)
    for folder in (out, tmp_path / "tree"):  # by itself, and as one class of several
        assert len(folder_images(folder, cache_dir=tmp_path / "cache").images) == 4


@pytest.mark.parametrize("script", ["sample.py", "evaluate.py"])
def test_help_needs_no_torch(script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPROFILEIMPORTTIME", "1")
    result = python(script, "--help", cwd=tmp_path)
    assert result.returncode == 0
    assert "--sampler" in result.stdout
    imported = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
    assert "argparse" in imported
    assert "torch" not in imported
