"""Export a trained model: see `ninelives export --help`."""

from __future__ import annotations

from collections.abc import Sequence

from lightning_modules.cli.parsing.scripts import ScriptParser, path
from lightning_modules.cli.process import one_line_errors
from lightning_modules.ema.names import HELP, weights_name

EPILOG = """examples:
  ninelives export runs/demo --to safetensors            export/step=00001400.safetensors in the newest run
  ninelives export runs/demo --to onnx --out cats.onnx
  ninelives sample runs/demo/latest/export/step=00001400.safetensors --n 64

Next to the file is a .json with the classes, image size, preconditioning, sampler settings and step. The ONNX
graph is the denoiser D(x, sigma, labels) for any batch size, checked with onnxruntime before it is written.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Export as the command line says.

    Args:
        args: The command line; none takes the process's.
    """
    with one_line_errors("stopped; nothing was written"):
        options = make_parser().parse_args(args)
        from lightning_modules.cli.export import export

        print(export(options.run, options.to, options.out, options.weights))


def make_parser() -> ScriptParser:
    """Return the parser of the command line."""
    parser = ScriptParser("export", "Export the weights of a run for other programs.", EPILOG)
    parser.add_argument(
        "run", type=path, help="a run directory, an experiment (its newest run), or a checkpoint"
    )
    parser.add_argument("--to", choices=["safetensors", "onnx"], required=True, help="format")
    parser.add_argument("--weights", type=weights_name, help=f"{HELP} (default: the run's main average)")
    parser.add_argument("--out", type=path, help="the file (default: export/ in the run)")
    return parser
