"""A diffusion transformer: Peebles & Xie 2023 (arXiv 2212.09748) with what has since become usual."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn
from torch.nn.functional import silu

from lightning_modules.networks.config import NetworkConfig
from lightning_modules.networks.layers import ConditionEmbedding, MakeEmbedding, zeroed
from lightning_modules.networks.merging import MergedBlocks
from lightning_modules.networks.positions import RotaryPositions, sine_positions
from lightning_modules.networks.transformer import Block, check_heads, hidden_width, modulate
from lightning_modules.utils.ranges import above, at_least, check_ranges, share


@dataclass(frozen=True)
class DiTConfig(NetworkConfig):
    """Shape of a `DiT`.

    Args:
        patch_size: Height and width of a token's patch in pixels; divides the image size.
        width: Size of a token.
        depth: Number of transformer blocks.
        heads: Number of attention heads; `width / heads` is a multiple of 4.
        mlp_ratio: Size of the feed-forward hidden layer over `width`; 8/3 has SwiGLU cost what a plain
            layer of ratio 4 costs.
        dropout: Share of feed-forward units dropped in training.
        merged_depth: Number of further blocks, after half of the others, that see 2 x 2 tokens as one; 0 for
            no such blocks. See `MergedBlocks`.
        merged_width: Size of a merged token.
        merged_heads: Number of attention heads of the merged blocks; `merged_width / merged_heads` is a
            multiple of 4.

    Raises:
        ValueError: If an option is out of its range, or the heads do not divide the width.
    """

    patch_size: int = 4
    width: int = 256
    depth: int = 6
    heads: int = 4
    mlp_ratio: float = 8 / 3
    dropout: float = 0.0
    merged_depth: int = 0
    merged_width: int = 384
    merged_heads: int = 6

    def __post_init__(self) -> None:
        check_ranges(
            *(
                at_least(f"network.{name}", getattr(self, name), 1)
                for name in ("patch_size", "width", "depth", "heads", "merged_width", "merged_heads")
            ),
            above("network.mlp_ratio", self.mlp_ratio),
            share("network.dropout", self.dropout, whole=False),
            at_least("network.merged_depth", self.merged_depth, 0),
        )
        check_heads("width", self.width, "heads", self.heads)
        if self.merged_depth:
            check_heads("merged_width", self.merged_width, "merged_heads", self.merged_heads)

    def build(self, image_size: int, channels: int, embed: MakeEmbedding | None, augmentations: int) -> DiT:
        """Make the network; see `NetworkConfig.build`."""
        return DiT(self, image_size, channels, embed, augmentations)


class DiT(nn.Module):
    """Images as tokens of `patch_size`^2 pixels through a stack of modulated transformer blocks.

    All blocks share one map from the condition to their modulation (Chen et al. 2024, "PixArt-alpha",
    arXiv 2310.00426, adaLN-single). Output is 0 at initialization (adaLN-Zero), for any input.

    Args:
        config: The shape.
        image_size: Height and width in pixels, a multiple of the patch size.
        channels: Image channels.
        embed: Makes the embedding of the condition; None: an unconditional network.
        augmentations: Number of values that say what was done to an image; 0 where nothing ever is.

    Raises:
        ValueError: If the patches do not tile the image.
    """

    def __init__(
        self,
        config: DiTConfig,
        image_size: int,
        channels: int = 3,
        embed: MakeEmbedding | None = None,
        augmentations: int = 0,
    ) -> None:
        super().__init__()
        width = config.width
        _check_patches(image_size, config.patch_size)
        self.image_size = image_size
        self.patch_size = config.patch_size
        side = image_size // config.patch_size
        patch_dim = channels * config.patch_size**2
        hidden = hidden_width(width, config.mlp_ratio)
        self.patch = nn.Linear(patch_dim, width)
        self.condition = ConditionEmbedding(width, embed, augmentations)
        self.shared_modulation = zeroed(nn.Linear(width, 6 * width))
        self.blocks = nn.ModuleList(
            Block(width, config.heads, hidden, config.dropout) for _ in range(config.depth)
        )
        self.merged = (
            MergedBlocks(
                side,
                width,
                config.merged_width,
                config.merged_depth,
                config.merged_heads,
                config.mlp_ratio,
                config.dropout,
            )
            if config.merged_depth
            else None
        )
        self.output_modulation = zeroed(nn.Linear(width, 2 * width))
        self.output = zeroed(nn.Linear(width, patch_dim))
        self.positions = RotaryPositions(side, width // config.heads)
        self.position_embedding = nn.Parameter(sine_positions(side, width))
        self._initialize()

    def _initialize(self) -> None:
        # The published initialization: every linear layer Xavier-uniform, as if it were one dense matrix.
        # Layers that were made zero stay zero: modulation and output.
        for module in self.modules():
            if isinstance(module, nn.Linear) and module.weight.any():
                nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(
        self, x: Tensor, noise_level: Tensor, condition: object, augmentation: Tensor | None = None
    ) -> Tensor:
        """Map images (B, C, H, W), noise levels (B,) and what is asked for to images (B, C, H, W).

        `augmentation` (B, augmentations) says what was done to the images; None: as zeros.

        Raises:
            ValueError: If the images are of another size.
        """
        C, H, W = x.shape[1:]
        if (self.image_size, self.image_size) != (H, W):
            raise ValueError(f"The network is for {self.image_size} px squares, not for {H} x {W}.")
        vector = silu(self.condition(noise_level, condition, augmentation))  # (B, width)
        modulation = self.shared_modulation(vector)
        tokens = self.patch(patchify(x, self.patch_size)) + self.position_embedding  # (B, N, width)
        for i, block in enumerate(self.blocks):
            if self.merged is not None and i == len(self.blocks) // 2:
                tokens = self.merged(tokens, vector)
            tokens = block(tokens, modulation, self.positions)
        shift, scale = self.output_modulation(vector)[:, None].chunk(2, dim=-1)
        patches = self.output(modulate(tokens, shift, scale))  # (B, N, C * patch_size^2)
        return unpatchify(patches, self.patch_size, C, H)


def patchify(x: Tensor, patch_size: int) -> Tensor:
    """Cut images (B, C, H, W) into tokens (B, H/p * W/p, C * p * p), row by row."""
    B, C, H, W = x.shape
    grid = x.reshape(B, C, H // patch_size, patch_size, W // patch_size, patch_size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(B, -1, C * patch_size**2)


def unpatchify(patches: Tensor, patch_size: int, channels: int, image_size: int) -> Tensor:
    """Put tokens (B, H/p * W/p, C * p * p) back into square images (B, C, H, W); `patchify`'s inverse."""
    side = image_size // patch_size
    grid = patches.reshape(-1, side, side, channels, patch_size, patch_size)
    return grid.permute(0, 3, 1, 4, 2, 5).reshape(-1, channels, image_size, image_size)


def _check_patches(image_size: int, patch_size: int) -> None:
    if image_size % patch_size:
        raise ValueError(
            f"image_size {image_size} is not a multiple of network.patch_size {patch_size}: the patches "
            f"would not tile the image. Take a patch_size that divides it."
        )
