"""The compiled front end: package data, built from `frontend/` of a clone."""

from __future__ import annotations

import shutil
from pathlib import Path

INDEX = "index.html"

SITE = Path(__file__).with_name("site")
"""Where `make frontend` builds it; git ignores the folder, the wheel has it."""


def check_built() -> None:
    """Refuse to go on without the compiled front end.

    Raises:
        FileNotFoundError: With how it is built.
    """
    if not (SITE / INDEX).is_file():
        raise FileNotFoundError(
            f"the page's front end is not built, there is no {SITE / INDEX}: run `make frontend` in a clone "
            f"of the project (it needs Node 20.19 or newer)"
        )


def copy_front_end(folder: Path) -> None:
    """Copy the front end's files into a folder, which exists; not their modes, which may forbid writing.

    Raises:
        OSError: With the first file that cannot be copied; `shutil.copytree` goes on, and tells of each.
    """
    for file in sorted(SITE.rglob("*")):
        copy = folder / file.relative_to(SITE)
        if file.is_dir():
            copy.mkdir(exist_ok=True)
        else:
            shutil.copyfile(file, copy)
