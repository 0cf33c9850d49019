from __future__ import annotations

from typing import Any

from lightning_modules.conditioning.class_labels import ClassLabels
from lightning_modules.conditioning.conditioner import Conditioner
from lightning_modules.diffusion.noise_levels import LogitNormal, NoiseLevels
from lightning_modules.diffusion.preconditioning import FlowX, Preconditioner, check_capacity
from lightning_modules.diffusion.weighting import Weighting
from lightning_modules.module import AdamWSettings, DiffusionModule
from lightning_modules.networks.dit import DiT, Modulation
from lightning_modules.utils.ranges import Rule, above, at_least, check_ranges, share


class DiTDiffusion(DiffusionModule):
    """A diffusion transformer.

    Args:
        image_size: Height and width of the images in pixels, a multiple of `patch_size`.
        class_names: Names of the data's classes in the order of their labels; one class is unconditional.
        patch_size: Height and width of a token's patch in pixels.
        width: Size of a token.
        depth: Number of transformer blocks.
        heads: Number of attention heads; `width / heads` is a multiple of 4.
        mlp_ratio: Size of the feed-forward hidden layer over `width`.
        modulation: `per_block` maps the condition in each block, `shared` once for all.
        registers: Number of learned tokens beside the patches.
        window: Side in tokens of the local attention windows of the first `window_depth` blocks.
        window_depth: Number of first blocks with local attention windows.
        long_skips: Whether early blocks feed their late twins.
        dropout: Share of feed-forward units dropped in training.
        merged_depth: Number of further blocks, after half of the others, that see 2 x 2 tokens as one; 0 for
            none.
        merged_width: Size of a merged token.
        merged_heads: Number of attention heads of the merged blocks.
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
        patch_size: int = 4,
        width: int = 256,
        depth: int = 6,
        heads: int = 4,
        mlp_ratio: float = 8 / 3,
        modulation: Modulation = "shared",
        registers: int = 0,
        window: int = 4,
        window_depth: int = 0,
        long_skips: bool = False,
        dropout: float = 0.0,
        merged_depth: int = 0,
        merged_width: int = 384,
        merged_heads: int = 6,
        conditioner: Conditioner[Any] | None = None,
        preconditioner: Preconditioner = FlowX(),
        noise_levels: NoiseLevels = LogitNormal(mean=0.3, std=1.4),
        weighting: Weighting | None = None,
        cond_dropout: float = 0.1,
        augmentations: int = 0,
        optimizer: AdamWSettings = AdamWSettings(),
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        check_ranges(
            *(
                at_least(name, value, 1)
                for name, value in (
                    ("image_size", image_size),
                    ("patch_size", patch_size),
                    ("width", width),
                    ("depth", depth),
                    ("heads", heads),
                    ("window", window),
                    ("merged_width", merged_width),
                    ("merged_heads", merged_heads),
                )
            ),
            above("mlp_ratio", mlp_ratio),
            at_least("registers", registers, 0),
            Rule(
                "window_depth", window_depth, 0 <= window_depth <= depth, f"from 0 to depth, which is {depth}"
            ),
            share("dropout", dropout, whole=False),
            at_least("merged_depth", merged_depth, 0),
        )
        check_capacity(patch_size, width, preconditioner, "patch_size", "width")
        asked = conditioner or ClassLabels(tuple(class_names))
        network = DiT(
            image_size,
            patch_size=patch_size,
            width=width,
            depth=depth,
            heads=heads,
            embed=asked.embedding,
            mlp_ratio=mlp_ratio,
            modulation=modulation,
            registers=registers,
            window=window,
            window_depth=window_depth,
            long_skips=long_skips,
            dropout=dropout,
            augmentations=augmentations,
            merged_depth=merged_depth,
            merged_width=merged_width,
            merged_heads=merged_heads,
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
