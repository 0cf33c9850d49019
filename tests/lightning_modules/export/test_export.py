from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from datamodules.utils import io
from lightning_modules.checkpoints.facts import CheckpointFacts
from lightning_modules.conditioning.class_labels import ClassCondition
from lightning_modules.diffusion.preconditioning import EDM, FlowX, V
from lightning_modules.diffusion.weighting import MinSNRWeighting
from lightning_modules.export.manifest import (
    Guide,
    describe,
    from_plain,
    manifest_path,
    read_manifest,
    rebuild,
    to_plain,
)
from lightning_modules.export.onnx_file import TOLERANCE, example, export_onnx, largest_difference
from lightning_modules.export.safetensors_file import export_safetensors, load_export
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import KINDS, module, randomize

FACTS = CheckpointFacts(1400, "averaged")
SETTINGS = Sampling(sampler="unipc", steps=9)


def trained(kind: str = "dit", **options):
    model = module(kind, **options)
    randomize(model.network)
    return model.eval()


def exported(folder: Path, kind: str = "dit", **options) -> Path:
    path = folder / "model.safetensors"
    model = trained(kind, **options)
    export_safetensors(model, describe(model, FACTS, SETTINGS), path)
    return path


# Manifest


def test_manifest_says_what_is_needed_to_run_the_model(tmp_path):
    manifest = json.loads(manifest_path(exported(tmp_path)).read_text())
    assert manifest["class_names"] == ["a", "b"]
    assert manifest["null_label"] == 2
    assert manifest["images"] == {"size": 8, "channels": 3, "layout": "NCHW", "range": [-1.0, 1.0]}
    assert manifest["preconditioning"] == {"class_path": "FlowX", "init_args": {"t_min": 0.05}}
    assert Sampling.from_dict(manifest["sampling"]) == SETTINGS
    assert (manifest["weights"], manifest["step"], manifest["format_version"]) == ("averaged", 1400, 1)


@pytest.mark.parametrize(
    "value", [EDM(0.7), FlowX(0.1), V(), MinSNRWeighting(3.0), None, 3, 0.1, "x", (1, 2)]
)
def test_plain_values_come_back(value):
    assert from_plain(json.loads(json.dumps(to_plain(value)))) == value


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="'Magic'"):
        from_plain({"class_path": "Magic", "init_args": {}})
    with pytest.raises(ValueError, match=r"'os\.system'"):
        rebuild({"model": {"class_path": "os.system", "init_args": {}}})


# safetensors


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{}, {"preconditioner": EDM(0.4)}, {"class_names": ("one",)}], ids=str)
def test_safetensors_load_back_to_the_same_denoiser_bit_for_bit(kind, options, tmp_path):
    if kind == "dit":
        options = {"patch_size": 2, "width": 16, **options}
    model, loaded = trained(kind, **options), load_export(exported(tmp_path, kind, **options))
    assert type(loaded) is type(model)
    assert loaded.hparams == model.hparams
    x, sigma, labels = example(model, 5).values()
    asked = ClassCondition(labels)
    with torch.no_grad():
        assert torch.equal(loaded(x, sigma, asked), model(x, sigma, asked))
    assert torch.equal(sample(loaded, asked, SETTINGS), sample(model, asked, SETTINGS))


def test_a_file_that_is_not_the_manifest_s_is_refused(tmp_path):
    path = exported(tmp_path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(ValueError, match=rf"{path.name} .*manifest"):
        load_export(path)


def test_a_missing_manifest_is_named(tmp_path):
    path = exported(tmp_path)
    manifest_path(path).unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors\.json"):
        load_export(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\x00"])
def test_a_broken_manifest_is_refused(text, tmp_path):
    path = exported(tmp_path)
    manifest_path(path).write_text(text)
    with pytest.raises(ValueError, match=re.escape(str(manifest_path(path)))):
        read_manifest(path)


def test_another_version_is_refused(tmp_path):
    path = exported(tmp_path)
    manifest = json.loads(manifest_path(path).read_text()) | {"format_version": 2}
    manifest_path(path).write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="version 2"):
        load_export(path)


def test_an_interrupted_export_leaves_the_old_one(tmp_path, monkeypatch):
    path = exported(tmp_path)

    def half(file):
        file.truncate(file.seek(0, 2) // 2)
        raise OSError("disk full")

    monkeypatch.setattr(io, "sync", half)
    with pytest.raises(OSError, match="disk full"):
        exported(tmp_path)
    load_export(path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.safetensors", "model.safetensors.json"]


def test_an_average_to_guide_by_comes_back_with_its_model(tmp_path):
    model, guide = trained(), trained()
    randomize(guide.network, seed=9)
    settings = Sampling(steps=3, guidance=2.0, guide_length=0.25)
    told = describe(model, FACTS, settings, Guide(0.25, "guide.safetensors"))
    export_safetensors(guide, describe(guide, FACTS, Sampling()), tmp_path / "guide.safetensors")
    export_safetensors(model, told, tmp_path / "model.safetensors")
    model.ema = {0.25: dict(guide.named_parameters())}
    loaded, asked = load_export(tmp_path / "model.safetensors"), ClassCondition(torch.tensor([0, 1]))
    assert torch.equal(sample(loaded, asked, settings), sample(model, asked, settings))
    (tmp_path / "guide.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"guide\.safetensors"):
        load_export(tmp_path / "model.safetensors")


def test_a_guide_elsewhere_is_refused(tmp_path):
    told = describe(trained(), FACTS, SETTINGS, Guide(0.25, "../guide.safetensors"))
    export_safetensors(trained(), told, tmp_path / "model.safetensors")
    with pytest.raises(ValueError, match=r"'\.\./guide\.safetensors'"):
        load_export(tmp_path / "model.safetensors")


# ONNX


@pytest.fixture(scope="module", params=KINDS)
def graph(request, tmp_path_factory):
    """A network's kind, its model, and the exported file."""
    model = trained(request.param, **({"preconditioner": EDM()} if request.param == "unet" else {}))
    path = tmp_path_factory.mktemp(request.param) / "model.onnx"
    export_onnx(model, describe(model, FACTS, SETTINGS), path)
    return model, path


def run(path: Path, *given: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(str(path))
    fed = dict(zip(("x", "sigma", "labels"), (value.numpy() for value in given), strict=True))
    return torch.from_numpy(session.run(["denoised"], fed)[0])


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 2, 3, 17])
def test_onnxruntime_agrees_with_torch_at_any_batch(batch, graph):
    model, path = graph
    x, sigma, labels = example(model, batch).values()
    with torch.no_grad():
        expected = model(x, sigma, ClassCondition(labels))
    assert expected.std() > 0.1
    torch.testing.assert_close(run(path, x, sigma, labels), expected, rtol=0, atol=TOLERANCE)


def test_sampling_through_onnxruntime_gives_the_same_images(graph):
    model, path = graph
    labels = torch.tensor([0, 1, 2])

    def denoiser(x, sigma):
        return run(path, x, sigma, labels)

    images = SETTINGS.sample(denoiser, ImageNoise(3, range(3), model.image_shape))
    expected = sample(model, ClassCondition(labels), SETTINGS, seed=3)
    torch.testing.assert_close(images, expected, rtol=0, atol=10 * TOLERANCE)


def test_graph_is_valid_and_its_inputs_are_named_and_dynamic(graph):
    _, path = graph
    stored = onnx.load(path)
    onnx.checker.check_model(stored, full_check=True)
    inputs = {value.name: value.type.tensor_type for value in stored.graph.input}
    assert list(inputs) == ["x", "sigma", "labels"]
    assert [inputs[name].shape.dim[0].dim_param for name in inputs] == ["batch"] * 3
    assert [d.dim_value for d in inputs["x"].shape.dim[1:]] == [3, 8, 8]
    float32, int64 = onnx.TensorProto.FLOAT, onnx.TensorProto.INT64
    assert [value.elem_type for value in inputs.values()] == [float32, float32, int64]
    manifest = read_manifest(path)
    assert manifest["onnx"]["largest_difference"] <= TOLERANCE
    assert manifest["onnx"]["opset"] == stored.opset_import[0].version


def test_the_check_notices_another_model(graph):
    model, path = graph
    other = trained("dit" if "DiT" in type(model).__name__ else "unet")
    randomize(other.network, seed=9)
    assert largest_difference(other, path) > 100 * TOLERANCE


def test_a_model_that_disagrees_is_not_published(tmp_path, monkeypatch):
    monkeypatch.setattr("lightning_modules.export.onnx_file._graph", lambda _: onnx.ModelProto())
    monkeypatch.setattr("lightning_modules.export.onnx_file.largest_difference", lambda *_: float("nan"))
    model = trained()
    with pytest.raises(ValueError, match="nan"):
        export_onnx(model, describe(model, FACTS, SETTINGS), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_unconditional_model(tmp_path):
    model = trained(class_names=("images",))
    export_onnx(model, describe(model, FACTS, SETTINGS), tmp_path / "model.onnx")
    x, sigma, labels = example(model, 3).values()
    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    assert [value.name for value in session.get_inputs()] == ["x", "sigma", "labels"]
    with torch.no_grad():
        expected = model(x, sigma, ClassCondition(labels)).numpy()
    np.testing.assert_allclose(
        run(tmp_path / "model.onnx", x, sigma, labels).numpy(), expected, atol=TOLERANCE
    )
