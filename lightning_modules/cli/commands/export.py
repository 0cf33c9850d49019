"""Export a trained model: see `ninelives export --help`."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from lightning_modules.cli.parsing.scripts import ScriptParser, path
from lightning_modules.cli.process import one_line_errors
from lightning_modules.ema.names import HELP, weights_name
from lightning_modules.export.licenses import Licenses, license_identifier

EPILOG = """examples:
  ninelives export runs/demo --to safetensors            export/step=00001400.safetensors in the newest run
  ninelives export runs/demo --to onnx --out cats.onnx
  ninelives export runs/demo --to huggingface --data-license CC0-1.0 --license CC0-1.0
  ninelives sample runs/demo/latest/export/step=00001400.safetensors --n 64

Next to the file is a .json with the classes, image size, preconditioning, sampler settings and step. The ONNX
graph is the denoiser D(x, sigma, labels) for any batch size, checked with onnxruntime before it is written.

--to huggingface writes a folder to publish: weights, ONNX graph, samples, and a model card, README.md.
Nothing is uploaded. The card states the license of the images that the model was trained on, which nobody can
guess: --data-license is its short name (an SPDX identifier), or other. --license is that of the weights;
without it the card says that it is not stated.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Export as the command line says.

    Args:
        args: The command line; none takes the process's.
    """
    with one_line_errors("stopped; nothing was written"):
        parser = make_parser()
        options = parser.parse_args(args)
        licenses = _licenses(parser, options)
        from lightning_modules.cli.export import export

        print(export(options.run, options.to, options.out, options.weights, licenses))


def make_parser() -> ScriptParser:
    """Return the parser of the command line."""
    parser = ScriptParser("export", "Export the weights of a run for other programs.", EPILOG)
    parser.add_argument(
        "run", type=path, help="a run directory, an experiment (its newest run), or a checkpoint"
    )
    parser.add_argument("--to", choices=["safetensors", "onnx", "huggingface"], required=True, help="format")
    parser.add_argument("--weights", type=weights_name, help=f"{HELP} (default: the run's main average)")
    parser.add_argument("--out", type=path, help="the file, or the folder (default: in export/ in the run)")
    parser.add_argument(
        "--data-license",
        type=_license,
        metavar="ID",
        help="license of the training images, for the model card: CC-BY-4.0, ..., other",
    )
    parser.add_argument(
        "--license", type=_license, metavar="ID", help="license of the weights, for the model card"
    )
    return parser


def _licenses(parser: ScriptParser, options: argparse.Namespace) -> Licenses | None:
    """Return what is said of licenses, which the model card alone needs."""
    given = {"--data-license": options.data_license, "--license": options.license}
    if options.to != "huggingface":
        for name, value in given.items():
            if value is not None:
                parser.error(f"{name} is for the model card: it goes with --to huggingface")
        return None
    if options.data_license is None:
        parser.error(
            "--data-license is missing: the model card states the license of the images that the model was "
            "trained on, such as CC-BY-4.0; if it has no short name, other"
        )
    return Licenses(options.data_license, options.license)


def _license(text: str) -> str:
    """Parse the short name of a license, a type for argparse."""
    try:
        return license_identifier(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
