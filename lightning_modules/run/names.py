"""Names of runs and experiments, which become folders."""

from __future__ import annotations

import os
import re
import unicodedata
from datetime import UTC, datetime
from pathlib import Path

from lightning_modules.run.directory import LATEST

_LONGEST = 200  # bytes: what a name that is given may have
_LONGEST_FOLDER = 100  # bytes: what is taken from the name of a folder


def check_folder_name(option: str, name: str) -> None:
    """Refuse what is no name of one folder, and so would lie elsewhere.

    Args:
        option: The option that it comes from.
        name: The name.

    Raises:
        ValueError: With what a name may be.
    """
    plain = name.strip() == name and name.isprintable() and not set(name) & set("/\\:")
    if not name or not plain or name[0] in ".-" or len(name.encode()) > _LONGEST:
        raise ValueError(
            f"{option} names one folder: letters, digits, blanks, '-', '_' and '.' inside, not {name!r}."
        )
    if name == LATEST:
        raise ValueError(f"{option} {LATEST} is kept for the newest run: take another name.")


def run_name(now: datetime | None = None) -> str:
    """Return the name of a run that starts at a moment, by default this one: 2026-11-23T19-12-31Z."""
    return f"{now or datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"


def experiment_name(config: str, root: Path | str | None, default: str) -> str:
    """Return the experiment that a command line belongs to, the same for the same command line.

    Args:
        config: Name of the config.
        root: The user's own folder of images; None: the config's data source.
        default: Name of the config that is used if no other is given.

    Returns:
        The config's name, or the own folder's; behind that stands the config's unless it is the default one,
        `my_images-cats`. What a file system or a command line may stumble over becomes `_` in it.
    """
    if root is None:
        return config
    # Not resolved: a link is named as the user names it. `.` and `..` are.
    name = Path(os.path.abspath(Path(root).expanduser())).name  # noqa: PTH100
    name = unicodedata.normalize("NFC", name)
    name = re.sub(r"[^\w.+=-]+", "_", name).lstrip(".-")
    while len(name.encode()) > _LONGEST_FOLDER:
        name = name[:-1]
    if not name.strip("_") or name == LATEST:
        name = f"images{name}"
    return name if config == default else f"{name}-{config}"
