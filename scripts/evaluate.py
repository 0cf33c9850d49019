"""Measure the quality of images, as `ninelives evaluate` does: see `python scripts/evaluate.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

from lightning_modules.cli.commands.evaluate import main

if __name__ == "__main__":
    _launch.launch(main)
