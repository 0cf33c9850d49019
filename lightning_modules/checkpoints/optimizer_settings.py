"""An optimizer's settings when its state is taken up: those of the command line, not of the checkpoint."""

from __future__ import annotations

from typing import Any

import torch


def keep_settings(optimizer: torch.optim.Optimizer) -> None:
    """Let an optimizer keep its own settings when it takes a checkpoint's state up: the moments alone are it.

    torch takes learning rate, betas, weight decay and kernel from the checkpoint too, and a run that is to
    go on with others would not. The peak that the `learning_rate` callback noted goes with them.
    """
    own = [
        {name: value for name, value in group.items() if name != "params"} for group in optimizer.param_groups
    ]

    def with_own(_: torch.optim.Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        saved = [
            {name: value for name, value in group.items() if name != "initial_lr"}
            for group in state["param_groups"]
        ]
        if len(saved) != len(own):  # torch says what is wrong
            return state
        return {
            **state,
            "param_groups": [group | settings for group, settings in zip(saved, own, strict=True)],
        }

    # Before, not after: by the kernel torch decides where the moments' step counts lie.
    optimizer.register_load_state_dict_pre_hook(with_own)
