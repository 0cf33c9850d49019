"""Train a diffusion model, as `ninelives fit` does: see `python scripts/fit.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

from lightning_modules.cli.commands.fit import main

if __name__ == "__main__":
    _launch.launch(main)
