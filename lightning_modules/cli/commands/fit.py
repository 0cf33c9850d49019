"""Train a diffusion model: see `ninelives fit --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from datamodules.utils.exit_codes import RESUME
from lightning_modules.cli.parsing.help import asks_for_short_help, short_help
from lightning_modules.cli.process import NOTHING_LOST, one_line_errors


def main(args: Sequence[str] | None = None) -> None:
    """Train as the command line says.

    Args:
        args: The command line; none takes the process's.
    """
    with one_line_errors(NOTHING_LOST, stopped_status=RESUME, errors=()):
        given = sys.argv[1:] if args is None else args
        if asks_for_short_help(given):
            print(short_help(), end="")
            return
        from lightning_modules.cli.fit import fit

        fit(args)
