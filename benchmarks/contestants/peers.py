"""The contestants that are not this project's, each with its published defaults, scaled to small images."""

from __future__ import annotations

import math
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from contestants.peer import Peer, Weights, copy_of
from contestants.published_dit import PublishedDiT
from contestants.stand_in import import_ddpm_pytorch

_NEAR = "DPM-Solver++ (2M) of diffusers with dynamic thresholding"


class NoisePredictor(Peer):
    """A network that predicts the noise of 1,000 linear levels, with the schedulers of diffusers."""

    published_nfe: int

    def schedule(self) -> None:
        """Make the training schedule and choose the sampler."""
        from diffusers import DDPMScheduler

        self.noising = DDPMScheduler(num_train_timesteps=1000, beta_schedule="linear")
        fast = self.task.peer_sampler == "fast"
        self.nfe = self.task.nfe or (25 if fast else self.published_nfe)
        self.sampler = _NEAR if fast else "DDPM, ancestral"

    def predict(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """Predict the noise."""
        raise NotImplementedError

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean squared error of the noise at a random level."""
        noise = torch.randn_like(images)
        time = torch.randint(0, 1000, (len(images),))
        noisy = self.noising.add_noise(images, noise, time)
        return functional.mse_loss(self.predict(noisy, time, labels), noise)

    def draw(self, labels: Tensor) -> Tensor:
        """Draw by a scheduler of diffusers."""
        from diffusers import DDPMScheduler, DPMSolverMultistepScheduler

        scheduler: Any
        if self.task.peer_sampler == "fast":  # thresholding: as its documentation advises for pixels
            scheduler = DPMSolverMultistepScheduler(1000, beta_schedule="linear", thresholding=True)
        else:
            scheduler = DDPMScheduler(1000, beta_schedule="linear")
        scheduler.set_timesteps(self.nfe)
        x = torch.randn(len(labels), 3, self.task.size, self.task.size) * scheduler.init_noise_sigma
        for time in scheduler.timesteps:
            x = scheduler.step(self.predict(x, time.expand(len(x)), labels), time, x).prev_sample
        return x


class PublishedDiTPeer(NoisePredictor):
    """The original DiT: noise prediction, adaLN-Zero, no rotary positions (Peebles & Xie 2023).

    As published: linear levels, AdamW of 1e-4 held constant, no weight decay, no clipping, average of 0.9999,
    labels left out one time in ten, mirrored images. Chosen here: width 256, 8 blocks, 4 heads, patches of 4
    pixels and batches of 64 instead of 256, which would leave too few steps in minutes; pixels instead of
    latents; the plain error of the noise, without learned variances.
    """

    choices = (
        "width 256, 8 blocks, 4 heads, patch 4; batch 64 (256 published: too few steps in minutes); AdamW "
        "1e-4 constant, average 0.9999; plain noise error, no learned variance; "
        "published sampler: DDPM, 250 steps"
    )
    batch, published_nfe = 64, 250

    def build(self) -> None:
        """Make the network, its optimizer and its average."""
        shrink = self.task.shrink
        self.network = PublishedDiT(self.task.size, 256 // shrink, 8, 4, 4, self.task.classes)
        self.average = copy_of(self.network)
        self.optimizer = torch.optim.AdamW(self.network.parameters(), lr=1e-4, weight_decay=0.0)
        self.schedule()

    def predict(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """Predict the noise; in training, a tenth of the labels is left out."""
        if self.network.training and self.task.classes > 1:
            left_out = torch.rand(len(labels)) < 0.1
            labels = torch.where(left_out, self.task.classes, labels)
        noise: Tensor = self.network(x, time, labels)
        return noise

    @torch.no_grad()
    def after_step(self) -> None:
        """Average the weights."""
        torch._foreach_lerp_(list(self.average.parameters()), list(self.network.parameters()), 1e-4)

    def averaged(self) -> Weights:
        """Return the average."""
        return self.average.state_dict()


class DiffusersPeer(NoisePredictor):
    """The UNet of diffusers in the manner of its unconditional training example.

    As the example has it: noise prediction, linear levels, batches of 16, AdamW of 1e-4 with betas 0.95 and
    0.999, weight decay 1e-6, 500 steps of warm-up and a cosine to 0, clipping at 1, an average that warms up
    to 0.9999 by the power 3/4, mirrored images. Chosen here: three levels of 64, 128 and 256 channels with
    attention at the last, as the example has it at one of its deepest; a warm-up of at most a tenth of the
    time; the cosine runs by the clock.
    """

    choices = (
        "UNet2DModel (64, 128, 256), 2 layers, attention at the last level; batch 16; AdamW 1e-4 "
        "(0.95, 0.999), warm-up of 500 steps or a tenth of the time, cosine by the clock, "
        "clipping at 1, average to "
        "0.9999 by power 3/4; published sampler: DDPM, 1,000 steps"
    )
    batch, published_nfe, max_norm = 16, 1000, 1.0

    def build(self) -> None:
        """Make the network, its optimizer and its average."""
        from diffusers import UNet2DModel
        from diffusers.training_utils import EMAModel

        channels = tuple(width // self.task.shrink for width in (64, 128, 256))
        self.network = UNet2DModel(
            sample_size=self.task.size,
            layers_per_block=2,
            block_out_channels=channels,
            down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            norm_num_groups=min(32, channels[0]),
        )
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=1e-4, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8
        )
        self.average = EMAModel(
            self.network.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75
        )
        self.schedule()

    def rate(self, step: int, share: float) -> float:
        """Warm up, then fall along a cosine."""
        warm = max((step + 1) / 500, share / 0.1)
        return min(1.0, warm) * 0.5 * (1 + math.cos(math.pi * min(1.0, share)))

    def predict(self, x: Tensor, time: Tensor, labels: Tensor) -> Tensor:
        """Predict the noise."""
        noise: Tensor = self.network(x, time).sample
        return noise

    def after_step(self) -> None:
        """Average the weights."""
        self.average.step(self.network.parameters())

    def averaged(self) -> Weights:
        """Return the average."""
        network = copy_of(self.network)
        self.average.copy_to(network.parameters())
        return network.state_dict()


class DdpmPytorchPeer(Peer):
    """`denoising-diffusion-pytorch`: its Unet, its GaussianDiffusion, its average, its Trainer's defaults.

    As its code has them: v prediction, sigmoid levels, batches of 16, Adam of 1e-4 with betas 0.9 and 0.99,
    clipping at 1, an average of 0.995 every ten steps, mirrored images. Chosen here: three levels of 64, 128
    and 256 channels; the loop of its Trainer is written out over the same calls, since the Trainer reads its
    images through torchvision. Its fast sampler is DDIM; 250 steps in its README, 50 here.
    """

    choices = (
        "Unet(64, dim_mults=(1, 2, 4)), full attention at the last level; batch 16; v prediction, sigmoid "
        "levels; Adam 1e-4 (0.9, 0.99), clipping at 1, average of 0.995 every 10 steps; its Trainer's loop "
        "written out (images come as arrays); published sampler: DDIM, 250 steps"
    )
    batch, max_norm = 16, 1.0

    def build(self) -> None:
        """Make the network, its optimizer and its average."""
        library, stands_in = import_ddpm_pytorch()
        try:
            from ema_pytorch import EMA
        except ModuleNotFoundError as error:
            from contestants.stand_in import MISSING

            raise ModuleNotFoundError(MISSING) from error
        if stands_in:
            self.choices = f"{type(self).choices}; torchvision does not import and is stood in for"
        self.nfe = self.task.nfe or (50 if self.task.peer_sampler == "fast" else 250)
        self.sampler = "DDIM of denoising-diffusion-pytorch"
        self.network = library.Unet(dim=64 // self.task.shrink, dim_mults=(1, 2, 4), flash_attn=False)
        self.diffusion: nn.Module = library.GaussianDiffusion(
            self.network, image_size=self.task.size, sampling_timesteps=self.nfe
        )
        library.tqdm = _silent
        self.optimizer = torch.optim.Adam(self.diffusion.parameters(), lr=1e-4, betas=(0.9, 0.99))
        self.average = EMA(self.diffusion, beta=0.995, update_every=10)

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Its own loss, of images in [0, 1]."""
        loss: Tensor = self.diffusion((images + 1) / 2)
        return loss

    def after_step(self) -> None:
        """Average the weights."""
        self.average.update()

    def averaged(self) -> Weights:
        """Return the average."""
        weights: Weights = self.average.ema_model.model.state_dict()
        return weights

    def draw(self, labels: Tensor) -> Tensor:
        """Draw by its own DDIM."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.as_tensor(self.diffusion.sample(batch_size=len(labels))) * 2 - 1


def _silent(steps: Any, **_: Any) -> Any:  # noqa: ANN401
    """Its bar per batch; the benchmark has one over all samples."""
    return steps
