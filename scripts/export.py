"""Export a trained model, as `ninelives export` does: see `python scripts/export.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

from lightning_modules.cli.commands.export import main

if __name__ == "__main__":
    _launch.launch(main)
