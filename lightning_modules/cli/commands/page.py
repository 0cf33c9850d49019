"""Write the page of a run, and show it: see `ninelives page --help`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from lightning_modules.cli.parsing.scripts import ScriptParser, path, whole
from lightning_modules.cli.process import one_line_errors
from lightning_modules.ema.names import HELP, weights_name

EPILOG = """examples:
  ninelives page runs/demo                       page/ in the newest run: a folder for any web server
  ninelives page runs/demo --serve               and show it on http://127.0.0.1:8000/
  ninelives page runs/demo --open                and open it in the browser
  ninelives page runs/demo --out my_page --weights ema=0.25

The page samples images in the browser, and sends nothing anywhere. Its image of a seed, label, index and
settings is that of `ninelives sample`, to 1 level of 255. Weights are stored in two bytes each (int16:
multiples of a power of two) and used in float32. float16 is as small and ten times less exact: with strong
guidance, pixels differ by several levels. float32 stores them as they are, in twice the size.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Write the page as the command line says, and serve it until it is interrupted.

    Args:
        args: The command line; none takes the process's.
    """
    with one_line_errors("stopped; nothing was written"):
        options = parse(args)
        from lightning_modules.page.writing import write_page

        page = write_page(options.run, options.out, options.weights, options.weights_dtype)
        print(page.words, flush=True)
    if options.serve:
        with one_line_errors("stopped", stopped_status=0):
            serve(page.folder, options.port, opened=options.open)


def serve(folder: Path, port: int | None, *, opened: bool) -> None:
    """Serve a page until the process is interrupted.

    Args:
        folder: Where it is.
        port: Where to listen; None: the first free port.
        opened: Whether to open the browser.
    """
    from lightning_modules.page.server import PageServer

    with PageServer(folder, port) as server:
        print(f"The page is at {server.url}  Ctrl-C stops.", flush=True)
        if opened:
            open_browser(server.url)
        server.serve_forever()


def open_browser(url: str) -> None:
    """Open an address in the browser, in a thread: one in a terminal stays until it is left."""
    import threading
    import webbrowser

    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line, checked also where two must fit together."""
    parser = make_parser()
    options = parser.parse_args(args)
    options.serve = options.serve or options.open
    if options.port is not None and not options.serve:
        parser.error("argument --port: does nothing without --serve")
    return options


def make_parser() -> ScriptParser:
    """Return the parser of the command line."""
    parser = ScriptParser("page", "Write a web page that samples from a run in the browser.", EPILOG)
    parser.add_argument(
        "run",
        type=path,
        help="a run directory, an experiment (its newest run), a checkpoint, or a .safetensors export",
    )
    parser.add_argument("--weights", type=weights_name, help=f"{HELP} (default: the run's main average)")
    parser.add_argument(
        "--weights-dtype",
        choices=["int16", "float16", "float32"],
        default="int16",
        help="how weights are stored (default int16); see below",
    )
    parser.add_argument("--out", type=path, help="the folder (default: page/ in the run)")
    group = parser.add_argument_group("showing it")
    group.add_argument("--serve", action="store_true", help="serve it on this machine until Ctrl-C")
    group.add_argument("--open", action="store_true", help="serve it, and open it in the browser")
    group.add_argument(
        "--port", type=whole(0, 65535), help="where to serve it; 0: any free port (default: from 8000 on)"
    )
    return parser
