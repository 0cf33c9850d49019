"""Export a trained model: see `python scripts/export.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

import argparse
from collections.abc import Sequence

from lightning_modules.cli.parsing.scripts import ScriptParser, path
from lightning_modules.cli.process import one_line_errors
from lightning_modules.ema.names import HELP, weights_name

EPILOG = """examples:
  export.py runs/demo --to safetensors                   export/step=00001400.safetensors in the newest run
  export.py runs/demo --to onnx --out cats.onnx
  sample.py runs/demo/latest/export/step=00001400.safetensors --n 64

Next to the file is a .json with the classes, image size, preconditioning, sampler settings and step. The ONNX
graph is the denoiser D(x, sigma, labels) for any batch size, checked with onnxruntime before it is written.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Export as the command line says.

    Args:
        args: The command line; none takes the process's.
    """
    parser = ScriptParser(
        description="Export the weights of a run for other programs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run", type=path, help="a run directory, an experiment (its newest run), or a checkpoint"
    )
    parser.add_argument("--to", choices=["safetensors", "onnx"], required=True, help="format")
    parser.add_argument("--weights", type=weights_name, help=f"{HELP} (default: the run's main average)")
    parser.add_argument("--out", type=path, help="the file (default: export/ in the run)")
    options = parser.parse_args(args)
    with one_line_errors("stopped; nothing was written"):
        from lightning_modules.cli.export import export

        print(export(options.run, options.to, options.out, options.weights))


if __name__ == "__main__":
    _launch.launch(main)
