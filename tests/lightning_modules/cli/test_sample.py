from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lightning_modules.conditioning.class_labels import ClassLabels
from lightning_modules.diffusion.samplers.single_step import Churn
from lightning_modules.models import DiTDiffusion
from lightning_modules.pictures.sheets import Sheet
from lightning_modules.sampling import generate
from lightning_modules.sampling.settings import Sampling
from lightning_modules.sampling.stored import run_sampling
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, printed, python, refusal
from tests.helpers.tiny import classes

pytestmark = LIGHTNING_WARNINGS

CLASSES = ["calico", "ginger", "russian_blue", "siamese", "tabby", "tuxedo"]


def sample(run: Path, out: Path, *args: str) -> Path:
    load_script("sample").main([str(run), "--out", str(out), *args])
    return out


def pictures(folder: Path) -> np.ndarray:
    """The single images of a folder in order, (N, H, W, 3), as integers that can be subtracted."""
    paths = sorted(folder.glob("[0-9]*.png"))
    return np.stack([np.asarray(Image.open(path)) for path in paths]).astype(np.int64)


def sampled_with(run: Run, weights: str, labels: list[int]) -> np.ndarray:
    """What the module itself gives, with one of the two sets of weights in a checkpoint."""
    path = run.folder / "checkpoints" / "last.ckpt"
    model = DiTDiffusion.load_from_checkpoint(path, weights_only=True, map_location="cpu")
    model.load_state_dict(run.checkpoint()[weights])
    images = model.encoder.decode(generate.sample(model, classes(*labels), run_sampling(path), 0))
    return images.permute(0, 2, 3, 1).numpy().astype(np.int64)


# What is sampled


def test_grid_and_images_have_their_sizes(trained: Run, tmp_path: Path) -> None:
    out = sample(trained.folder, tmp_path / "out", "--n", "5")
    names = [f"{i:05d}.png" for i in range(5)]
    assert sorted(path.name for path in out.iterdir()) == [*names, "grid.png", "sampling.json"]
    assert pictures(out).shape == (5, 16, 16, 3)
    with Image.open(out / "grid.png") as grid:
        # Three columns, two rows, each pixel a square of 8.
        assert grid.width >= 3 * 128
        assert grid.height >= 2 * 128
        left, top = Sheet(3, captions=["a"]).place(0, (16, 16))
        corner = np.asarray(grid)[top : top + 128 : 8, left : left + 128 : 8].astype(np.int64)
    np.testing.assert_array_equal(corner, pictures(out)[0])


@pytest.mark.parametrize("place", ["run", "experiment", "checkpoint"])
def test_run_experiment_and_checkpoint_draw_the_same(place: str, trained: Run, tmp_path: Path) -> None:
    places = {
        "run": trained.folder,
        "experiment": trained.folder.parent,
        "checkpoint": trained.folder / "checkpoints" / "step=00000004.ckpt",
    }
    given = sample(places[place], tmp_path / "given", "--n", "2")
    np.testing.assert_array_equal(
        pictures(given), pictures(sample(trained.folder, tmp_path / "run", "--n", "2"))
    )


def test_averaged_weights_draw_and_not_the_raw_ones(trained: Run, tmp_path: Path) -> None:
    images = pictures(sample(trained.folder, tmp_path / "out", "--n", "6"))
    averaged, raw = (
        sampled_with(trained, weights, list(range(6))) for weights in ("state_dict", "current_model_state")
    )
    assert np.abs(images - averaged).max() <= 1
    assert np.abs(images - raw).max() > 8


def test_image_does_not_depend_on_the_batch_size(trained: Run, tmp_path: Path) -> None:
    by_two = pictures(sample(trained.folder, tmp_path / "two", "--n", "6", "--batch-size", "2"))
    by_three = pictures(sample(trained.folder, tmp_path / "three", "--n", "6", "--batch-size", "3"))
    assert np.abs(by_two - by_three).max() <= 1
    assert np.abs(by_two[0] - by_two[1]).max() > 8  # and they are not all one picture


def test_fewer_images_are_the_first_of_more(trained: Run, tmp_path: Path) -> None:
    more = pictures(sample(trained.folder, tmp_path / "more", "--n", "4"))
    fewer = pictures(sample(trained.folder, tmp_path / "fewer", "--n", "3"))
    assert np.abs(more[:3] - fewer).max() <= 1


@pytest.mark.parametrize(
    "args",
    [
        ["--seed", "1"],
        ["--steps", "5"],
        ["--nfe", "6"],
        ["--sampler", "ancestral"],
        ["--guidance", "4"],
    ],
    ids=" ".join,
)
def test_option_changes_the_images(args: list[str], trained: Run, tmp_path: Path) -> None:
    plain = pictures(sample(trained.folder, tmp_path / "plain", "--n", "2"))
    assert np.abs(pictures(sample(trained.folder, tmp_path / "other", "--n", "2", *args)) - plain).max() > 1


@pytest.mark.parametrize(
    "args",
    [
        ["--schedule", "log_snr"],
        ["--sigma-min", "0.4"],
        ["--interval", "0.1", "2"],
        ["--threshold", "clip"],
        ["--sampler", "unipc"],
    ],
    ids=" ".join,
)
def test_option_changes_images_of_more_steps(args: list[str], trained: Run, tmp_path: Path) -> None:
    given = ["--n", "2", "--steps", "5", "--guidance", "12"]
    plain = pictures(sample(trained.folder, tmp_path / "plain", *given))
    assert np.abs(pictures(sample(trained.folder, tmp_path / "other", *given, *args)) - plain).max() > 1


def test_default_folder_is_in_the_run(trained: Run, tmp_path: Path, elsewhere: Path) -> None:
    run = shutil.copytree(trained.folder, tmp_path / "copy", symlinks=True)
    load_script("sample").main([str(run), "--n", "1"])
    assert sorted(path.name for path in (run / "sampled" / "step=00000004").iterdir()) == [
        "00000.png",
        "grid.png",
        "sampling.json",
    ]
    assert not list(elsewhere.iterdir())


def test_every_setting_of_sampling_is_an_option_of_training(
    args: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    given = {
        "sampler": "stochastic_heun",
        "schedule": "flow",
        "shift": "3",
        "threshold": "clip",
        "churn.amount": "5",
    }
    options = [text for name, value in given.items() for text in (f"--sample_grid.sampling.{name}", value)]
    told = Sampling.from_dict(printed([*args, *options], capsys)["sample_grid"]["sampling"])
    assert told == Sampling(
        "stochastic_heun",
        2,
        "flow",
        shift=3.0,
        threshold="clip",
        churn=Churn(5.0),
        sigma_min=0.2,
        sigma_max=20.0,
    )


# Labels


def test_labels_by_name_and_by_number_are_the_same(trained: Run, tmp_path: Path) -> None:
    names = pictures(sample(trained.folder, tmp_path / "names", "--n", "3", "--labels", "tabby, calico"))
    numbers = pictures(sample(trained.folder, tmp_path / "numbers", "--n", "3", "--labels", "4,0"))
    np.testing.assert_array_equal(names, numbers)
    assert np.abs(names - sampled_with(trained, "state_dict", [4, 0, 4])).max() <= 1


def test_label_none_is_the_null_label(trained: Run, tmp_path: Path) -> None:
    images = pictures(sample(trained.folder, tmp_path / "none", "--n", "2", "--labels", "none"))
    assert np.abs(images - sampled_with(trained, "state_dict", [6, 6])).max() <= 1


def test_default_labels_are_the_classes_in_turn() -> None:
    def chosen(text: str | None, names: list[str], count: int) -> list[int]:
        return ClassLabels(tuple(names)).choose(text).repeated(count).labels.tolist()

    assert chosen(None, CLASSES, 8) == [0, 1, 2, 3, 4, 5, 0, 1]
    assert chosen(None, ["cats"], 3) == [0, 0, 0]
    assert chosen("7,5", ["5", "7"], 2) == [1, 0]  # a name goes before a number


@pytest.mark.parametrize("label", ["lion", "6", "-1", ""])
def test_unknown_label_is_refused_and_the_classes_named(
    label: str, trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [str(trained.folder), f"--labels={label}", "--out", str(tmp_path / "out")]
    status, message = refusal(args, capsys, "sample")
    assert status == 1
    assert message.strip().splitlines()[-1].startswith("error: ")
    assert all(name in message for name in CLASSES)
    assert not (tmp_path / "out").exists()


# What cannot work


def test_place_without_a_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = refusal([str(tmp_path / "nowhere")], capsys, "sample")
    assert status == 1
    assert message.startswith("error: ")
    assert "nowhere" in message
    assert len(message.splitlines()) == 1


def test_file_that_is_no_checkpoint_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "torn.ckpt").write_bytes(b"not a checkpoint")
    status, message = refusal([str(tmp_path / "torn.ckpt")], capsys, "sample")
    assert status == 1
    assert message.startswith("error: ")
    assert len(message.splitlines()) == 1


@pytest.mark.parametrize("args", [["--n", "0"], ["--steps", "many"], ["--sampler", "magic"]], ids=str)
def test_option_out_of_range_is_refused(
    args: list[str], trained: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = refusal([str(trained.folder), *args], capsys, "sample")
    assert status == 2
    assert args[0] in message


@pytest.mark.slow
def test_script_from_another_directory(trained: Run, tmp_path: Path, elsewhere: Path) -> None:
    result = python("sample.py", str(trained.folder), "--n", "2", "--out", "pictures", cwd=elsewhere)
    assert result.returncode == 0, result.stderr
    assert "pictures" in result.stdout
    assert "grid.png" in result.stdout
    assert len(list((elsewhere / "pictures").iterdir())) == 4
