"""This project, through its own command: scripts/fit.py with a config."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from contestants.task import Contestant, Images, Task
from lightning_modules.sampling.generate import sample_batch
from lightning_modules.sampling.settings import Sampling
from lightning_modules.trained.trained import load_trained

FIT = Path(__file__).resolve().parents[2] / "scripts" / "fit.py"

PROBE, FIRST_PART, END = 0.01, 0.6, 0.97
"""Shares of the time: of the probe, of the first part of the run, and of what is to be used in all."""

WARM_UP, COOL_DOWN, MEMORY = 0.03, 0.3, 0.05
"""Shares of the steps: warm-up, cool-down and memory of the average, where the config leaves them open."""


class Ours(Contestant):
    """This project with a config.

    A learning rate that falls to the end needs the number of steps beforehand. A run of 1 % of the time, at
    least five steps, is timed, counted and thrown away. Then the run itself trains to 60 % of the time, is
    measured again and continued, as any run of this project can be, with the length that ends it at 97 % of
    the time. The starts of its processes are left out, as everybody's are.

    Args:
        task: What to do.
        config: A training config of this project.
    """

    def __init__(self, task: Task, config: Path) -> None:
        self.task, self.config = task, config.resolve()
        if not self.config.is_file():
            raise FileNotFoundError(f"no config {config}")
        self.settings: dict[str, Any] = yaml.safe_load(self.config.read_text())
        self.choices = (
            f"{config.name} through scripts/fit.py; averaged weights; sampler of the config; warm-up, "
            f"cool-down and average as the config has them, else {WARM_UP:.0%}, {COOL_DOWN:.0%} and "
            f"{MEMORY:.0%} of the steps; a probe of {PROBE:.0%} of the time is counted; "
            f"ends at {END:.0%} of the time"
        )

    def train(self) -> dict[str, Any]:
        """Train by the clock, or for a number of steps."""
        task = self.task
        if task.max_steps:
            parts = [self.fit("run", task.max_steps, self.schedule(task.max_steps))]
            return self.described(parts)
        probe = self.fit("probe", 10**9, [], seconds=PROBE * task.seconds, at_least=5)
        rate = (probe["taken"] - 1) / probe["seconds_after_first"]
        left = END * task.seconds - probe["seconds"]
        total = max(4, int(rate * left))
        schedule = self.schedule(total)
        first = self.fit(
            "run", 100 * total, schedule, seconds=FIRST_PART * task.seconds - probe["seconds"], at_least=2
        )
        rate = first["taken"] / first["seconds"]
        more = max(1, int(rate * (left - first["seconds"])))
        second = self.fit("run", first["steps"] + more, schedule)
        return self.described([first, second], probe)

    def described(self, parts: list[dict[str, Any]], probe: dict[str, Any] | None = None) -> dict[str, Any]:
        """Add the parts of a run up."""
        curve, before = [], 0.0 if probe is None else probe["seconds"]
        for part in parts:
            curve += [point | {"seconds": point["seconds"] + before} for point in part["curve"]]
            before += part["seconds"]
        module = load_trained(self.runs / "run").module
        return {
            "steps": parts[-1]["steps"],
            "images": sum(part["images"] for part in parts),
            "seconds": before,
            "probe_seconds": 0.0 if probe is None else probe["seconds"],
            "parameters": sum(p.numel() for p in module.parameters()),
            "curve": curve,
            "config": self.config.read_text(),
        }

    @property
    def runs(self) -> Path:
        """Where the runs go."""
        return self.task.place / "runs"

    def schedule(self, steps: int) -> list[str]:
        """Return the options of a schedule for so many steps, as far as the config leaves it open."""
        rate, average = self.settings.get("learning_rate", {}), self.settings.get("ema", {})
        options = {
            "--learning_rate.warm_up": None if "warm_up" in rate else max(1, round(WARM_UP * steps)),
            "--learning_rate.cool_down": None if "cool_down" in rate else max(1, round(COOL_DOWN * steps)),
            "--ema.decay": None if "decay" in average else max(0.5, 1 - 1 / max(2.0, MEMORY * steps)),
        }
        return [str(part) for pair in options.items() if pair[1] is not None for part in pair]

    def fit(
        self, name: str, steps: int, schedule: list[str], seconds: float = 0.0, at_least: int = 0
    ) -> dict[str, Any]:
        """Start or continue a run in a process of its own and return what its clock says."""
        task, clock = self.task, (self.task.place / f"clock-{name}.json").resolve()
        clock.unlink(missing_ok=True)
        arguments = {"out": str(clock), "seconds": seconds, "at_least": at_least}
        data = Path(task.data).resolve()
        options = {
            "--config": self.config,
            "--experiment": name,
            "--seed_everything": task.seed,
            "--data.root": data / "images",
            "--data.cache_dir": data / "cache",
            "--data.image_size": task.size,
            "--data.val_fraction": 0,
            "--data.class_labels": str(task.classes > 1).lower(),
            "--trainer.max_steps": steps,
            "--trainer.default_root_dir": self.runs.resolve(),
            "--trainer.callbacks": json.dumps(
                [{"class_path": "contestants.clock.StepClock", "init_args": arguments}]
            ),
            "--sample_grid.every_n_steps": 0,
            "--checkpoint.every_n_steps": 10**9,
            "--checkpoint.every_n_minutes": 0,
        }
        if name == "probe":
            schedule = ["--learning_rate.cool_down", "0"]
        command = [sys.executable, str(FIT)]
        command += [str(part) for pair in options.items() for part in pair] + schedule
        if subprocess.run(command, check=False, env=dict(os.environ)).returncode:
            sys.exit(f"error: {FIT.name} failed; what it said is above")
        if not clock.is_file():
            raise RuntimeError(f"{FIT.name} ended without a word of its time: {' '.join(command)}")
        said: dict[str, Any] = json.loads(clock.read_text())
        return said

    def load(self) -> dict[str, Any]:
        """Load the averaged weights."""
        trained = load_trained(self.runs / "run")
        self.module = trained.module
        self.sampling = sampling = within(trained.sampling, self.task.nfe)
        words = f"{sampling.sampler}, {sampling.schedule} schedule"
        if sampling.guidance != 1:
            words += f", guidance {sampling.guidance:g}"
        if sampling.own_guide is not None:
            words += f" away from its own average of length {sampling.own_guide:g}"
        return {"nfe": sampling.nfe, "sampler": words, "weights": "ema"}

    def sample(self, labels: list[int], first: int) -> Images:
        """Sample as the config says."""
        indices, asked = range(first, first + len(labels)), self.module.conditioner.read(labels)
        return sample_batch(self.module, self.sampling, asked, indices, self.task.seed + 1).images.numpy()


def within(sampling: Sampling, most: int) -> Sampling:
    """Return settings of at most so many evaluations of the network per image; 0 leaves them alone."""
    return sampling.within(most) if most else sampling
