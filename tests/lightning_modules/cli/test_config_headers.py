from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
import yaml
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from lightning_modules.cli.fit_cli import FitCLI
from lightning_modules.cli.parsing.parser import CONFIGS
from lightning_modules.cloud.preflight import flop_per_image
from lightning_modules.cost.prices import ACHIEVED_SHARE, DATE, GPUS
from lightning_modules.module import DiffusionModule
from tests.helpers.command_line import LIGHTNING_WARNINGS, options, refusal, shrunk

pytestmark = LIGHTNING_WARNINGS

Capture = pytest.CaptureFixture[str]

SHIPPED = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
SECONDS = {"min": 60.0, "h": 3600.0}
LONGEST = {"L4": 2 * 3600.0, "H100": 8 * 3600.0}  # seconds
GIGABYTES = {"L4": 24, "H100": 80}
BYTES_PER_PARAMETER = 5 * 4 + 2  # weight, gradient, two moments and average; the weight in half precision
OXFORD_CATS, DRAWN_CATS, HELD_OUT = 2371, 2000, 0.05

COST = re.compile(
    r"(?P<parameters>[\d.]+) M parameters, (?P<gflop>[\d.]+) GFLOP per image, forward and backward, "
    r"counted\. (?P<rate>[\d,]+) images/s (?P<how>[^.(]+)(?: \([^)]*\))?\. "
    r"(?P<steps>[\d,]+) steps x (?P<batch>\d+) = (?P<images>[\d,]+) images "
    r"\((?P<epochs>[\d,]+) epochs of (?P<set>[\d,]+)\) in (?P<time>[\d.]+) (?P<unit>h|min), "
    r"\$(?P<usd>[\d.]+) (?P<payer>[^.]+)\."
)
ESTIMATE = re.compile(r"estimated: a quarter of an (?P<gpu>\w+)'s (?P<peak>\d+) TFLOP/s in bfloat16")
MEMORY = re.compile(
    r"(?P<gb>[\d.]+) GB, counted: (?P<fixed>[\d.]+) of weights, gradients, moments and average, "
    r"(?P<activations>\d+) MB of activations for each of (?P<batch>\d+) images"
)


def read(name: str) -> dict:
    return yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())


FOR_A_GPU = [name for name in SHIPPED if read(name)["trainer"].get("precision") == "bf16-mixed"]
FOR_A_FOLDER = [name for name in SHIPPED if read(name)["data"].get("root")]


def header(name: str) -> str:
    """The comment that a config begins with, as one line of single spaces."""
    text = (CONFIGS / f"{name}.yaml").read_text()
    lines = text[: text.index("seed_everything")].splitlines()
    return " ".join(" ".join(line.lstrip("# ") for line in lines).split())


def figures(pattern: re.Pattern[str], name: str) -> dict[str, str]:
    found = pattern.search(header(name))
    assert found is not None, f"{name}.yaml's header has not the wording of {pattern.pattern}"
    return {key: re.sub(r"(?<=\d),(?=\d)", "", value) for key, value in found.groupdict().items()}


def batch_of(module: DiffusionModule, size: int, device: str) -> tuple[Tensor, Tensor, Tensor]:
    x = torch.zeros(size, *module.image_shape, device=device)
    return x, torch.ones(size, device=device), torch.zeros(size, dtype=torch.long, device=device)


def flop_of_a_step(module: DiffusionModule) -> float:
    """Forward and backward pass of one image, neither of which is computed."""
    with FlopCounterMode(display=False) as counter:
        module(*batch_of(module, 1, "meta")).sum().backward()
    return float(counter.get_total_flops())


def activation_bytes(module: DiffusionModule, size: int) -> int:
    """What autograd keeps of a forward pass in mixed precision for its backward pass, but for the weights."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        named = [*module.named_parameters(), *module.named_buffers()]
        state = {key: fake.from_tensor(tensor) for key, tensor in named}
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16):
            functional_call(module, state, batch_of(module, size, "cpu"))
        own = {tensor.untyped_storage()._cdata for tensor in state.values()}
        return sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)


@pytest.mark.parametrize("name", SHIPPED)
def test_parameters_flop_and_memory_are_those_of_the_network(name: str, cats: Path, tmp_path: Path) -> None:
    own = {"data.image_size": read(name)["data"]["image_size"], "trainer.precision": "32-true"}
    module = FitCLI(["--config", name, *shrunk(cats, tmp_path), *options(own)]).model
    parameters = sum(p.numel() for p in module.parameters())
    activations = activation_bytes(module, 2) - activation_bytes(module, 1)
    flop = flop_of_a_step(module.to("meta"))
    stated = figures(COST, name)
    assert float(stated["parameters"]) * 1e6 == pytest.approx(parameters, rel=0.03)
    assert float(stated["gflop"]) * 1e9 == pytest.approx(flop, rel=0.05)
    assert flop_per_image(module) == pytest.approx(flop, rel=0.01)  # what a run in the cloud is forecast with
    if name in FOR_A_GPU:
        assert_memory(name, parameters * BYTES_PER_PARAMETER, activations)


def assert_memory(name: str, fixed: int, activations: int) -> None:
    stated = figures(MEMORY, name)
    batch = read(name)["data"]["batch_size"]
    assert int(stated["batch"]) == batch
    assert float(stated["fixed"]) * 1e9 == pytest.approx(fixed, rel=0.1)
    assert float(stated["activations"]) * 1e6 == pytest.approx(activations, rel=0.05)
    total = fixed + batch * activations
    assert float(stated["gb"]) * 1e9 == pytest.approx(total, rel=0.05)
    assert total < 0.8 * GIGABYTES[figures(ESTIMATE, name)["gpu"]] * 1e9  # what was not counted needs room


@pytest.mark.parametrize("name", SHIPPED)
def test_length_follows_from_the_config_and_the_rate(name: str) -> None:
    stated, config = figures(COST, name), read(name)
    steps, batch = config["trainer"]["max_steps"], config["data"]["batch_size"]
    assert (int(stated["steps"]), int(stated["batch"])) == (steps, batch)
    assert int(stated["images"]) == steps * batch
    seconds = float(stated["time"]) * SECONDS[stated["unit"]]
    assert int(stated["rate"]) * seconds == pytest.approx(steps * batch, rel=0.1)
    assert int(stated["epochs"]) * int(stated["set"]) == pytest.approx(steps * batch, rel=0.02)
    if "root" not in config["data"]:
        images = OXFORD_CATS if config["data"].get("source") == "OxfordPetCats" else DRAWN_CATS
        assert int(stated["set"]) == round(images * (1 - HELD_OUT))


@pytest.mark.parametrize("name", FOR_A_GPU)
def test_rate_time_and_price_are_those_of_the_gpu(name: str) -> None:
    stated, estimate = figures(COST, name), figures(ESTIMATE, name)
    gpu = GPUS[estimate["gpu"]]
    assert ACHIEVED_SHARE == 0.25  # the quarter of the wording
    assert float(estimate["peak"]) == gpu.tflops_half
    flop = float(stated["gflop"]) * 1e9
    assert int(stated["rate"]) == pytest.approx(ACHIEVED_SHARE * gpu.tflops_half * 1e12 / flop, rel=0.05)
    seconds = float(stated["time"]) * SECONDS[stated["unit"]]
    assert seconds <= LONGEST[estimate["gpu"]]
    assert float(stated["usd"]) == pytest.approx(seconds * gpu.usd_per_second, rel=0.03)
    assert stated["payer"] == f"for the {estimate['gpu']} alone at Modal's prices of {DATE}, from memory"


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - set(FOR_A_GPU)))
def test_what_runs_on_a_cpu_was_measured_and_costs_nothing(name: str) -> None:
    stated = figures(COST, name)
    assert stated["how"] == "measured"
    assert (float(stated["usd"]), stated["payer"]) == (0.0, "on your own machine")


@pytest.mark.parametrize("name", FOR_A_FOLDER)
def test_config_for_a_folder_of_yours_asks_for_one(name: str, tmp_path: Path, capsys: Capture) -> None:
    cpu = {"trainer.accelerator": "cpu", "trainer.default_root_dir": tmp_path / "runs"}
    _, message = refusal(["--config", name, *options(cpu)], capsys)
    assert "my_images" in message
    assert not (tmp_path / "runs").exists()
