"""Weights in two bytes each, which a graph turns into float32 again: the arithmetic stays as it was."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
import numpy.typing as npt
import torch

from lightning_modules.module import DiffusionModule

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

Storage = Literal["int16", "float16", "float32"]
STORAGES: tuple[Storage, ...] = get_args(Storage)

FEWEST, MANY = 1 << 10, 1 << 14
"""A tensor of fewer values than the first stays in float32, one of more than the second does not."""
_SHARE = 200
"""Between the two, one that is less than this part of the model stays: it saves nothing. The first and the
last layer, on which images depend most, are among them."""
_MOST_ERROR = 2.0**-11
"""Largest error of a rounded tensor over the tensor, as norms: what float16 has for values in its range."""
_LARGEST = 2**15 - 1

Array = npt.NDArray[Any]


class Narrow(NamedTuple):
    """Values in two bytes each."""

    values: Array
    """float16, or int16."""

    units: Array | None
    """What int16 counts: powers of two, one for each slice; float32, it broadcasts to the values."""

    def wide(self) -> Array:
        """Return them as float32, exactly."""
        wide = self.values.astype(np.float32)
        return wide if self.units is None else wide * self.units


@torch.no_grad()
def round_weights(module: DiffusionModule, storage: Storage) -> list[str]:
    """Round a model's weights, in place, to values that a storage holds exactly.

    A tensor whose values are too large, too small or too different from one another stays as it is.

    Args:
        module: The model, on the CPU.
        storage: How the weights are to be stored: `float32` as they are; `float16`; or `int16`, as multiples
            of powers of two, one for each row of a matrix.

    Returns:
        Names of the large tensors that the storage does not hold.
    """
    left: list[str] = []
    if storage == "float32":
        return left
    least = smallest_stored(module)
    for name, weight in module.named_parameters():
        if weight.numel() >= least:
            rounded = torch.from_numpy(_narrow(weight.numpy(), storage).wide())
            if (rounded - weight).norm() <= _MOST_ERROR * weight.norm() < math.inf:
                weight.copy_(rounded)
            else:
                left.append(name)
    return left


def smallest_stored(module: DiffusionModule) -> int:
    """Return how many values the smallest tensor has that is stored in fewer bytes."""
    total = sum(weight.numel() for weight in module.parameters())
    return min(max(FEWEST, total // _SHARE), MANY)


def store_weights(model: ModelProto, storage: Storage) -> None:
    """Store those weights of a graph in two bytes that this changes none of; new nodes make float32 of them.

    Args:
        model: The graph, which is changed.
        storage: How.
    """
    if storage == "float32":
        return
    from onnx import TensorProto, numpy_helper

    nodes: list[NodeProto] = []
    units: list[TensorProto] = []
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if tensor.data_type == TensorProto.FLOAT and values.size >= FEWEST:
            narrow = _exactly(values, storage)
            if narrow is not None:
                nodes += _stored(tensor, narrow, units)
    former = list(model.graph.node)
    model.graph.ClearField("node")
    model.graph.node.extend([*nodes, *former])
    model.graph.initializer.extend(units)


def _stored(tensor: TensorProto, narrow: Narrow, units: list[TensorProto]) -> list[NodeProto]:
    """Store a tensor, add its units to the others, and return the nodes that make the former tensor of it."""
    from onnx import TensorProto, helper, numpy_helper

    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(narrow.values, f"{name}.{narrow.values.dtype}"))
    if narrow.units is None:
        return [helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT)]
    units.append(numpy_helper.from_array(narrow.units, f"{name}.units"))
    return [
        helper.make_node("Cast", [tensor.name], [f"{name}.counts"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.counts", f"{name}.units"], [name]),
    ]


def _exactly(values: Array, storage: Storage) -> Narrow | None:
    """Return values that a storage holds exactly, or None; the exporter may have transposed a matrix."""
    for axis in range(values.ndim):
        narrow = _narrow(values, storage, axis)
        if np.array_equal(narrow.wide(), values):
            return narrow
    return None


def _narrow(values: Array, storage: Storage, axis: int = 0) -> Narrow:
    """Round values (float32) to a storage's; those that are out of its range come out wrong."""
    with np.errstate(over="ignore", invalid="ignore"):
        if storage == "float16":
            return Narrow(values.astype(np.float16), None)
        others = tuple(each for each in range(values.ndim) if each != axis) or (0,)  # a vector is one row
        units = _units(np.abs(values).max(axis=others, keepdims=True))
        return Narrow(np.rint(values / units).astype(np.int16), units)


def _units(largest: Array) -> Array:
    """Return the smallest powers of two of which 16 bits count as many as the largest magnitudes have."""
    fractions, exponents = np.frexp(largest.astype(np.float64) / _LARGEST)
    exponents = np.where(np.isfinite(largest) & (largest > 0), exponents - (fractions == 0.5), 0)
    return np.ldexp(np.float32(1), np.maximum(exponents, -126)).astype(np.float32)
