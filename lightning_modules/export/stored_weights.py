"""Weights in two bytes each, which a graph turns into float32 again: the arithmetic stays as it was."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lightning_modules.module import DiffusionModule

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

Storage = Literal["int16", "float16", "float32"]
STORAGES: tuple[Storage, ...] = get_args(Storage)

FEWEST = 1024
"""Tensors of fewer values stay in float32: they are no part of the size."""
_MOST_ERROR = 2.0**-11
"""Largest error of a rounded tensor over the tensor, as norms: what float16 has for values in its range."""
_LARGEST = 2**15 - 1

Array = npt.NDArray[Any]


@torch.no_grad()
def round_weights(module: DiffusionModule, storage: Storage) -> list[str]:
    """Round a model's weights, in place, to values that a storage holds exactly.

    A tensor whose values are too large, too small or too different from one another stays as it is.

    Args:
        module: The model.
        storage: How the weights are to be stored: `float32` as they are; `float16`; or `int16`, as multiples
            of a power of two, one for each tensor.

    Returns:
        Names of the large tensors that the storage does not hold.
    """
    left = []
    if storage != "float32":
        for name, weight in module.named_parameters():
            if weight.numel() >= FEWEST:
                rounded = _ROUNDED[storage](weight)
                if (rounded - weight).norm() <= _MOST_ERROR * weight.norm():
                    weight.copy_(rounded)
                else:
                    left.append(name)
    return left


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
    for tensor in model.graph.initializer:
        if tensor.data_type == TensorProto.FLOAT and math.prod(tensor.dims) >= FEWEST:
            nodes += _stored(tensor, numpy_helper.to_array(tensor), storage)
    former = list(model.graph.node)
    model.graph.ClearField("node")
    model.graph.node.extend([*nodes, *former])


def _stored(tensor: TensorProto, values: Array, storage: Storage) -> list[NodeProto]:
    """Store a tensor, if that is exact, and return the nodes that make the former tensor of it."""
    from onnx import TensorProto, helper, numpy_helper

    unit = _unit(float(np.abs(values).max())) if storage == "int16" else 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        small = (values / np.float32(unit)).astype(storage)
        if not np.array_equal(small.astype(np.float32) * np.float32(unit), values):
            return []
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(small, f"{name}.{storage}"))
    if storage == "float16":
        return [helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT)]
    scale = numpy_helper.from_array(np.array(unit, np.float32))
    return [
        helper.make_node("Cast", [tensor.name], [f"{name}.units"], to=TensorProto.FLOAT),
        helper.make_node("Constant", [], [f"{name}.unit"], value=scale),
        helper.make_node("Mul", [f"{name}.units", f"{name}.unit"], [name]),
    ]


def _unit(largest: float) -> float:
    """Return the smallest power of two of which 16 bits count as many as the largest magnitude has."""
    if not 0 < largest < math.inf:
        return 1.0
    fraction, exponent = math.frexp(largest / _LARGEST)
    return math.ldexp(1.0, exponent - (fraction == 0.5))


def _to_float16(weight: Tensor) -> Tensor:
    return weight.half().to(weight.dtype)


def _to_int16(weight: Tensor) -> Tensor:
    unit = _unit(float(weight.abs().max()))
    return (weight / unit).round() * unit


_ROUNDED: dict[str, Callable[[Tensor], Tensor]] = {"float16": _to_float16, "int16": _to_int16}
