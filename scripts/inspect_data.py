"""Check a folder of images, as `ninelives inspect` does: see `python scripts/inspect_data.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

from lightning_modules.cli.commands.inspect import main

if __name__ == "__main__":
    _launch.launch(main)
