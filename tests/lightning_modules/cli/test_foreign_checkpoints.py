"""A checkpoint that is none, or more than data: every script names the file in one line and loads nothing."""

from __future__ import annotations

import argparse
import hashlib
import os
import pickle
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, options, refusal, tiny

pytestmark = LIGHTNING_WARNINGS


class Payload:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("canary",)


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def text(path: Path) -> None:
    path.write_text("version https://git-lfs.github.com/spec/v1\n")


def other_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("word/document.xml", "<w/>")


def malicious(path: Path) -> None:
    torch.save(torch.load(path, weights_only=True) | {"extra": Payload()}, path)


def bare_pickle(path: Path) -> None:
    path.write_bytes(pickle.dumps(Payload(), protocol=2))


def foreign(path: Path) -> None:
    """What another Lightning project saves: its hyper-parameters are an object."""
    torch.save({"state_dict": {}, "global_step": 4, "hyper_parameters": argparse.Namespace(lr=1)}, path)


def foreign_data(path: Path) -> None:
    torch.save({"state_dict": {"weight": torch.ones(2)}, "global_step": 4, "epoch": 0}, path)


def tensor(path: Path) -> None:
    torch.save(torch.ones(3), path)


KINDS: dict[Callable[[Path], None], str] = {
    truncated: "truncated",
    empty: "the file is empty",
    text: "no archive",
    other_archive: "an archive of something else",
    malicious: "holds more than data (",
    bare_pickle: "holds more than data",
    foreign: "holds more than data (argparse.Namespace)",
    foreign_data: "not a whole checkpoint of a model of this project",
    tensor: "it holds a Tensor",
}


def one_line(message: str, path: Path) -> str:
    (line,) = (line for line in message.splitlines() if "error: " in line)
    assert str(path) in line
    assert message.rstrip().endswith(line)
    assert "weights_only" not in message
    assert "Traceback" not in message
    return line


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_sample_evaluate_and_export_name_it(kind, trained: Run, tmp_path, capsys):
    shutil.copytree(trained.folder, tmp_path / "run", symlinks=True)
    path = tmp_path / "run" / "checkpoints" / "step=00000004.ckpt"
    kind(path)
    Path(f"{path}.sha256").unlink()
    for script, args in (
        ("sample", ["--out", str(tmp_path / "out")]),
        ("evaluate", ["--features", "random", "--n", "12", "--no-plots"]),
        ("export", ["--to", "safetensors"]),
        ("sample", ["--out", str(tmp_path / "out"), "--weights", "ema=0.1"]),
    ):
        status, message = refusal([str(tmp_path / "run"), *args], capsys, script)
        assert status == 1
        assert KINDS[kind] in one_line(message, path)
    assert not Path("canary").exists()
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "kind", [malicious, foreign, foreign_data, tensor, text], ids=lambda kind: kind.__name__
)
def test_fit_names_one_whose_checksum_is_right(kind, trained: Run, cats, tmp_path, capsys):
    folder = tmp_path / "runs" / "trained" / trained.folder.name
    shutil.copytree(trained.folder, folder, symlinks=True)
    path = folder / "checkpoints" / "step=00000004.ckpt"
    kind(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    Path(f"{path}.sha256").write_text(f"{digest}  {path.name}\n")
    before = {each: each.lstat().st_mtime_ns for each in folder.rglob("*")}
    more = options({"experiment": "trained", "model.optimizer.learning_rate": 0.02, "trainer.max_steps": 6})
    status, message = refusal([*tiny(cats, tmp_path), *more], capsys)
    assert status == 2
    assert KINDS[kind] in one_line(message, path)
    assert not Path("canary").exists()
    assert {each: each.lstat().st_mtime_ns for each in folder.rglob("*") if each.name != ".lock"} == {
        each: stamp for each, stamp in before.items() if each.name != ".lock"
    }
