"""Self-contained HTML pages: text that is escaped, pictures within the file, no script, no network."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from importlib.resources import files
from typing import Literal

from PIL import Image

from datamodules.errors import printable

Level = Literal["good", "look", "problem"]
PAGE_BEGINS = "<!doctype html>"
_MARKS: dict[Level, str] = {"good": "&#10003;", "look": "!", "problem": "&#10007;"}


def page(title: str, parts: Iterable[str], style: str = "") -> str:
    """Return a whole page.

    Args:
        title: Plain text; what a browser's tab shows.
        parts: HTML; empty ones are left out.
        style: Rules of this kind of page alone, behind those of `style.css`.
    """
    sheet = (files("datamodules.pages") / "style.css").read_text(encoding="utf-8")
    head = (
        '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{text(title)}</title><style>{sheet}{style}</style>"
    )
    body = "\n".join(filter(None, parts))
    return f'{PAGE_BEGINS}\n<html lang="en"><head>{head}</head><body><main>\n{body}\n</main></body></html>\n'


def text(plain: str) -> str:
    """Return text as HTML, with characters escaped that are markup or that nobody can see."""
    return escape(printable(plain))


def section(title: str, content: str) -> str:
    """Return a card with a heading; nothing where there is no content.

    Args:
        title: Plain text.
        content: HTML.
    """
    return f"<section><h2>{text(title)}</h2>\n{content}</section>" if content else ""


def figures(values: Iterable[tuple[str, str]]) -> str:
    """Return a row of large figures, each a value and what it is, both plain text."""
    cells = (f"<div><b>{text(value)}</b><span>{text(what)}</span></div>" for value, what in values)
    return f'<div class="figures">{"".join(cells)}</div>'


def finding(level: Level, title: str, advice: str, command: str = "") -> str:
    """Return a conclusion: a mark, what is so, and what it means or what to do. All is plain text."""
    words = f"<b>{text(title)}</b><span>{text(advice)}</span>"
    words += f"<code>{text(command)}</code>" if command else ""
    mark = f'<i aria-hidden="true">{_MARKS[level]}</i>'
    return f'<div class="finding {level}">{mark}<div>{words}</div></div>\n'


def bars(counts: Mapping[str, int]) -> str:
    """Return horizontal bars, one for each name; nothing without names."""
    if not counts:
        return ""
    largest = max(1, *counts.values())
    rows = (
        f'<tr><th>{text(name)}</th><td class="n">{count:,}</td><td class="bar">'
        f'<div style="width:{100 * count / largest:.1f}%"></div></td></tr>\n'
        for name, count in counts.items()
    )
    return f'<table class="bars">{"".join(rows)}</table>'


def table(rows: Sequence[Sequence[str]], head: Sequence[str] = (), kind: str = "list") -> str:
    """Return rows of plain text; nothing without rows.

    Args:
        rows: Cells of each row.
        head: What stands above them.
        kind: Its classes in the style sheet: `list`, or `list facts` for names and values.
    """
    if not rows:
        return ""
    lines = [_row("th", head)] if head else []
    return f'<table class="{kind}">{"".join([*lines, *(_row("td", row) for row in rows)])}</table>'


def _row(cell: str, values: Iterable[str]) -> str:
    return f"<tr>{''.join(f'<{cell}>{text(value)}</{cell}>' for value in values)}</tr>\n"


def picture(source: str, alt: str, kind: str = "") -> str:
    """Return an image element.

    Args:
        source: A `data:` URI.
        alt: What it shows, plain text; empty where the text next to it says so.
        kind: Its class in the style sheet.
    """
    of_kind = f' class="{kind}"' if kind else ""
    return f'<img{of_kind} alt="{text(alt)}" src="{source}">'


def data_uri(image: Image.Image, file_format: Literal["PNG", "JPEG", "WEBP"] = "PNG", **options: int) -> str:
    """Return an image as a `data:` URI.

    Args:
        image: The image.
        file_format: How it is stored.
        options: Of Pillow's writer of that format.
    """
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file_uri(file.getvalue(), f"image/{file_format.lower()}")


def file_uri(content: bytes, media_type: str) -> str:
    """Return the bytes of a file as a `data:` URI."""
    return f"data:{media_type};base64,{base64.b64encode(content).decode()}"
