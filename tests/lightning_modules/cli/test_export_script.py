from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lightning_modules.conditioning.class_labels import ClassCondition
from lightning_modules.export.safetensors_file import load_export
from lightning_modules.trained.checkpoint import load_model
from tests.helpers.command_line import LIGHTNING_WARNINGS, Run, load_script, refusal

pytestmark = LIGHTNING_WARNINGS


def export(run: Path, *args: str) -> None:
    load_script("export").main([str(run), *args])


def test_safetensors_are_the_averaged_weights(
    trained: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "cats.safetensors"
    export(trained.folder, "--to", "safetensors", "--out", str(out))
    assert "step 4" in capsys.readouterr().out
    stored = trained.checkpoint()["state_dict"]
    loaded = load_export(out).state_dict()
    assert loaded.keys() == stored.keys()
    assert all(torch.equal(loaded[name], stored[name]) for name in stored)
    told = json.loads((tmp_path / "cats.safetensors.json").read_text())
    assert (told["weights"], told["step"]) == ("averaged", 4)
    assert told["class_names"][0] == "calico"


def test_onnx_of_a_run(trained: Run, tmp_path: Path) -> None:
    import onnxruntime

    out = tmp_path / "cats.onnx"
    export(trained.folder, "--to", "onnx", "--out", str(out))
    model = load_model(trained.folder / "checkpoints" / "last.ckpt").eval()
    x, sigma, labels = torch.randn(3, 3, 16, 16), torch.tensor([0.1, 1.0, 9.0]), torch.tensor([0, 5, 6])
    session = onnxruntime.InferenceSession(str(out))
    fed = {"x": x.numpy(), "sigma": sigma.numpy(), "labels": labels.numpy()}
    with torch.no_grad():
        np.testing.assert_allclose(
            session.run(None, fed)[0], model(x, sigma, ClassCondition(labels)).numpy(), atol=1e-4
        )


def test_an_export_samples_what_its_run_samples(trained: Run, tmp_path: Path) -> None:
    out = tmp_path / "cats.safetensors"
    export(trained.folder, "--to", "safetensors", "--out", str(out))
    for place, folder in ((trained.folder, "run"), (out, "export")):
        load_script("sample").main([str(place), "--n", "3", "--out", str(tmp_path / folder)])
    for index in range(3):
        name = f"{index:05d}.png"
        with Image.open(tmp_path / "run" / name) as one, Image.open(tmp_path / "export" / name) as other:
            np.testing.assert_array_equal(np.asarray(one), np.asarray(other))


@pytest.mark.parametrize(
    ("args", "status", "says"),
    [
        (["--to", "onnx", "--out", "cats.safetensors"], 1, ".onnx"),
        (["--to", "gguf"], 2, "--to"),
        ([], 2, "--to"),
    ],
    ids=str,
)
def test_what_cannot_be_exported_is_refused(
    args: list[str], status: int, says: str, trained: Run, capsys: pytest.CaptureFixture[str], elsewhere: Path
) -> None:
    stopped, message = refusal([str(trained.folder), *args], capsys, "export")
    assert stopped == status
    assert says in message
    assert not list(elsewhere.iterdir())


def test_place_without_a_run_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status, message = refusal([str(tmp_path), "--to", "onnx"], capsys, "export")
    assert status == 1
    assert message.startswith("error: ")
    assert str(tmp_path) in message
