"""What the peers have in common: the loop by the clock, the choice between raw and averaged weights."""

from __future__ import annotations

import copy
import time
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from contestants.task import Contestant, Images, Task
from lightning_modules.encoders import RGB

Weights = dict[str, Tensor]

_JUDGED = 256
"""Held-out images that decide between raw and averaged weights."""


class Peer(Contestant):
    """Another library or design, trained in its own way.

    Args:
        task: What to do.

    Attributes:
        batch: Images in a step.
        network: The network that is trained.
        optimizer: Its optimizer.
        max_norm: Gradient norm that is clipped to; none does not clip.
        nfe: Evaluations of the network per sample.
        sampler: What the sampler is called.
    """

    batch: int
    network: nn.Module
    optimizer: torch.optim.Optimizer
    max_norm: float | None = None
    nfe: int
    sampler: str

    def __init__(self, task: Task) -> None:
        self.task = task
        torch.manual_seed(task.seed)
        self.build()

    @abstractmethod
    def build(self) -> None:
        """Make the network, its optimizer and its average."""

    @abstractmethod
    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Return the training loss of images, (B, 3, S, S) in [-1, 1]."""

    @abstractmethod
    def after_step(self) -> None:
        """Update the average."""

    @abstractmethod
    def averaged(self) -> Weights:
        """Return the averaged weights, by the names of the network's."""

    @abstractmethod
    def draw(self, labels: Tensor) -> Tensor:
        """Draw images of these labels, about in [-1, 1], by the network as it is."""

    def rate(self, step: int, share: float) -> float:
        """Return the share of the learning rate at a step, `share` of the time having gone."""
        return 1.0

    def train(self) -> dict[str, Any]:
        """Train until the time is over, or for a number of steps."""
        task, batches = self.task, self.batches()
        peak = [group["lr"] for group in self.optimizer.param_groups]
        curve: list[dict[str, float]] = []
        self.network.train()
        images, labels = next(batches)
        step, now, started = 0, 0.0, time.perf_counter()
        with tqdm(total=round(task.seconds), desc="training", unit="s", disable=task.max_steps > 0) as bar:
            while step < task.max_steps if task.max_steps else now < task.seconds:
                share = step / task.max_steps if task.max_steps else now / task.seconds
                for group, rate in zip(self.optimizer.param_groups, peak, strict=True):
                    group["lr"] = rate * self.rate(step, share)
                loss = self.step(images, labels)
                step, now = step + 1, time.perf_counter() - started
                if not curve or now > curve[-1]["seconds"] + max(1.0, task.seconds / 50):
                    curve.append({"seconds": now, "step": step, "loss": float(loss)})
                bar.update(min(int(now), bar.total) - bar.n)
                images, labels = next(batches)
        torch.save({"raw": self.network.state_dict(), "ema": self.averaged()}, task.place / "weights.pt")
        parameters = sum(p.numel() for p in self.network.parameters())
        facts = {"steps": step, "images": step * self.batch, "seconds": now}
        return facts | {"parameters": parameters, "curve": curve}

    def step(self, images: Tensor, labels: Tensor) -> Tensor:
        """Take a step of the optimizer."""
        loss = self.loss(images, labels)
        loss.backward()
        if self.max_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.max_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.after_step()
        return loss.detach()

    def batches(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Shuffle the training images again and again, and mirror half of them."""
        images, labels = self.task.array("train"), self.task.array("train_labels")
        rng = np.random.default_rng(self.task.seed)
        rows = rng.permutation(len(images))
        while True:
            while len(rows) < self.batch:
                rows = np.concatenate([rows, rng.permutation(len(images))])
            chosen, rows = rows[: self.batch], rows[self.batch :]
            x = in_range(images[chosen])
            mirrored = torch.from_numpy(rng.random(len(chosen)) < 0.5)[:, None, None, None]
            yield torch.where(mirrored, x.flip(3), x), torch.from_numpy(labels[chosen])

    def load(self) -> dict[str, Any]:
        """Load the raw or the averaged weights: those with the lower loss on held-out images."""
        saved = torch.load(self.task.place / "weights.pt", weights_only=True)
        losses = {name: self.val_loss(weights) for name, weights in saved.items()}
        best = min(losses, key=losses.__getitem__)
        self.network.load_state_dict(saved[best])
        self.network.eval()
        torch.manual_seed(self.task.seed + 1)
        return {"nfe": self.nfe, "sampler": self.sampler, "weights": best, "val_losses": losses}

    @torch.no_grad()
    def val_loss(self, weights: Weights) -> float:
        """Return the loss on held-out images, over the same noise for all weights."""
        self.network.load_state_dict(weights)
        self.network.eval()
        torch.manual_seed(0)
        images, labels = self.task.array("val")[:_JUDGED], self.task.array("val_labels")[:_JUDGED]
        losses = [
            float(
                self.loss(in_range(images[start : start + 64]), torch.from_numpy(labels[start : start + 64]))
            )
            for _ in range(4)
            for start in range(0, len(images), 64)
        ]
        return float(np.mean(losses))

    @torch.no_grad()
    def sample(self, labels: list[int], first: int) -> Images:
        """Draw images; the noise follows on from the batch before."""
        return RGB().decode(self.draw(torch.tensor(labels))).numpy()


def in_range(images: Images) -> Tensor:
    """Turn uint8 images into float32 in [-1, 1]."""
    return RGB().encode(torch.from_numpy(np.array(images)))


def copy_of(network: nn.Module) -> nn.Module:
    """Return a copy that is not trained."""
    return copy.deepcopy(network).requires_grad_(False).eval()
