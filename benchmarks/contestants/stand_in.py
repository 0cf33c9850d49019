"""A stand-in for the little of torchvision that a peer imports and this benchmark never calls.

`denoising_diffusion_pytorch` imports `torchvision.transforms` and `torchvision.utils` for its folder of
images and its sample pictures; the benchmark hands images over as arrays and draws its own pictures. Where
torchvision imports, it is used and nothing is replaced.
"""

from __future__ import annotations

import importlib
import importlib.machinery
import sys
from types import ModuleType
from typing import NoReturn

MISSING = (
    "the contestant 'ddpm-pytorch' needs its package, without its dependencies, since these pull a "
    "torchvision that may not fit the installed torch:\n"
    "  pip install --no-deps denoising-diffusion-pytorch ema-pytorch einops accelerate"
)


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)

        def refuse(*_: object, **__: object) -> NoReturn:
            raise RuntimeError(f"{self.__name__}.{name} stands in for torchvision's and does nothing")

        return refuse


def import_ddpm_pytorch() -> tuple[ModuleType, bool]:
    """Import the package, with a stand-in where torchvision does not import.

    Returns:
        The package, and whether the stand-in was needed.

    Raises:
        ModuleNotFoundError: If the package is not installed; the message says how.
    """
    needed = not _imports("torchvision")
    import accelerate  # noqa: F401 -- these look for torchvision: before there is something of its name
    import diffusers.utils  # noqa: F401

    if needed:
        top = _StandIn("torchvision")
        top.__spec__ = importlib.machinery.ModuleSpec("torchvision", None)
        sys.modules["torchvision"] = top
        for part in ("transforms", "utils"):
            module = _StandIn(f"torchvision.{part}")
            sys.modules[module.__name__] = module
            setattr(top, part, module)
    try:
        return importlib.import_module("denoising_diffusion_pytorch.denoising_diffusion_pytorch"), needed
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(MISSING) from error


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except (ImportError, RuntimeError):
        return False
    return True
