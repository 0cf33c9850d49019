"""What is in a folder and is not trained on, in one line."""

from __future__ import annotations

from collections.abc import Mapping

from datamodules.errors import printable

_HINTS = {
    ".heic": "decode them first",
    ".heif": "decode them first",
    ".svg": "drawings, not pixels",
    ".jxl": "decode them first",
    ".jp2": "decode them first",
    ".zip": "unpack it first",
    ".tar": "unpack it first",
    ".gz": "unpack it first",
    ".7z": "unpack it first",
    ".rar": "unpack it first",
}
_RAW = (".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2")
_SILENT = (".txt", ".json", ".csv", ".md", ".caption", ".jsonl", ".xml", ".yaml", ".yml", ".html")
"""Captions and notes, which nobody expects to be trained on."""
_MOST = 5


def passed_over(ignored: Mapping[str, int], left_behind: Mapping[str, int]) -> str | None:
    """Say what was skipped that may have been meant, or none where there is nothing to say.

    Args:
        ignored: Number of files of each ending that no decoder knows.
        left_behind: Number of folders of each name, and hidden images, that systems have left behind.
    """
    files = sorted(
        ((suffix, count) for suffix, count in ignored.items() if suffix not in _SILENT),
        key=lambda pair: (-pair[1], pair[0]),
    )
    parts = [_files(suffix, count) for suffix, count in files[:_MOST]]
    if others := sum(count for _, count in files[_MOST:]):
        parts.append(f"{others:,} others")
    folders = {name: count for name, count in left_behind.items() if name != "hidden images"}
    if folders:
        most = sorted(folders, key=lambda name: (-folders[name], name))
        names = ", ".join(printable(name) for name in most[:_MOST]) + (", ..." if len(most) > _MOST else "")
        parts.append(f"{sum(folders.values()):,} hidden and system folders ({names})")
    if hidden := left_behind.get("hidden images"):
        parts.append(f"{hidden:,} hidden images")
    return f"Passed over: {', '.join(parts)}." if parts else None


def _files(suffix: str, count: int) -> str:
    hint = _HINTS.get(suffix, "develop them first" if suffix in _RAW else "")
    text = f"{count:,} {printable(suffix) if suffix else 'without an ending'}"
    return f"{text} ({hint})" if hint else text
