from __future__ import annotations

from typing import Any

from lightning_modules.conditioning.class_labels import ClassLabels
from lightning_modules.conditioning.conditioner import Conditioner
from lightning_modules.diffusion.noise_levels import LogNormal, NoiseLevels
from lightning_modules.diffusion.preconditioning import EDM, Preconditioner, check_capacity
from lightning_modules.diffusion.weighting import Weighting
from lightning_modules.module import AdamWSettings, DiffusionModule
from lightning_modules.networks.unet import UNet
from lightning_modules.utils.ranges import Rule, at_least, check_ranges, share


class UNetDiffusion(DiffusionModule):
    """A convolutional U-Net.

    Args:
        image_size: Height and width of the images in pixels, a multiple of `unshuffle * 2^(levels - 1)`.
        class_names: Names of the data's classes in the order of their labels; one class is unconditional.
        channels: Channels at each level, fine to coarse; multiples of 8.
        blocks: Residual blocks per level on the way down; one more on the way up.
        attention: Resolutions in pixels of the feature map at which attention follows each block.
        unshuffle: Pixels are folded into channels by this factor first; 2 is about four times faster.
        head_width: Least channels of an attention head.
        dropout: Share of features dropped in training.
        conditioner: What images are asked for by; none is the labels of their classes.
        preconditioner: How the network's output becomes `denoised`, that is what the network predicts.
        noise_levels: The law that training draws noise levels from.
        weighting: Loss weight by noise level; none takes the one the preconditioner was published with.
        cond_dropout: Share of images of which nothing is asked, which classifier-free guidance needs.
        augmentations: How many numbers tell the network what was done to a training image; 0 for none.
        optimizer: Settings of AdamW.
        seed: Seed of everything random in a step.
        compile: Whether to run the network through `torch.compile`, where a compiler is there.

    Raises:
        ValueError: If a setting is out of its range, the sizes do not divide, or the network is too narrow
            for what it is to predict.
    """

    def __init__(
        self,
        image_size: int,
        class_names: tuple[str, ...] = ("images",),
        channels: tuple[int, ...] = (64, 128, 256),
        blocks: int = 2,
        attention: tuple[int, ...] = (8, 16),
        unshuffle: int = 1,
        head_width: int = 64,
        dropout: float = 0.0,
        conditioner: Conditioner[Any] | None = None,
        preconditioner: Preconditioner = EDM(),
        noise_levels: NoiseLevels = LogNormal(),
        weighting: Weighting | None = None,
        cond_dropout: float = 0.1,
        augmentations: int = 0,
        optimizer: AdamWSettings = AdamWSettings(),
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        check_ranges(
            at_least("image_size", image_size, 1),
            Rule(
                "channels", list(channels), bool(channels) and min(channels) > 0, "a list of numbers above 0"
            ),
            at_least("blocks", blocks, 1),
            *(at_least("attention", resolution, 1) for resolution in attention),
            at_least("unshuffle", unshuffle, 1),
            at_least("head_width", head_width, 1),
            share("dropout", dropout, whole=False),
        )
        check_capacity(unshuffle, channels[0] if channels else 0, preconditioner, "unshuffle", "channels[0]")
        asked = conditioner or ClassLabels(tuple(class_names))
        network = UNet(
            image_size,
            channels=channels,
            blocks=blocks,
            attention=attention,
            embed=asked.embedding,
            unshuffle=unshuffle,
            head_width=head_width,
            dropout=dropout,
            augmentations=augmentations,
        )
        super().__init__(
            network,
            image_size=image_size,
            class_names=class_names,
            conditioner=asked,
            preconditioner=preconditioner,
            noise_levels=noise_levels,
            weighting=weighting,
            cond_dropout=cond_dropout,
            optimizer=optimizer,
            seed=seed,
            compile=compile,
        )
        self.save_hyperparameters()
        self.hparams["class_names"] = list(class_names)
