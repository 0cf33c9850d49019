"""Write the page of a run: see `ninelives report --help`."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_modules.cli.parsing.scripts import ScriptParser, path
from lightning_modules.cli.process import one_line_errors

EPILOG = """examples:
  ninelives report runs/demo                       report.html in the newest run
  ninelives report runs/demo --open                and show it in a browser
  ninelives report runs/demo/latest --out demo.html

The page is one file without network or script: what was trained on what, the lives of the run and what ended
each, loss against what needs no learning, samples over the steps, figures of the newest evaluation, what
stands out, and the commands to go on. It can be written while the run trains; every `ninelives fit` writes it
at its end.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Write the page that the command line asks for.

    Args:
        args: The command line; none takes the process's.
    """
    with one_line_errors("stopped; nothing was written"):
        options = make_parser().parse_args(args)
        from lightning_modules.cli.report import report

        print(report(options.run, options.out, options.open))


def make_parser() -> ScriptParser:
    """Return the parser of the command line."""
    parser = ScriptParser("report", "Write a page that tells of a run.", EPILOG)
    parser.add_argument("run", type=path, help="a run directory, or an experiment (its newest run)")
    parser.add_argument("--out", type=path, help="the file (default: report.html in the run)")
    parser.add_argument("--open", action="store_true", help="show it in a browser")
    return parser
