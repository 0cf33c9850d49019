"""The inspection as one self-contained HTML page, and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from datamodules.decode.decode import ImageError, Limits, decode_image
from datamodules.errors import Rejected, printable
from datamodules.inspection.findings import Finding
from datamodules.inspection.inspection import Inspection
from datamodules.pages.html import bars, data_uri, figures, finding, page, picture, section, table, text

_CLASSES, _GROUPS, _THUMBNAILS, _REJECTED = 40, 24, 24, 200  # shown at most; the JSON holds all
_THUMBNAIL = 96
_SIDES = (0, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_ASPECTS = (0.0, 0.5, 0.67, 0.8, 0.95, 1.05, 1.25, 1.5, 2.0)


def as_json(inspection: Inspection, conclusions: Sequence[Finding], limits: Limits) -> dict[str, Any]:
    """Everything that was found, for a program to read; names that are no UTF-8 are escaped."""
    index, sizes = inspection.index, inspection.sizes

    def names(rows: Iterable[int]) -> list[str]:
        return [printable(index.paths[row]) for row in rows]

    def spread(values: npt.NDArray[Any]) -> dict[str, float]:
        points = (("min", 0), ("p10", 10), ("median", 50), ("p90", 90), ("max", 100))
        return {name: float(np.percentile(values, point)) for name, point in points} if len(values) else {}

    return {
        "root": printable(str(index.root)),
        "fingerprint": index.fingerprint,
        "files": len(index) + len(index.rejected) + len(index.quarantined),
        "decodable": len(inspection.seen.rows),
        "distinct": inspection.distinct,
        "limits": limits._asdict(),
        "image_size": inspection.image_size,
        "suggested_size": inspection.suggested_size,
        "parameters": inspection.parameters,
        "values_per_parameter": inspection.values_per_parameter,
        "findings": [finding._asdict() for finding in conclusions],
        "classes": {printable(name): count for name, count in inspection.class_counts.items()},
        "width": spread(sizes[:, 0]),
        "height": spread(sizes[:, 1]),
        "aspect": spread(sizes[:, 0] / sizes[:, 1]),
        "kinds": inspection.kinds,
        "other_files": {printable(suffix): count for suffix, count in index.ignored},
        "rejected": {printable(path): printable(reason) for path, reason in inspection.rejected},
        "quarantined": {printable(path): printable(reason) for path, reason in index.quarantined},
        "wrong_ending": names(inspection.misnamed),
        "copies": [names(group) for group in inspection.copies],
        "lookalikes": [names(group) for group in inspection.lookalikes],
        "in_several_classes": [names(group) for group in inspection.mixed],
        "borders": names(inspection.bordered),
        "flat": names(inspection.flat),
    }


def as_html(
    inspection: Inspection, conclusions: Sequence[Finding], sheet: Image.Image, limits: Limits
) -> str:
    """The page: figures, conclusions, the contact sheet, charts, and the images that stand out."""
    index, seen = inspection.index, inspection.seen
    name = index.root.name or str(index.root)
    numbers = (
        (f"{len(seen.rows):,}", "images"),
        (f"{inspection.distinct:,}", "distinct"),
        (f"{sum(count > 0 for count in inspection.class_counts.values()):,}", "classes"),
        (f"{len(inspection.rejected):,}", "left out"),
        (f"{inspection.suggested_size} px", "suggested size"),
    )
    sides = inspection.sizes.min(axis=1) if len(inspection.sizes) else np.empty(0)
    aspects = inspection.sizes[:, 0] / inspection.sizes[:, 1]
    shown = _Thumbnails(inspection, limits)
    parts = [
        f"<h1>{text(name)}</h1>",
        f'<p class="path">{text(str(index.root))} &middot; fingerprint {index.fingerprint}</p>',
        figures(numbers),
        f"<section>{''.join(finding(*each) for each in conclusions)}</section>",
        section(
            f"What the model sees at {inspection.image_size} px",
            picture(data_uri(sheet), "contact sheet", "sheet"),
        ),
        section("Classes", bars(_leading(inspection.class_counts))),
        '<div class="columns">',
        section("Shorter side, pixels", bars(_histogram(sides, _SIDES))),
        section("Width / height", bars(_histogram(aspects, _ASPECTS))),
        section("Format and mode", bars(inspection.kinds)),
        section("Other files", bars({k or "no ending": n for k, n in index.ignored})),
        "</div>",
        section("Left out", _table(inspection.rejected)),
        section("Quarantined", _table(index.quarantined)),
        section("In several classes", shown.groups(inspection.mixed)),
        section("Exact copies", shown.groups(inspection.copies)),
        section("Near duplicates", shown.groups(inspection.lookalikes)),
        section("Black bars", shown.row(inspection.bordered)),
        section("Nearly of one color", shown.row(inspection.flat)),
    ]
    return page(f"{name} - data inspection", parts)


class _Thumbnails:
    """Small pictures of images, the whole of each."""

    def __init__(self, inspection: Inspection, limits: Limits) -> None:
        self.index, self.limits = inspection.index, limits

    def groups(self, groups: Sequence[npt.NDArray[np.int64]]) -> str:
        shown = "".join(f'<div class="group">{self._some(group[:6])}</div>' for group in groups[:_GROUPS])
        return f'<div class="groups">{shown}</div>{_more(len(groups), _GROUPS)}' if groups else ""

    def row(self, rows: npt.NDArray[np.int64]) -> str:
        shown = self._some(rows[:_THUMBNAILS])
        return f'<div class="group">{shown}</div>{_more(len(rows), _THUMBNAILS)}' if len(rows) else ""

    def _some(self, rows: npt.NDArray[np.int64]) -> str:
        return "".join(self._one(self.index.paths[row]) for row in rows.tolist())

    def _one(self, path: str) -> str:
        try:
            pixels = decode_image(
                self.index.root / path, _THUMBNAIL, (128, 128, 128), limits=self.limits, pad=True
            )
        except ImageError:  # it vanished since it was looked at
            return ""
        source = data_uri(Image.fromarray(pixels.transpose(1, 2, 0)), "JPEG")
        return f"<figure>{picture(source, '')}<figcaption>{text(path)}</figcaption></figure>"


def _table(files: Sequence[Rejected]) -> str:
    return table(files[:_REJECTED]) + _more(len(files), _REJECTED)


def _leading(counts: dict[str, int]) -> dict[str, int]:
    ordered = Counter(counts).most_common()
    rest = ordered[_CLASSES:]
    others = {f"{len(rest)} smaller classes": sum(count for _, count in rest)} if rest else {}
    return dict(ordered[:_CLASSES]) | others


def _histogram(values: npt.NDArray[Any], edges: Sequence[float]) -> dict[str, int]:
    """Counts from each edge to the next, the empty ones at both ends left out."""
    places = np.searchsorted(edges, values, side="right") - 1
    counts = np.bincount(places, minlength=len(edges))
    used = np.flatnonzero(counts)
    names = [f"{low:g} to {high:g}" for low, high in pairwise(edges)] + [f"from {edges[-1]:g}"]
    return {names[i]: int(counts[i]) for i in range(used[0], used[-1] + 1)} if len(used) else {}


def _more(count: int, shown: int) -> str:
    return f'<p class="more">and {count - shown:,} more, all in report.json</p>' if count > shown else ""
