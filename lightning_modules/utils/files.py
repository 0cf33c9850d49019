from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from datamodules.utils.io import whole_file


def write_json(value: dict[str, Any], path: Path) -> None:
    """Write plain values as JSON, whole or not at all.

    Raises:
        ValueError: If a number is not finite, which JSON does not have.
    """
    text = json.dumps(value, indent=2, allow_nan=False) + "\n"
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
