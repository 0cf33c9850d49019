"""Prove on a configuration of one's own that its runs cannot be lost: see `--help`."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from datamodules.utils.exit_codes import REFUSED
from datamodules.utils.io import write_json
from lightning_modules.cli.parsing.scripts import ScriptParser, path, whole
from lightning_modules.cli.process import one_line_errors

EPILOG = """examples:
  ninelives prove                               the demo, killed 20 times
  ninelives prove --config cats --kills 100 --data.root my_images --data.workers 2
  ninelives prove --kinds sigkill,torn --seed 1 --json proof.json
  ninelives prove --steps 30 -- --trainer.accumulate_grad_batches 3 --checkpoint.asynchronous true

All other options are ninelives fit's, and those of them that are lengths count in steps of the short run. The
lengths that the configuration sets shrink with the run. Exit status: 0 if the killed run is bit for bit the
undisturbed one, 1 if it is not, 2 if there was nothing to prove.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Prove, print a certificate, and exit with 0 if all is identical.

    Args:
        args: The command line; none takes the process's.

    Raises:
        SystemExit: With status 1 if a difference or another problem was found, 2 if there was no proof.
    """
    options, fit_options = _parse(args)
    folder = options.folder or Path(tempfile.mkdtemp(prefix="prove-resume-"))
    stopped = f"stopped; nothing is proven. Runs and logs are in {folder}"
    with one_line_errors(stopped, refused_status=REFUSED):
        _prove(options, fit_options, folder)


def _prove(options: argparse.Namespace, fit_options: tuple[str, ...], folder: Path) -> None:
    from lightning_modules.resume_proof.kills import Kind
    from lightning_modules.resume_proof.proof import Request, prove

    if any(folder.glob("*")):
        raise ValueError(f"{folder} is not empty; give --folder another one.")
    kinds = tuple(Kind(name.strip()) for name in options.kinds.split(",")) if options.kinds else tuple(Kind)
    request = Request(
        fit_options,
        folder.resolve(),
        options.kills,
        kinds,
        options.seed,
        options.steps,
        options.jobs,
        options.fresh_interpreter,
    )
    certificate = prove(request)
    print(certificate.text())
    if options.json is not None:
        write_json(options.json, certificate.values())
    if not certificate.proven:
        sys.exit(f"Runs and logs are in {folder}")
    if options.folder is None:
        shutil.rmtree(folder)


def _parse(args: Sequence[str] | None) -> tuple[argparse.Namespace, tuple[str, ...]]:
    parser = make_parser()
    options, others = parser.parse_known_args(args)
    others = [other for other in others if other != "--"]
    return options, (*(("--config", options.config) if options.config else ()), *others)


def make_parser() -> ScriptParser:
    """Return the parser of the command line; what it does not know is for training."""
    parser = ScriptParser(
        "prove",
        "Train a short run undisturbed, train it again in processes that are killed at random "
        "moments by random means, and compare the two bit for bit.",
        EPILOG,
        usage="%(prog)s [options] [options of fit]",
        allow_abbrev=False,
    )
    parser.add_argument("--config", help="name of a config, or a path (default: the demo's)")
    parser.add_argument("--kills", type=whole(1), default=20, help="number of kills (default 20)")
    parser.add_argument("--seed", type=whole(0), default=0, help="seed of the kills (default 0)")
    parser.add_argument("--steps", type=whole(1), default=60, help="length of the run (default 60)")
    parser.add_argument(
        "--kinds",
        help="ways to kill, separated by commas: sigkill, sigterm, sigint, torn (the newest checkpoint is "
        "damaged too), full-disk, between-write-and-rename (default: all)",
    )
    parser.add_argument("--jobs", type=whole(1), default=1, help="runs at a time (default 1)")
    parser.add_argument("--folder", type=path, help="for runs and logs (default: temporary)")
    parser.add_argument("--json", type=path, help="file for the full report")
    parser.add_argument(
        "--fresh-interpreter", action="store_true", help="start a whole interpreter each time, not a fork"
    )
    return parser
