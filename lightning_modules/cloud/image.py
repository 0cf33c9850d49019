"""The container's image: pinned Python, the project's own dependency list, and last the code."""

from __future__ import annotations

import tomllib
from pathlib import Path

import modal

from lightning_modules.cloud.launch import refuse
from lightning_modules.cloud.paths import CODE

PYTHON = "3.11"
"""The version that `constraints.txt` was made with."""

PACKAGES = ("lightning_modules", "datamodules")
FOLDERS = ("configs",)
FILES = ("datamodules/pages/style.css",)
"""What the packages need in a container that is no Python source."""
EXTRAS = ("eval", "export")


def dependencies(root: Path) -> list[str]:
    """Return the requirements that `pyproject.toml` declares, but modal, which Modal adds by itself."""
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    declared: list[str] = list(project["dependencies"])
    for extra in EXTRAS:
        declared += project["optional-dependencies"][extra]
    return [each for each in declared if not each.startswith("modal")]


def build_image(root: Path) -> modal.Image:
    """Return the image of all functions.

    What changes rarely comes first, so that editing code rebuilds nothing: files of the last layers are
    put into the container when it starts.

    Args:
        root: The checkout. In a container, where the image is only a name, it is not looked at.
    """
    image = modal.Image.debian_slim(python_version=PYTHON)
    if not modal.is_local():
        return image
    if not all((root / needed).is_file() for needed in ("constraints.txt", "pyproject.toml")):
        refuse(f"{root} is no clone of the project: training on Modal needs one, and its modal_entry.py")
    image = image.add_local_file(root / "constraints.txt", "/constraints.txt", copy=True)
    image = image.uv_pip_install(*dependencies(root), extra_options="--constraint /constraints.txt")
    image = image.env({"PYTHONUNBUFFERED": "1"})
    image = image.add_local_python_source(*PACKAGES)
    for folder in FOLDERS:
        image = image.add_local_dir(root / folder, f"{CODE}/{folder}", ignore=["**/__pycache__"])
    for file in FILES:
        image = image.add_local_file(root / file, f"{CODE}/{file}")
    return image
