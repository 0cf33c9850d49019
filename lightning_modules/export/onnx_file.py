from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from datamodules.utils.io import file_digest, whole_file, write_json
from datamodules.utils.text import installing
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.export.manifest import manifest_path
from lightning_modules.export.stored_weights import Storage, store_weights
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.torch_internals import quiet_onnx_export

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

OPSET = 18
TOLERANCE = 1e-4
"""Largest difference of `denoised`, in units of a range of [-1, 1], between onnxruntime and torch."""

IMAGES = "float32 (batch, channels, size, size)"


def export_onnx(module: DiffusionModule, description: dict[str, Any], out: Path) -> None:
    """Write the denoiser as ONNX, and then its manifest; each whole or not at all.

    The graph takes float32 `x` (batch, 3, H, W) and `sigma` (batch,) and the tensors of a condition, for
    classes int64 `labels` (batch,), and returns float32 `denoised` (batch, 3, H, W), for any batch. It
    contains the preconditioning. Before it is published onnxruntime has to agree with torch on it.

    Args:
        module: The model, on the CPU.
        description: What `describe` says of it.
        out: The file.

    Raises:
        ValueError: If the exporter or onnxruntime is not installed, or the two do not agree.
    """
    with whole_file(out) as temporary:
        difference = write_graph(module, temporary)
    import onnxruntime

    graph = {
        "opset": OPSET,
        "inputs": {name: _form(name, value) for name, value in example(module, 1).items()},
        "outputs": {"denoised": IMAGES},
        "checked_with": f"onnxruntime {onnxruntime.__version__}",
        "largest_difference": difference,
        "tolerance": TOLERANCE,
    }
    write_json(
        manifest_path(out), description | {"onnx": graph, "file": out.name, "sha256": file_digest(out)}
    )


def check_installed() -> None:
    """Refuse to go on where one of the packages is missing that ONNX needs.

    Raises:
        ValueError: With how they are installed.
    """
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import onnxscript  # noqa: F401  # what torch's exporter is written with
    except ImportError as error:
        raise ValueError(f"ONNX needs {error.name}: {installing('export')}") from error


def write_graph(
    module: DiffusionModule, path: Path, storage: Storage = "float32", unused_inputs: bool = True
) -> float:
    """Write the denoiser as ONNX, not yet under its final name; see `export_onnx`.

    Args:
        module: The model, on the CPU; for a smaller storage with weights that `round_weights` has rounded.
        path: The file.
        storage: How the weights are stored.
        unused_inputs: Whether the graph has inputs that it does not read, such as labels where there is one
            class.

    Returns:
        Largest difference of `denoised` between onnxruntime and torch.

    Raises:
        ValueError: If the exporter or onnxruntime is not installed, or the two do not agree.
    """
    check_installed()
    import onnx

    module = module.eval()
    graph = _graph(module)
    store_weights(graph, storage)
    if not unused_inputs:
        _drop_unused_inputs(graph.graph)
    onnx.save(graph, path)
    difference = largest_difference(module, path)
    if not difference <= TOLERANCE:
        raise ValueError(f"onnxruntime and torch differ by {difference:.2g} on the exported model")
    return difference


def largest_difference(module: DiffusionModule, exported: Path) -> float:
    """Return how far onnxruntime is from torch at most, over batch sizes, noise levels and conditions."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(exported), providers=["CPUExecutionProvider"])
    known = {graph_input.name for graph_input in session.get_inputs()}
    differences: list[float] = []
    for batch in (1, 2, 5):
        given = example(module, batch)
        with torch.no_grad():
            expected = OfTensors(module)(*given.values())
        fed = {name: value.numpy() for name, value in given.items() if name in known}
        (output,) = session.run(["denoised"], fed)
        differences.append((torch.from_numpy(output) - expected).abs().max().item())
    return max(differences)


class OfTensors(nn.Module):
    """A model that takes the tensors of a condition as arguments, as a graph does.

    Args:
        model: The model.
    """

    def __init__(self, model: DiffusionModule) -> None:
        super().__init__()
        self.model = model
        self.kind = type(model.conditioner.null(1))
        self.train(model.training)

    def forward(self, x: Tensor, sigma: Tensor, *condition: Tensor) -> Tensor:
        """Evaluate `D(x, sigma, condition)`."""
        denoised: Tensor = self.model(x, sigma, self.kind(*condition))
        return denoised


def example(module: DiffusionModule, batch: int) -> dict[str, Tensor]:
    """Return noisy images, noise levels from 0.01 to 80 and conditions, nothing first, by names of inputs."""
    generator = torch.Generator().manual_seed(batch)
    sigma = torch.logspace(-2, 1.9, batch)
    x = torch.randn(batch, *module.image_shape, generator=generator)
    x = x * (0.25 + sigma**2).sqrt().reshape(-1, 1, 1, 1)
    condition: Condition = module.conditioner.null(1).cat(module.conditioner.every()).repeated(batch)
    names = [field.name for field in dataclasses.fields(condition)]
    return {"x": x, "sigma": sigma, **dict(zip(names, condition.tensors(), strict=True))}


def _form(name: str, value: Tensor) -> str:
    """Return the type and shape of an input as its manifest tells them."""
    if name == "x":
        return IMAGES
    return f"{str(value.dtype).removeprefix('torch.')} ({', '.join(['batch', *map(str, value.shape[1:])])})"


def _graph(module: DiffusionModule) -> ModelProto:
    batch, given = torch.export.Dim("batch", min=1), example(module, 2)
    rows = {0: batch}
    with quiet_onnx_export():
        program = torch.onnx.export(
            OfTensors(module),
            tuple(given.values()),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(given),
            output_names=["denoised"],
            dynamic_shapes={"x": rows, "sigma": rows, "condition": (rows,) * (len(given) - 2)},
            verbose=False,
        )
    if program is None:
        raise ValueError("torch made no ONNX program of the model")
    graph: ModelProto = program.model_proto
    _forget_origin(graph)
    return graph


def _drop_unused_inputs(graph: GraphProto) -> None:
    read = {name for node in graph.node for name in node.input}
    kept = [each for each in graph.input if each.name in read]
    graph.ClearField("input")
    graph.input.extend(kept)


def _forget_origin(graph: ModelProto) -> None:
    """Remove what the exporter notes of the program: stack traces name folders of the user's machine."""
    graph.graph.ClearField("value_info")
    for each in (graph, graph.graph, *graph.graph.node, *graph.graph.input, *graph.graph.output):
        each.ClearField("metadata_props")
        each.ClearField("doc_string")
    for tensor in graph.graph.initializer:
        tensor.ClearField("metadata_props")
