"""What `--safe` lets a shared config name: no code of others."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator

from lightning_modules.metrics.feature_networks.table import FEATURE_NETWORKS

OWN = ("lightning_modules.", "datamodules.")
BUILT_IN = tuple(
    f"lightning.pytorch.{part}." for part in ("callbacks", "loggers", "profilers", "strategies", "cli")
)
"""What `--safe` leaves: classes of this project, and those of Lightning that take no code of others."""

_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


def check_safe(where: str, setting: object, name: str = "") -> None:
    """Refuse a setting that names code of others, before anything of it is imported.

    Args:
        where: The config or command line that it stands in.
        setting: A config as plain values, or a part of it.
        name: Name of the part.

    Raises:
        ValueError: With the setting.
    """
    for key, value in _leaves(setting, name):
        foreign = bool(_DOTTED.fullmatch(value)) and not value.startswith((*OWN, *BUILT_IN))
        foreign = foreign and importlib.util.find_spec(value.partition(".")[0]) is not None
        if foreign or (key.endswith("features") and value not in ("auto", "null", *FEATURE_NETWORKS)):
            raise ValueError(
                f"--safe: {where} has {key or 'a value'} {value}, which would run code that is neither this "
                f"project's nor a callback, logger, profiler or strategy of Lightning."
            )


def _leaves(setting: object, name: str) -> Iterator[tuple[str, str]]:
    if isinstance(setting, dict):
        for key, value in setting.items():
            yield from _leaves(value, f"{name}.{key}".lstrip("."))
    elif isinstance(setting, list | tuple):
        for value in setting:
            yield from _leaves(value, name)
    elif isinstance(setting, str):
        yield name, setting.strip()
