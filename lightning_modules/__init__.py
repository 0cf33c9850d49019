"""Nine Lives as a library: `import lightning_modules as nl`, then `nl.fit(...)` and `nl.load(...)`.

Below are diffusion models as LightningModules (`models`, over `module`), and all that trains, samples and
measures them. Importing this package imports nothing else; what is used does.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_modules.library import Run, SampledImages, fit, load

    __version__: str

__all__ = ["Run", "SampledImages", "__version__", "fit", "load"]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return importlib.metadata.version("ninelives")
    if name in __all__:
        return getattr(importlib.import_module(f"{__name__}.library"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
