"""Whether the page's pictures are those of `ninelives sample`: its code in node, of any run.

`python -m tests.frontend.parity runs/demo --out proof --n 100` says the largest difference of a pixel.
Options that it does not know are those of `ninelives sample`. It needs the front end, built.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from lightning_modules.export.stored_weights import STORAGES
from lightning_modules.page.writing import MANIFEST, write_page
from lightning_modules.sampling.figures import MANIFEST_ENDING
from tests.helpers.places import REPOSITORY

FRONT_END = REPOSITORY / "frontend"


def main() -> None:
    """Compare, and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the page and the samples")
    parser.add_argument("--weights-dtype", choices=STORAGES, default="int16")
    known, options = parser.parse_known_args()
    page = write_page(known.run, known.out / "page", storage=known.weights_dtype)
    print(page.words)
    samples = known.out / "samples.npz"
    arguments = [str(known.run), "--out", str(samples), *options]
    subprocess.run([sys.executable, REPOSITORY / "scripts" / "sample.py", *arguments], check=True)
    write_pictures(page.folder, samples, known.out)
    (differences,) = compared(known.out)
    levels = np.bincount(differences, minlength=2)
    print(
        f"{len(differences)} images, largest difference of a pixel {max(differences)} of 255; "
        + ", ".join(f"{count} with {level}" for level, count in enumerate(levels) if count)
    )


def write_pictures(page: Path, samples: Path, folder: Path) -> None:
    """Write what the page's tests read: what was sampled, and from which network.

    Args:
        page: A page of the run, below `folder`.
        samples: What `ninelives sample` made of it, an .npz.
        folder: Where to write `pictures.json`.
    """
    described = json.loads((page / MANIFEST).read_text(encoding="utf-8"))
    made = json.loads(samples.with_name(samples.name + MANIFEST_ENDING).read_text(encoding="utf-8"))
    with np.load(samples) as arrays:
        images, labels = arrays["arr_0"], arrays["arr_1"]
    image = described["image"]
    record = {
        "network": _relative(page, described["denoiser"], folder),
        "guide": described["guide"] and _relative(page, described["guide"], folder),
        "shape": [image["channels"], image["height"], image["width"]],
        "null_label": described["null_label"],
        "labels": labels.tolist(),
        "seed": str(made["seed"]),
        "indices": list(range(len(images))),
        "toward": None,
        "share": 0,
        "settings": made["sampling"],
        "pixels": images.transpose(0, 3, 1, 2).reshape(len(images), -1).tolist(),
    }
    (folder / "pictures.json").write_text(json.dumps([record]), encoding="utf-8")


def compared(folder: Path) -> list[list[int]]:
    """Have the page's code make the pictures of a folder.

    Args:
        folder: A folder with `pictures.json`.

    Returns:
        For each record the largest difference of a pixel in each image.
    """
    command = ["npx", "vitest", "run", "tests/pictures.test.ts"]
    environment = os.environ | {"NINE_LIVES_PICTURES": str(folder.resolve())}
    done = subprocess.run(
        command, cwd=FRONT_END, env=environment, check=False, capture_output=True, text=True
    )
    found = sorted(folder.glob("differences-*.json"))
    if not found:
        raise RuntimeError(f"vitest failed:\n{done.stdout}{done.stderr}")
    return [json.loads(path.read_text(encoding="utf-8")) for path in found]


def _relative(page: Path, part: dict[str, Any], folder: Path) -> str:
    return (page / part["path"]).relative_to(folder).as_posix()


if __name__ == "__main__":
    main()
