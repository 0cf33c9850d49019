"""`import lightning_modules as nl`: what the commands do, for programs and notebooks."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

import lightning_modules as nl
from lightning_modules.checkpoints.whole import checkpoints_in
from tests.helpers.command_line import LIGHTNING_WARNINGS, load_script, refusal, tiny

pytestmark = LIGHTNING_WARNINGS


def as_mapping(args: list[str]) -> dict[str, Any]:
    """A command line of options with values, as keywords."""
    return {name.removeprefix("--"): value for name, value in zip(args[::2], args[1::2], strict=True)}


def tensors(state: object) -> list[torch.Tensor]:
    """All tensors of a part of a checkpoint, in its order."""
    if isinstance(state, torch.Tensor):
        return [state]
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return [tensor for part in parts for tensor in tensors(part)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("library")


@pytest.fixture(scope="module")
def settings(cats: Path, folder: Path) -> dict[str, Any]:
    """A tiny run of the demo."""
    settings = as_mapping(tiny(cats, folder))
    del settings["data.root"]
    return settings


@pytest.fixture(scope="module")
def run(cats: Path, settings: dict[str, Any]) -> nl.Run:
    return nl.fit(root=cats, config="demo", **settings)


class Stop(Callback):
    """Presses a notebook's stop button in a step."""

    def on_train_batch_start(self, trainer: Trainer, module: LightningModule, *_: object) -> None:
        if trainer.global_step == 1:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.slow
def test_importing_it_imports_nothing_heavy() -> None:
    code = (
        "import lightning_modules as nl, sys; assert not {'torch', 'lightning', 'numpy'} & set(sys.modules); "
        "assert callable(nl.fit) and 'torch' in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with pytest.raises(AttributeError, match="fitt"):
        nl.fitt  # noqa: B018
    assert {"fit", "load", "Run"} <= {*dir(nl)}  # what a notebook completes


def test_training_is_that_of_the_command(run: nl.Run, cats: Path, tmp_path: Path) -> None:
    load_script("fit").main(tiny(cats, tmp_path))
    one, other = (
        torch.load(each.checkpoint, weights_only=True) for each in (run, nl.load(tmp_path / "runs" / "demo"))
    )
    for kept in (one, other):
        assert "EMA" in kept["callbacks"]
    for part in ("state_dict", "callbacks"):
        torch.testing.assert_close(tensors(one[part]), tensors(other[part]), rtol=0.0, atol=0.0)
    assert {path.name for path in run.folder.iterdir()} >= {"config.yaml", "samples", "metrics.csv"}


def test_dots_are_two_underscores(run: nl.Run, cats: Path, settings: dict[str, Any]) -> None:
    further = {name.replace(".", "__"): value for name, value in settings.items()}
    longer = nl.fit(cats, **{**further, "trainer__max_steps": 6})
    assert longer.folder.resolve() == run.folder.resolve()
    assert longer.checkpoint.name == "step=00000006.ckpt"
    fresh = nl.fit(cats, fresh=True, **{**settings, "trainer.max_steps": 1, "ema.lengths": [0.1]})
    assert fresh.folder.resolve() != run.folder.resolve()
    assert "lengths:\n  - 0.1\n" in (fresh.folder / "config.yaml").read_text().replace("    ", "  ")


def test_an_interruption_saves_and_says_so(cats: Path, settings: dict[str, Any], tmp_path: Path) -> None:
    apart = {**settings, "trainer.default_root_dir": tmp_path}
    with pytest.raises(KeyboardInterrupt) as stopped:
        nl.fit(cats, callbacks=[Stop()], **apart)
    said = str(stopped.value)
    assert str(tmp_path / "demo") in said
    assert "saved" in said
    assert len(checkpoints_in(nl.load(tmp_path / "demo").folder / "checkpoints")) == 1
    assert nl.fit(cats, **apart).checkpoint.name == "step=00000004.ckpt"


@pytest.mark.parametrize("option", ["trainer.max_stpes", "data.root", "config", "trainer.max_steps"])
def test_what_is_refused_is_an_error_with_the_commands_words(
    option: str, cats: Path, settings: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    args = [*tiny(cats, tmp_path), f"--{option}", "nowhere"]
    status, said = refusal(args, capsys)
    assert status == 2
    apart = {**as_mapping(tiny(cats, tmp_path)), option: "nowhere"}
    with pytest.raises(ValueError, match=option if option != "config" else "nowhere") as refused:
        nl.fit(apart.pop("data.root"), **apart)
    assert f"error: {refused.value}\n" == said.splitlines(keepends=True)[-1]
    assert "error" not in capsys.readouterr().err


def test_a_trial_is_refused(cats: Path) -> None:
    with pytest.raises(ValueError, match="fast_dev_run"):
        nl.fit(cats, fast_dev_run=True)


def test_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="nowhere"):
        nl.load(tmp_path / "nowhere")


def test_images_are_those_of_the_command(run: nl.Run, tmp_path: Path) -> None:
    images = run.sample(labels=["tabby", None], n=5, seed=3, guidance=2.0, guide_length=0, batch_size=2)
    args = ["--labels", "tabby,none", "--n", "5", "--seed", "3", "--guidance", "2", "--batch-size", "2"]
    out = tmp_path / "out"
    load_script("sample").main([str(run.folder), *args, "--guide-length", "0", "--out", str(out)])
    assert images.labels == ["tabby", None, "tabby", None, "tabby"]
    saved = images.save(tmp_path / "saved")
    for number, image in enumerate(images):
        written = np.array(Image.open(out / f"{number:05d}.png"))
        assert np.array_equal(image, written)
        assert np.array_equal(np.array(Image.open(saved / f"{number:05d}.png")), written)
    assert not (run.folder / "sampled").exists()


def test_images_are_shown_and_indexed(run: nl.Run) -> None:
    images = run.sample(n=3)
    assert len(images) == len(list(images)) == 3
    assert images.array.shape == (3, 16, 16, 3)
    assert np.array_equal(images[-1], images.array[2])
    few = images[1:]
    assert few.labels == images.labels[1:]
    with pytest.raises(IndexError, match="3"):
        images[3]
    shown = images._repr_png_()
    assert shown is not None
    with Image.open(io.BytesIO(shown)) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 3 * 16
    assert images[:0]._repr_png_() is None


def test_one_class_needs_no_list(run: nl.Run) -> None:
    assert run.sample("tabby", n=2).labels == ["tabby", "tabby"]
    assert run.sample(None, n=1).labels == [None]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"labels": ["dog"]}, "dog"),
        ({"smapler": "heun"}, "--sampler"),
        ({"steps": 2, "nfe": 2}, "--nfe"),
        ({"interval": (5, 1), "guidance": 2}, "--interval"),
        ({"out": "pictures"}, "out"),
    ],
)
def test_what_cannot_be_sampled_is_an_error(run: nl.Run, options: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        run.sample(**options)


def test_a_run_is_evaluated(run: nl.Run, cats: Path) -> None:
    report = run.evaluate(n=20, nfe=[2, 4], features="random", no_plots=True, data=cats, data__workers=0)
    assert len(report.rows) == 2
    assert (run.folder / "evaluation" / "report.json").is_file()
    with pytest.raises(ValueError, match="--features"):
        run.evaluate(featurez="random")
