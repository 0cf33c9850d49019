"""Pictures within the page: small enough, and few enough."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from datamodules.pages.html import data_uri, file_uri, picture, section, text
from lightning_modules.report.record import Record
from lightning_modules.report.words import counted

MOST_GRIDS = 12
_MOST_BYTES = 160_000  # of a file that is taken as it is; a larger one is stored again
_WIDEST = 1000
_QUALITY = 85
REEL_STYLE = "".join(
    f".reel > input:nth-of-type({n}):checked ~ .frames figure:nth-of-type({n}) {{ display: block; }}\n"
    f".reel > input:nth-of-type({n}):checked ~ .stops label:nth-of-type({n}) "
    f"{{ background: var(--accent); color: var(--on-accent); }}\n"
    f".reel > input:nth-of-type({n}):focus-visible ~ .stops label:nth-of-type({n}) "
    f"{{ outline: 2px solid var(--ink); outline-offset: -4px; }}\n"
    for n in range(1, MOST_GRIDS + 1)
)
"""Shows the one picture whose button is pressed."""


def grids(record: Record) -> str:
    """Return the sample grids over the steps, one at a time, chosen by a row of radio buttons.

    No script is needed: arrow keys and a finger move through them, as through a slider.
    """
    found = sorted(record.run.samples.glob("step=*.png")) if record.run.samples.is_dir() else []
    chosen = spread(found, MOST_GRIDS)
    shown = [(_step(path), stored) for path in chosen if (stored := embedded(path))]
    if not shown:
        return ""
    last = len(shown) - 1
    inputs, labels, figures = [], [], []
    for number, (step, source) in enumerate(shown):
        checked = " checked" if number == last else ""
        name = f"grid-{number}"
        inputs.append(f'<input type="radio" name="grid" id="{name}"{checked} aria-label="step {step:,}">')
        labels.append(f'<label for="{name}">{step:,}</label>')
        shown_as = picture(source, f"samples at step {step:,}", "sheet")
        figures.append(f"<figure>{shown_as}<figcaption>Step {step:,}</figcaption></figure>")
    left_out = len(found) - len(shown)
    more = f"; {counted(left_out, 'more grid')} in {text(record.run.samples.name)}/" if left_out else ""
    words = f'<p class="soft">The same noise and classes at every step, with the averaged weights{more}.</p>'
    reel = (
        f'<div class="reel">{"".join(inputs)}<div class="stops">{"".join(labels)}</div>'
        f'<div class="frames">{"".join(figures)}</div></div>'
    )
    return section("Samples, step by step", words + reel)


def spread(found: Sequence[Path], most: int) -> list[Path]:
    """Choose files evenly, the first and the last among them."""
    if len(found) <= most:
        return list(found)
    return [found[round(number * (len(found) - 1) / (most - 1))] for number in range(most)]


def embedded(path: Path) -> str:
    """Return a picture as a `data:` URI of bounded size; empty if it cannot be read."""
    try:
        content = path.read_bytes()
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if len(content) <= _MOST_BYTES and image.width <= 2 * _WIDEST:
                image.verify()
                return file_uri(content, "image/png")
            image.load()
            image.thumbnail((_WIDEST, 4 * _WIDEST), Image.Resampling.BOX)
            return data_uri(image.convert("RGB"), "JPEG", quality=_QUALITY)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):  # Pillow's for a damaged PNG
        return ""


def _step(path: Path) -> int:
    digits = path.stem.partition("=")[2]
    return int(digits) if digits.isdecimal() else 0
