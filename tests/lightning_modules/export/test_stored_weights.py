from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, numpy_helper

from lightning_modules.export.onnx_file import TOLERANCE, example, largest_difference, write_graph
from lightning_modules.export.stored_weights import Storage, round_weights, smallest_stored, store_weights
from lightning_modules.module import DiffusionModule
from tests.helpers.tiny import KINDS, module, randomize

SMALL: tuple[Storage, ...] = ("int16", "float16")
WIDE = {"dit": {"width": 32}, "unet": {"channels": (32, 32), "attention": ()}}
"""So wide that some of the tensors are large enough to be stored in fewer bytes."""


def trained(kind: str = "dit") -> DiffusionModule:
    model = module(kind, **WIDE[kind])
    randomize(model.network)
    return model.eval()


def large(model: DiffusionModule) -> dict[str, torch.Tensor]:
    least = smallest_stored(model)
    return {name: weight for name, weight in model.named_parameters() if weight.numel() >= least}


def initializers(path: Path) -> dict[str, TensorProto]:
    return {tensor.name: tensor for tensor in onnx.load(path).graph.initializer}


# Rounding


@pytest.mark.parametrize("storage", SMALL)
def test_rounding_twice_changes_nothing_more(storage: Storage) -> None:
    model = trained()
    assert round_weights(model, storage) == []
    once = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    round_weights(model, storage)
    assert all(torch.equal(weight, once[name]) for name, weight in model.named_parameters())


def test_int16_are_multiples_of_a_power_of_two_for_each_row_that_16_bits_count() -> None:
    model = trained()
    before = {name: weight.detach().clone() for name, weight in large(model).items()}
    round_weights(model, "int16")
    for name, weight in large(model).items():
        rows, former = weight.detach().flatten(1), before[name].flatten(1)
        units = (former.abs().amax(1, keepdim=True) / 32767).log2().ceil().exp2()
        counts = rows / units
        assert torch.equal(counts, counts.round())
        assert ((counts.abs().amax(1) >= 16384) & (counts.abs().amax(1) <= 32767)).all()
        assert ((rows - former).abs() <= units / 2).all()


def test_first_and_last_layers_of_a_larger_model_stay() -> None:
    model = module("dit", width=96, depth=4, heads=3)
    randomize(model.network)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    assert round_weights(model, "int16") == []
    changed = {name for name, weight in model.named_parameters() if not torch.equal(weight, before[name])}
    assert not changed & {"network.patch.weight", "network.output.weight"}
    share = sum(before[name].numel() for name in changed) / sum(each.numel() for each in before.values())
    assert share > 0.95


def test_a_vector_has_one_unit() -> None:
    model = matrix(VALUES["int16"])
    model.graph.initializer.append(numpy_helper.from_array(VALUES["int16"].ravel(), "vector"))
    store_weights(model, "int16")
    sizes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    assert sizes["vector.units"] == [1]
    assert sizes["w.units"] == [64, 1]


def test_float16_is_the_nearest() -> None:
    model = trained()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    round_weights(model, "float16")
    for name, weight in model.named_parameters():
        expected = before[name].half().float() if name in large(model) else before[name]
        assert torch.equal(weight, expected)


def test_float32_stays_as_it_is() -> None:
    model = trained()
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    assert round_weights(model, "float32") == []
    assert all(torch.equal(weight, before[name]) for name, weight in model.named_parameters())


@pytest.mark.parametrize(
    ("storage", "change"),
    [
        ("float16", lambda weight: weight.view(-1)[0].fill_(70_000)),  # above its largest number
        ("float16", lambda weight: weight.mul_(1e-7)),  # below its smallest
        ("int16", lambda weight: weight.view(-1)[0].fill_(torch.inf)),
        ("float16", lambda weight: weight.view(-1)[0].fill_(torch.nan)),
    ],
)
def test_what_a_storage_does_not_hold_stays_and_is_named(storage: Storage, change) -> None:
    model = trained()
    name, weight = next(iter(large(model).items()))
    with torch.no_grad():
        change(weight)
    before = weight.detach().clone()
    assert round_weights(model, storage) == [name]
    torch.testing.assert_close(weight, before, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("storage", SMALL)
def test_zeros_are_held(storage: Storage) -> None:
    model = trained()
    with torch.no_grad():
        next(iter(large(model).values())).zero_()
    assert round_weights(model, storage) == []


# Storing


def matrix(values: np.ndarray) -> onnx.ModelProto:
    """A graph that is one matrix product."""
    shape = ["rows", values.shape[0]], ["rows", values.shape[1]]
    x, y = (
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, each)
        for name, each in zip("xy", shape, strict=True)
    )
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = onnx.helper.make_graph([node], "graph", [x], [y], [numpy_helper.from_array(values, "w")])
    return onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)], ir_version=10)


def product(model: onnx.ModelProto, x: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(["y"], {"x": x})[0]


WHOLE = np.random.default_rng(0).integers(-32767, 32768, (64, 64)).astype(np.float32)
VALUES = {
    "float16": np.random.default_rng(0).standard_normal((64, 64)).astype(np.float16).astype(np.float32),
    "int16": WHOLE * np.float32(2**-20),
}


@pytest.mark.parametrize("storage", SMALL)
def test_stored_weights_are_the_same_numbers_in_half_the_bytes(storage: Storage) -> None:
    model = matrix(VALUES[storage])
    before = product(model, np.eye(64, dtype=np.float32))
    size = len(model.SerializeToString())
    store_weights(model, storage)
    onnx.checker.check_model(model, full_check=True)
    assert np.array_equal(product(model, np.eye(64, dtype=np.float32)), before)
    assert np.array_equal(before, VALUES[storage])
    assert len(model.SerializeToString()) < size * 0.55
    tensor = model.graph.initializer[0]
    assert tensor.data_type == {"float16": TensorProto.FLOAT16, "int16": TensorProto.INT16}[storage]


@pytest.mark.parametrize("turn", [np.ascontiguousarray, np.transpose], ids=["rows", "columns"])
def test_rows_are_found_in_a_transposed_matrix(turn) -> None:
    sizes = np.float32(2) ** np.arange(-40, 24, dtype=np.float32)[:, None]
    model = matrix(np.ascontiguousarray(turn(WHOLE * sizes)))
    before = product(model, np.eye(64, dtype=np.float32))
    store_weights(model, "int16")
    assert [tensor.data_type for tensor in model.graph.initializer] == [TensorProto.INT16, TensorProto.FLOAT]
    assert np.array_equal(product(model, np.eye(64, dtype=np.float32)), before)


@pytest.mark.parametrize("storage", SMALL)
@pytest.mark.parametrize(
    "values",
    [
        np.full((64, 64), 1 + 2**-20, np.float32) * WHOLE,  # more digits than two bytes have
        np.where(WHOLE[0, 0] == WHOLE, np.float32(1e38), WHOLE),
        np.full((64, 64), np.nan, np.float32),
        VALUES["int16"][:4],  # so small that it is no part of the size
    ],
    ids=["digits", "range", "nan", "small"],
)
def test_what_is_not_exact_stays_float32(storage: Storage, values: np.ndarray) -> None:
    model = matrix(values)
    before = model.SerializeToString()
    store_weights(model, storage)
    assert model.SerializeToString() == before


# Whole models


@pytest.fixture(scope="module", params=[(kind, storage) for kind in KINDS for storage in SMALL], ids=str)
def stored(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A model with rounded weights, its storage, and the folder with the graph stored and not."""
    kind, storage = request.param
    model, folder = trained(kind), tmp_path_factory.mktemp(f"{kind}-{storage}")
    round_weights(model, storage)
    write_graph(model, folder / "stored.onnx", storage)
    write_graph(model, folder / "plain.onnx")
    return model, storage, folder


@pytest.mark.slow
def test_a_stored_graph_computes_what_the_plain_one_does_bit_for_bit(stored) -> None:
    model, _, folder = stored
    given = {name: value.numpy() for name, value in example(model, 3).items()}
    one, other = (
        onnxruntime.InferenceSession(str(folder / name)).run(["denoised"], given)[0]
        for name in ("stored.onnx", "plain.onnx")
    )
    assert np.array_equal(one, other)
    assert largest_difference(model, folder / "stored.onnx") <= TOLERANCE


@pytest.mark.slow
def test_every_large_tensor_of_a_model_is_stored(stored) -> None:
    model, storage, folder = stored
    kinds = {
        tensor.data_type
        for tensor in initializers(folder / "stored.onnx").values()
        if np.prod(tensor.dims) >= smallest_stored(model)
    }
    assert kinds == {{"float16": TensorProto.FLOAT16, "int16": TensorProto.INT16}[storage]}
