"""Write the page of a run, as `ninelives report` does: see `python scripts/report.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

from lightning_modules.cli.commands.report import main

if __name__ == "__main__":
    _launch.launch(main)
