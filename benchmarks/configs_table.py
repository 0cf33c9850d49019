"""What each config costs, counted and estimated: writes `docs/configs.md` (`make configs-table`).

Nothing is trained and no image is computed: networks are built as the command line builds them, then counted.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.func import functional_call
from torch.utils.flop_counter import FlopCounterMode

from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.cli.parsing.parser import resolve_config
from lightning_modules.cloud.resolve import CloudCLI
from lightning_modules.cost.prices import ACHIEVED_SHARE, DATE, GPUS, REGION_FACTOR
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.lightning_internals import quiet_lightning

PAGE = Path(__file__).resolve().parents[1] / "docs" / "configs.md"

VAL_SHARE = 0.05
GPU_GB = {"L4": 24, "H100": 80}
BYTES_PER_PARAMETER = 5 * 4 + 2
"""Weight, gradient, two moments and EMA in float32; the weight once more in half precision."""
ROOM = 0.8
"""Share of a GPU's memory that what is counted may take: the rest is left for all that is not counted."""


@dataclass(frozen=True)
class Data:
    """The images that a config is meant for.

    Attributes:
        name: Where they come from.
        images: Number of training images.
        classes: Number of classes.
        of: Number of all images, before some are held out; 0 if not known.
    """

    name: str
    images: int
    classes: int
    of: int = 0


RENDERED = Data("rendered cats", round(2000 * (1 - VAL_SHARE)), 6, of=2000)
OXFORD = Data("Oxford-IIIT cats", round(2371 * (1 - VAL_SHARE)), 12, of=2371)


@dataclass(frozen=True)
class Plan:
    """Where a config is meant to run, and on what.

    Attributes:
        data: The images.
        gpu: The GPU, one of `GPUS`; none for CPU cores.
        measured: Images per second measured on two CPU cores, in float32.
        spread: The lowest and the highest of what was measured.
    """

    data: Data
    gpu: str | None = None
    measured: float = 0.0
    spread: str = ""


PLANS = {
    "demo": Plan(RENDERED, measured=85, spread="75 to 100"),
    "demo-unet": Plan(RENDERED, measured=85, spread="80 to 90"),
    "l4-32": Plan(Data("your folder", 5_000, 1), "L4"),
    "cats": Plan(OXFORD, "L4"),
    "cats-dit": Plan(OXFORD, "L4"),
    "cats-128": Plan(OXFORD, "L4"),
    "h100-64": Plan(Data("your folder", 100_000, 1), "H100"),
    "h100-128": Plan(Data("your folder", 100_000, 1), "H100"),
}
"""Each config of `configs/`, smallest first."""


@dataclass(frozen=True)
class Figures:
    """What is known of a config's cost.

    Attributes:
        name: The config.
        plan: Where it runs.
        parameters: Number of parameters.
        flop: Floating-point operations of one image, forward and backward.
        activations: Bytes kept of one image for the backward pass, in bfloat16 mixed precision.
        steps: Optimizer steps.
        batch: Images per step.
        image_size: Side of an image in pixels.
        network: The network, in words.
    """

    name: str
    plan: Plan
    parameters: int
    flop: float
    activations: int
    steps: int
    batch: int
    image_size: int
    network: str

    @property
    def fixed_bytes(self) -> int:
        """Memory of weights, gradients, moments and EMA."""
        return self.parameters * BYTES_PER_PARAMETER

    @property
    def bytes(self) -> int:
        """Memory of a step, as far as it is counted."""
        return self.fixed_bytes + self.batch * self.activations

    @property
    def rate(self) -> float:
        """Images per second."""
        if self.plan.gpu is None:
            return self.plan.measured
        return ACHIEVED_SHARE * GPUS[self.plan.gpu].tflops_half * 1e12 / self.flop

    @property
    def images(self) -> int:
        """Images seen in training, each as often as it comes."""
        return self.steps * self.batch

    @property
    def hours(self) -> float:
        """Length of the training steps."""
        return self.images / self.rate / 3600

    @property
    def usd(self) -> float:
        """Price of the GPU for that time; 0 on a machine of one's own."""
        return 0.0 if self.plan.gpu is None else self.hours * 3600 * GPUS[self.plan.gpu].usd_per_second


def main(args: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=PAGE, help="where to write the page (default: its place)")
    options = parser.parse_args(args)
    quiet_lightning()
    options.out.write_text(filled(PAGE.read_text(), blocks([figures(name) for name in PLANS])))


def figures(name: str) -> Figures:
    """Count what a shipped config needs.

    Args:
        name: One of `PLANS`.
    """
    config = yaml.safe_load(resolve_config(name).read_text())
    module = build(name)
    activations = activation_bytes(module, 2) - activation_bytes(module, 1)
    return Figures(
        name,
        PLANS[name],
        sum(parameter.numel() for parameter in module.parameters()),
        flop_of_an_image(module.to("meta")),
        activations,
        config["trainer"]["max_steps"],
        config["data"]["batch_size"],
        config["data"]["image_size"],
        network_in_words(config["model"]["init_args"]["network"]),
    )


def network_in_words(settings: dict[str, Any]) -> str:
    """Return the shape of a config's network."""
    if "channels" in settings:
        return f"UNet, {tuple(settings['channels'])}"
    return f"DiT, patch {settings['patch_size']}, {settings['width']} x {settings['depth']}"


def build(name: str) -> DiffusionModule:
    """Return a shipped config's module, without its data and not compiled."""

    class CLI(CloudCLI):
        def class_names(self, data: ImageFolderDataModule) -> tuple[str, ...]:
            return tuple(f"class {i}" for i in range(PLANS[name].data.classes))

    module: DiffusionModule = CLI(["--config", name, "--trainer.precision", "32-true"]).model
    return module


def batch_of(module: DiffusionModule, size: int, device: str) -> tuple[Tensor, Tensor, Condition]:
    x = torch.zeros(size, *module.image_shape, device=device)
    return x, torch.ones(size, device=device), module.conditioner.null(size, device)


def flop_of_an_image(module: DiffusionModule) -> float:
    """Return the operations of one image, forward and backward, of a module on the meta device."""
    with FlopCounterMode(display=False) as counter:
        module(*batch_of(module, 1, "meta")).sum().backward()
    return float(counter.get_total_flops())


def activation_bytes(module: DiffusionModule, size: int) -> int:
    """Return what autograd keeps of a forward pass in mixed precision, without the weights.

    Args:
        module: The module, on the CPU.
        size: Number of images.
    """
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage()._cdata] = tensor
        return tensor

    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        named = [*module.named_parameters(), *module.named_buffers()]
        state: dict[str, Any] = {key: fake.from_tensor(tensor) for key, tensor in named}
        hooks = torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor)
        with hooks, torch.autocast("cpu", torch.bfloat16):
            functional_call(module, state, batch_of(module, size, "cpu"))
        own = {tensor.untyped_storage()._cdata for tensor in state.values()}
        return sum(t.untyped_storage().nbytes() for key, t in kept.items() if key not in own)


def blocks(rows: Sequence[Figures]) -> dict[str, str]:
    """Return the generated parts of the page by name."""
    return {
        "size": "\n".join([SIZE, *(size_row(row) for row in rows)]),
        "length": "\n".join([LENGTH, *(length_row(row) for row in rows)]),
        "assumptions": "\n".join([ASSUMPTIONS, *assumptions()]),
    }


def filled(text: str, parts: dict[str, str]) -> str:
    """Return the page with its generated parts replaced.

    Args:
        text: The page, in which `<!-- begin NAME ... -->` and `<!-- end NAME -->` enclose each part.
        parts: The parts by name.

    Raises:
        ValueError: If a part has no place in the page.
    """
    for name, part in parts.items():
        found = list(re.finditer(rf"<!-- begin {name}\b.*-->\n([\s\S]*?)<!-- end {name} -->", text))
        if len(found) != 1:
            raise ValueError(f"{PAGE.name} has {len(found)} places for '{name}' and needs one")
        text = f"{text[: found[0].start(1)]}\n{part}\n\n{text[found[0].end(1) :]}"
    return text


SIZE = """| config | px | network | parameters | GFLOP an image | batch | memory of step | fixed | per image |
|---|---|---|---|---|---|---|---|---|"""

LENGTH = """| config | machine | images/s | steps | images seen | epochs | time | price |
|---|---|---|---|---|---|---|---|"""

ASSUMPTIONS = """| assumption | value |
|---|---|"""


def size_row(of: Figures) -> str:
    """Return a config's row of the table of sizes."""
    memory = "not counted | | |"
    if of.plan.gpu is not None:
        fixed, image = f"{of.fixed_bytes / 1e9:.1f} GB", f"{of.activations / 1e6:.0f} MB"
        memory = f"{of.bytes / 1e9:.1f} GB | {fixed} | {image} |"
    flop = f"{of.flop / 1e9:#.3g}".rstrip(".")
    network = f"{of.image_size} | {of.network} | {of.parameters / 1e6:.1f} M"
    return f"| `{of.name}` | {network} | {flop} | {of.batch} | {memory}"


def length_row(of: Figures) -> str:
    """Return a config's row of the table of lengths."""
    plan, data = of.plan, of.plan.data
    where = f"one {plan.gpu}" if plan.gpu else "2 CPU cores"
    rate = f"{of.rate:,.0f} estimated" if plan.gpu else f"{of.rate:.0f} measured ({plan.spread})"
    epochs = f"{of.images / data.images:,.0f} of {data.images:,} ({data.name})"
    time = f"{of.hours:.1f} h" if plan.gpu else f"{of.hours * 60:.1f} min"
    price = f"${of.usd:.2f}" if plan.gpu else "your own machine"
    return f"| `{of.name}` | {where} | {rate} | {of.steps:,} | {of.images:,} | {epochs} | {time} | {price} |"


def assumptions() -> list[str]:
    """Return the rows of the table of assumptions."""
    peaks = ", ".join(f"{name} {GPUS[name].tflops_half:g} TFLOP/s" for name in GPU_GB)
    rates = ", ".join(f"{name} ${GPUS[name].usd_per_second * 3600:.2f}" for name in GPU_GB)
    memory = ", ".join(f"{name} {size} GB" for name, size in GPU_GB.items())
    sets = {plan.data.name: plan.data for plan in PLANS.values() if plan.data.of}
    images = "; ".join(f"{each.images:,} of {each.of:,} {name}" for name, each in sets.items())
    folders = ", ".join(f"{p.data.images:,} (`{name}`)" for name, p in PLANS.items() if not p.data.of)
    return [
        f"| peak of dense bfloat16 products | {peaks} |",
        f"| share of that peak that training reaches | {100 * ACHIEVED_SHARE:g} % |",
        f"| price of an hour of the GPU alone at Modal, {DATE}, written down from memory | {rates} |",
        f"| factor on all prices where a region is chosen, at most | {REGION_FACTOR:g} |",
        f"| fixed memory per parameter | {BYTES_PER_PARAMETER} bytes |",
        f"| memory of a GPU | {memory} |",
        f"| share of it that what is counted may take | {100 * ROOM:g} % |",
        f"| share of the images that is held out for validation | {100 * VAL_SHARE:g} % |",
        f"| training images | {images} |",
        f"| training images in your folder | {folders} |",
    ]


if __name__ == "__main__":
    main(sys.argv[1:])
