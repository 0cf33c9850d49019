"""Show the runs in TensorBoard, each once: see `ninelives board --help`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from lightning_modules.cli.parsing.scripts import ScriptParser, path
from lightning_modules.cli.process import one_line_errors

EPILOG = """examples:
  ninelives board                          all runs below runs/, on http://localhost:6006
  ninelives board runs/demo                those of an experiment
  ninelives board --port 6007 --bind_all   TensorBoard's own options

`tensorboard --logdir runs` shows the same, and the newest run of each experiment twice: it takes the link
`latest` for another run.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Serve TensorBoard until it is interrupted.

    Args:
        args: The command line; none takes the process's.
    """
    parser = make_parser()
    given = list(sys.argv[1:] if args is None else args)
    # The folder stands first: the number in `--port 6007` is not a folder.
    own = given[:1] if given and (given[0] in ("-h", "--help") or not given[0].startswith("-")) else []
    options, further = parser.parse_args(own), given[len(own) :]
    if not options.folder.is_dir():
        parser.error(f"there is no folder {options.folder}")
    serve(options.folder, further)


def serve(folder: Path, further: Sequence[str]) -> None:
    """Serve a folder of runs.

    Args:
        folder: Where the runs are.
        further: TensorBoard's own options.
    """
    from tensorboard import program

    from lightning_modules.logs.board_links import view_of_runs

    with view_of_runs(folder) as view:
        board = program.TensorBoard()
        board.configure(argv=("tensorboard", f"--logdir={view}", *further))
        with one_line_errors("stopped", stopped_status=0):
            sys.exit(board.main())


def make_parser() -> ScriptParser:
    """Return the parser of what stands before TensorBoard's own options."""
    parser = ScriptParser(
        "board",
        "Show runs in TensorBoard.",
        EPILOG,
        usage="%(prog)s [FOLDER] [TensorBoard's options]",
        allow_abbrev=False,
    )
    parser.add_argument("folder", nargs="?", type=path, default=Path("runs"), help="where the runs are")
    return parser
