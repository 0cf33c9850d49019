"""Train a diffusion model: see `python scripts/fit.py --help`."""

from __future__ import annotations

from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> None:
    """Train as the command line says.

    Args:
        args: The command line; none takes the process's.
    """
    from lightning_modules.training import fit

    fit(args)


if __name__ == "__main__":
    main()
