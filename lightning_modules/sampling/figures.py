"""Names of the pictures that stand next to a set of samples, for those who write and who read them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

GRID = "grid.png"
CLASSES = "classes.png"
INTERPOLATION = "interpolation.png"
DENOISING = "denoising.png"
FILM = "denoising.gif"
FIGURES = (GRID, CLASSES, INTERPOLATION, DENOISING, FILM)
"""Every picture that stands next to samples and is not one of them."""

FOLDER_MANIFEST = "sampling.json"
"""What lies in a folder of samples and says how they were sampled."""

ARRAY_ENDING = ".npz"
MANIFEST_ENDING = ".json"


def figure_of(out: Path, name: str) -> Path:
    """Return where a picture of a set is: in the folder, or next to `set.npz` as `set.grid.png`."""
    return out.with_name(f"{out.stem}.{name}") if out.suffix == ARRAY_ENDING else out / name


def without_figures(root: Path, paths: Iterable[str]) -> list[int]:
    """Return which files below a folder are no pictures of samples that this project has put there.

    A file is left out only if a set of samples in its own folder says that it is ours: a folder of somebody
    else's may well hold a `classes.png`.

    Args:
        root: The folder.
        paths: POSIX paths relative to it.

    Returns:
        The places of the others among the paths.
    """
    ours: dict[str, set[str]] = {}
    kept = []
    for place, path in enumerate(paths):
        folder, _, name = path.rpartition("/")
        if name.endswith(FIGURES):
            if folder not in ours:
                ours[folder] = _figures_in(root / folder)
            if name in ours[folder]:
                continue
        kept.append(place)
    return kept


def _figures_in(folder: Path) -> set[str]:
    names = set(FIGURES) if (folder / FOLDER_MANIFEST).is_file() else set()
    for manifest in folder.glob(f"*{ARRAY_ENDING}{MANIFEST_ENDING}"):
        out = manifest.with_name(manifest.name.removesuffix(MANIFEST_ENDING))
        names |= {figure_of(out, name).name for name in FIGURES}
    return names
