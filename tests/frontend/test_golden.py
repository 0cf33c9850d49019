"""The files that the page's code is tested with say what Python computes today."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.diffusion.tables import THRESHOLDS
from lightning_modules.encoders import RGB
from lightning_modules.sampling.settings import Sampling
from tests.frontend import golden, pictures

HINT = "run `make golden`, then port what has changed to frontend/src/diffusion"

TOLERANCES = {"schedules": 1e-12, "samples": 1e-5, "interpolations": 1e-5}
"""Largest differences from one machine to another, relative where a number is above 1; of the others none."""


@cache
def todays() -> dict[str, list[dict[str, Any]]]:
    return json.loads(json.dumps(golden.contents()))


@pytest.mark.parametrize(
    "name", ["folds", "noise", "interpolations", "schedules", "samples", "pixels", "tables"]
)
def test_a_file_says_what_python_computes(name: str) -> None:
    written = json.loads(golden.path(name).read_text(encoding="utf-8"))
    tolerance = TOLERANCES.get(name, 0.0)
    assert list(differing(written, todays()[name], tolerance)) == [], HINT


def test_every_file_is_compared() -> None:
    assert {path.stem for path in golden.FOLDER.glob("*.json")} == todays().keys()


@pytest.mark.parametrize("table", [SAMPLERS, SCHEDULES, THRESHOLDS], ids=["sampler", "schedule", "threshold"])
def test_every_name_is_sampled_with_or_refused(table: dict[str, Any], request: pytest.FixtureRequest) -> None:
    kind = request.node.callspec.id
    sampled = {record["settings"][kind] for record in todays()["samples"]} - {"none"}
    assert sampled == table.keys() - golden.NOT_ON_THE_PAGE


def test_the_pictures_are_of_todays_networks() -> None:
    written = json.loads(golden.path("pictures").read_text(encoding="utf-8"))
    for one, other in zip(written, todays()["pictures"], strict=True):
        assert one | {"pixels": []} == other | {"pixels": []}, HINT
        assert (torch.tensor(one["pixels"]) - torch.tensor(other["pixels"])).abs().max() <= 1, HINT


@pytest.mark.parametrize("number", range(len(pictures.PICTURES)))
def test_the_networks_make_the_pictures(number: int) -> None:
    record = json.loads(golden.path("pictures").read_text(encoding="utf-8"))[number]
    network, guide = (
        record[name] and denoiser(golden.FOLDER / record[name]) for name in ("network", "guide")
    )
    settings = Sampling.from_dict(record["settings"])
    labels = record["labels"]
    weak = guide(labels) if guide else network([record["null_label"]] * len(labels))
    noise = pictures.noise(tuple(record["shape"]), record["toward"])
    pixels = RGB().decode(settings.sample(network(labels), noise, weak)).flatten(1)
    assert (pixels.int() - torch.tensor(record["pixels"])).abs().max() <= 1


def denoiser(graph: Path) -> Callable[[list[int]], Denoiser]:
    """Return what makes a denoiser of labels, evaluated by onnxruntime."""
    session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]

    def of(labels: list[int]) -> Denoiser:
        def denoise(x: Tensor, sigma: Tensor) -> Tensor:
            given = {"x": x.numpy(), "sigma": sigma.numpy(), "labels": np.array(labels)}
            return torch.from_numpy(session.run(["denoised"], {name: given[name] for name in names})[0])

        return denoise

    return of


def differing(one: Any, other: Any, tolerance: float, place: str = "") -> Iterable[str]:
    """Yield the places in which two values of JSON differ."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        for key in one:
            yield from differing(one[key], other[key], tolerance, f"{place}.{key}")
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for number, pair in enumerate(zip(one, other, strict=True)):
            yield from differing(*pair, tolerance, f"{place}[{number}]")
    elif isinstance(one, float) and isinstance(other, float):
        if not abs(one - other) <= tolerance * max(1.0, abs(one)):
            yield f"{place}: {one} and {other}"
    elif one != other:
        yield f"{place}: {one!r:.80} and {other!r:.80}"
