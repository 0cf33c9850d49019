"""Steps per second of Trainer.fit against a hand-written loop over the same step.

Both train the same network from the same weights on the same batches with the same noise, in one process and
in alternating blocks: the Trainer is stopped in its last callback's `on_train_batch_end`, the loop takes as
many steps, and the Trainer goes on. A block's time is that of whole cycles: fetching a batch, the step
(forward, backward, clipping, AdamW, EMA), and all that follows until the next fetch. For the Trainer that is
its loop, its hooks and its logging every 20 steps, with the command line's own callbacks, progress bar and
TensorBoard logger. Start-up, sampling, validation and saving are left out, and so is the first block of each.
At the end the averaged weights of the two are compared: they did the same work only if these agree.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from machine import describe, machine, write

from datamodules.image_folder import ImageFolderDataModule
from datamodules.sources.rendered_cats import RenderedCats
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.telemetry import between_steps
from lightning_modules.cli.fit_cli import FitCLI
from lightning_modules.diffusion.loss import denoising_loss
from lightning_modules.ema.callback import EMA
from lightning_modules.module import DiffusionModule
from lightning_modules.networks.layers import weight_decay_groups
from lightning_modules.utils.seeds import Stream, fold

CONFIGS = {"DiTDiffusion": "demo", "UNetDiffusion": "demo-unet"}
WARM_UP, DECAY, CLIP, LOG_EVERY = 50, 0.999, 1.0, 20


class HandWrittenLoop:
    """The training loop without Lightning.

    Args:
        module: A module of its own, whose denoiser and settings are used, and none of its hooks.
        data: A data module of its own, set up, with no trainer.
    """

    def __init__(self, module: DiffusionModule, data: ImageFolderDataModule) -> None:
        self.module, self.data = module.train(), data
        self.device = module.device
        self.parameters = list(module.parameters())
        self.average = [parameter.detach().clone() for parameter in self.parameters]
        settings = module.optimizer_settings
        groups: Any = weight_decay_groups(module.network, settings.weight_decay)
        self.optimizer = torch.optim.AdamW(
            groups, settings.learning_rate, settings.betas, settings.eps, settings.weight_decay, fused=True
        )
        self.learning_rate, self.ema = LearningRate(warm_up=WARM_UP), EMA(DECAY)
        self.batches = iter(data.train_dataloader())
        self.taken = 0

    def run(self, steps: int) -> float:
        """Take steps and return their time in seconds."""
        synchronize(self.device)
        started = time.perf_counter()
        with torch.enable_grad():
            for _ in range(steps):
                self.step()
        synchronize(self.device)
        return time.perf_counter() - started

    def step(self) -> None:
        """Fetch a batch and take one step."""
        module, seed = self.module, self.module.seed
        images, labels = next(self.batches)
        images = module.encoder.encode(images.to(self.device, non_blocking=True))
        labels = labels.to(self.device, non_blocking=True)
        generator = torch.Generator(self.device).manual_seed(fold(seed, Stream.TRAINING_STEP, self.taken, 0))
        sigma = module.noise_levels.sample(len(images), generator)
        noise = torch.randn(images.shape, generator=generator, device=self.device)
        dropped = torch.rand(labels.shape, generator=generator, device=self.device) < module.cond_dropout
        denoiser = module.bind(module.conditioner.drop(module.conditioner.read(labels), dropped))
        for group in self.optimizer.param_groups:
            group["lr"] = module.optimizer_settings.learning_rate * self.learning_rate.factor(self.taken, -1)
        loss = denoising_loss(denoiser, module.weighting, images, noise, sigma).loss.mean()
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, CLIP)
        self.optimizer.step()
        with torch.no_grad():
            if self.taken:
                weight = 1 - self.ema.decay_at(self.taken)
                torch._foreach_lerp_(self.average, self.parameters, weight)
            else:
                torch._foreach_copy_(self.average, self.parameters)
        self.taken += 1
        if self.taken % LOG_EVERY == 0:
            print(f"hand-written loop: step {self.taken}, loss {loss.item():.3f}", file=sys.stderr)


class Alternation(Callback):
    """Stop the Trainer after every block for a block of the hand-written loop, and time both.

    Args:
        loop: Runs so many steps and returns the seconds they took.
        steps: Steps per block.
    """

    def __init__(self, loop: Callable[[int], float], steps: int) -> None:
        self.loop, self.steps = loop, steps
        self.lightning: list[float] = []
        self.by_hand: list[float] = []
        self._resumed: float | None = None

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *_: object) -> None:
        """End a block if it is complete. This callback is the last one, so the others' work is done."""
        if trainer.global_step % self.steps:
            return
        synchronize(pl_module.device)
        if self._resumed is not None:
            self.lightning.append(time.perf_counter() - self._resumed)
        with between_steps(trainer):
            seconds = self.loop(self.steps)
        if self._resumed is not None:
            self.by_hand.append(seconds)
        self._resumed = time.perf_counter()


def synchronize(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked to."""
    options = parse(args)
    with tempfile.TemporaryDirectory() as folder:
        times, difference = measure(options, Path(folder))
    per_step = {
        name: 1000 * statistics.median(seconds) / options.steps_per_block for name, seconds in times.items()
    }
    ratio = per_step["hand_written"] / per_step["lightning"]
    facts = machine() | {"torch_threads": torch.get_num_threads(), "device": options.accelerator}
    if torch.cuda.is_available() and options.accelerator != "cpu":
        facts["gpu"] = torch.cuda.get_device_name()
    print(describe(facts))
    print(f"Trainer.fit         {per_step['lightning']:8.2f} ms/step")
    print(f"hand-written loop   {per_step['hand_written']:8.2f} ms/step")
    print(
        f"steps/s, ratio of the medians of {options.rounds} blocks of {options.steps_per_block}: {ratio:.3f}"
    )
    print(f"largest difference between the averaged weights of the two: {difference:g}")
    figures = {"ms_per_step": per_step, "ratio": ratio, "largest_weight_difference": difference}
    write(
        {"machine": facts, "options": vars(options) | {"out": None}, "seconds": times} | figures, options.out
    )


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", choices=sorted(CONFIGS), default="DiTDiffusion", help="of the demo configs"
    )
    parser.add_argument("--rounds", type=int, default=12, help="blocks of each that count (default 12)")
    parser.add_argument("--steps-per-block", type=int, default=20, help="a multiple of 20 logs once a block")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--image-size", type=int, default=32)
    parser.add_argument("--data", help="image folder (default: 120 rendered cats in a temporary folder)")
    parser.add_argument("--accelerator", default="auto", help="auto, cpu or gpu (default auto)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("fit", nargs="*", help="further options of fit.py, after --: -- --ema.decay 0.9")
    return parser.parse_args(args)


def measure(options: argparse.Namespace, folder: Path) -> tuple[dict[str, list[float]], float]:
    """Run the blocks; return the seconds of each, and how far the two ends' weights are apart."""
    root = options.data or RenderedCats(120, options.image_size, folder=folder).prepare()
    cli = FitCLI(command_line(options, str(root), folder))
    module, data = copy.deepcopy(cli.model), twin(cli.datamodule)
    device = cli.trainer.strategy.root_device
    loop = HandWrittenLoop(module.to(device), data)
    alternation = Alternation(loop.run, options.steps_per_block)
    cli.trainer.callbacks.append(alternation)
    cli.trainer.fit(cli.model, datamodule=cli.datamodule)
    # After training the module holds the averaged weights.
    pairs = zip(cli.model.parameters(), loop.average, strict=True)
    difference = max((a.detach().to(b.device) - b).abs().max().item() for a, b in pairs)
    return {"lightning": alternation.lightning, "hand_written": alternation.by_hand}, difference


def command_line(options: argparse.Namespace, root: str, folder: Path) -> list[str]:
    steps = (options.rounds + 1) * options.steps_per_block
    settings = {
        "config": CONFIGS[options.model],
        "data.root": root,
        "data.cache_dir": folder / "cache",
        "data.batch_size": options.batch_size,
        "data.image_size": options.image_size,
        "trainer.default_root_dir": folder / "runs",
        "trainer.accelerator": options.accelerator,
        "trainer.devices": 1,
        "trainer.precision": "32-true",
        "trainer.max_steps": steps,
        "trainer.limit_val_batches": 0,
        "trainer.log_every_n_steps": LOG_EVERY,
        "trainer.gradient_clip_val": CLIP,
        "learning_rate.warm_up": WARM_UP,
        "learning_rate.cool_down": 0,
        "ema.decay": DECAY,
        "sample_grid.every_n_steps": 0,
        "checkpoint.every_n_steps": 10 * steps,
    }
    return [text for name, value in settings.items() for text in (f"--{name}", str(value))] + options.fit


def twin(data: ImageFolderDataModule) -> ImageFolderDataModule:
    """Return a data module of the same batches, which knows of no trainer."""
    same = ImageFolderDataModule(
        root=data.root,
        image_size=data.image_size,
        batch_size=data.batch_size,
        val_fraction=data.val_fraction,
        flip=data.flip,
        workers=data.workers,
        cache_dir=data.cache_dir,
        seed=data.seed,
    )
    same.prepare_data()
    same.setup("fit")
    return same


if __name__ == "__main__":
    main()
