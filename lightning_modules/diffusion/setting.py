from __future__ import annotations

import torch


class Setting:
    """A frozen dataclass of plain values that a checkpoint may hold.

    Checkpoints are loaded with `weights_only=True`, which makes no object of an unknown class. A setting's
    class is made known to it, since rebuilding one runs no code but its `__post_init__`.
    """

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        torch.serialization.add_safe_globals([cls])
