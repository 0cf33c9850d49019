"""Sample images from a run, as `ninelives sample` does: see `python scripts/sample.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

from lightning_modules.cli.commands.sample import main

if __name__ == "__main__":
    _launch.launch(main)
