"""Show the runs in TensorBoard, as `ninelives board` does: see `python scripts/board.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

from lightning_modules.cli.commands.board import main

if __name__ == "__main__":
    _launch.launch(main)
