"""Running a network through `torch.compile` where that works."""

from __future__ import annotations

import logging

import torch
from torch import Tensor, nn

logger = logging.getLogger(__name__)


def compile_where_possible(network: nn.Module, device: torch.device) -> bool:
    """Compile a network in place, or say why not and leave it as it is: it computes the same, more slowly.

    `torch.compile` itself would fail at the first step. It needs a C++ compiler and Python's headers on a
    CPU, and Triton and a C compiler on a GPU, which a slim container lacks; something small, compiled first,
    tells in seconds.

    Args:
        network: What to compile.
        device: Where it is going to run.

    Returns:
        Whether the network is compiled.
    """
    try:
        torch.compile(_trial)(torch.ones(8, device=device))
    except Exception as error:  # each tool that may be missing has an error of its own
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        logger.warning(
            "torch.compile does not work here, so the network runs uncompiled, which only takes longer: %s "
            "Install a C++ compiler (g++) and Python's headers, or leave model.compile out.",
            reason.strip(),
        )
        torch.compiler.reset()
        return False
    network.compile()
    return True


def _trial(x: Tensor) -> Tensor:
    return x.sin() + 1
