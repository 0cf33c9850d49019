"""A stand-in for the page's compiled front end, which tests of what is around it do not need."""

from __future__ import annotations

from pathlib import Path

FILES = {
    "index.html": "<!doctype html><title>stand-in</title>",
    "sw.js": "self.addEventListener('fetch', () => {})",
    "assets/index-abc.js": "export {}",
    "assets/runtime.wasm": "not really",
}


def stand_in(folder: Path) -> Path:
    """Write the stand-in, and return its folder."""
    for name, text in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def with_stand_in(folder: Path, command: str) -> str:
    """Return a Python program that is a command which takes the stand-in for the front end."""
    return (
        f"from pathlib import Path\n"
        f"from lightning_modules.cli.commands.{command} import main\n"
        f"from lightning_modules.page import front_end\n"
        f"front_end.SITE = Path({str(stand_in(folder))!r})\n"
        f"if __name__ == '__main__':\n    main()\n"
    )
