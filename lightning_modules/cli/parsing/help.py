"""The short help of training: what is asked for most, said without importing torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from datamodules.sources.table import SOURCES
from lightning_modules.cli.names import as_typed, program

_PACKAGE = Path(__file__).resolve().parents[2]
_PLACES = (_PACKAGE / "configs", _PACKAGE.parent / "configs")
CONFIGS = next(place for place in _PLACES if place.is_dir()).resolve()
"""The shipped configs: in the package, or in a clone whose file system has no links, next to it."""

DEFAULT_CONFIG = "demo"
USAGE = "[--config NAME_OR_PATH] [--OPTION VALUE ...]"

DESCRIPTION = """Train a diffusion model on a folder of images.

  ninelives fit                                    the demo: rendered cats, ten minutes on a CPU
  ninelives fit --data.root my_images              the same on your folder; sub-folders are classes
  ninelives fit --config cats --data.root my_cats  another config, of those below or your own
  ninelives fit --model UNetDiffusion --trainer.max_steps 500 --data.batch_size 32
  ninelives fit                                    once more: continues where it was stopped
  ninelives fit --fresh                            another run, from the beginning
  ninelives fit --fast-dev-run                     one batch of everything, writes nothing
  ninelives fit --config cats --print_config       the complete configuration, without training
  ninelives fit --model.help DiTDiffusion          the options of a model
  ninelives fit --help all                         all options, Lightning's too

Every option can stand in the YAML or on the command line, which wins. Runs go to
runs/<experiment>/<start time>/; look at them with: ninelives board
"""


class Entry(NamedTuple):
    """An option of the short help.

    Attributes:
        option: Its name, without dashes.
        value: What is given to it; empty for a flag.
        text: What it is for.
    """

    option: str
    value: str
    text: str


OPTIONS: dict[str, tuple[Entry, ...]] = {
    "data": (
        Entry("data.root", "FOLDER", "your images (default: the config's own data)"),
        Entry("data.source", "NAME", f"images without a folder: {' or '.join(SOURCES)}"),
        Entry("data.image_size", "32", "side of the squares in pixels"),
        Entry("data.batch_size", "32", "images per device and micro-batch"),
        Entry("data.val_fraction", "0.05", "share that is kept for validation"),
        Entry("data.crop", "center", "or pad (the whole image between bars), or random"),
        Entry("data.augmentation.probability", "P", "vary the images; 0.12 is usual for small sets"),
        Entry("data.class_balanced", "false", "every class equally often"),
    ),
    "model": (
        Entry("model", "DiTDiffusion", "or UNetDiffusion; --model.network.width and so on"),
        Entry("model.network.dropout", "0.0", "against memorizing"),
        Entry("model.optimizer.learning_rate", "0.001", "peak of the learning rate"),
    ),
    "length and devices": (
        Entry("trainer.max_steps", "1400", "length in steps; raise it later to train on"),
        Entry("trainer.max_time", "DD:HH:MM:SS", "or in time"),
        Entry("learning_rate.warm_up", "50", "steps in which the learning rate rises"),
        Entry("learning_rate.cool_down", "400", "steps at the end in which it falls"),
        Entry("trainer.precision", "32-true", "or bf16-mixed, 16-mixed"),
        Entry("trainer.devices", "auto", "GPUs or processes; of which kind: --trainer.accelerator"),
        Entry("trainer.accumulate_grad_batches", "1", "micro-batches per step"),
        Entry("trainer.gradient_clip_val", "1.0", "largest norm of the gradient"),
    ),
    "what is kept and shown": (
        Entry("experiment", "NAME", "folder of its runs (default: the config's or the images')"),
        Entry("run", "NAME", "continue or start the run of this name"),
        Entry("fresh", "", "start another run"),
        Entry("allow-mismatch", "", "continue a run although its settings were others"),
        Entry("trainer.default_root_dir", "runs", "where all runs go"),
        Entry("checkpoint.every_n_steps", "100", "steps between checkpoints; at most 15 minutes"),
        Entry("sample_grid.every_n_steps", "200", "steps between pictures"),
        Entry("evaluation.every_n_steps", "0", "steps between measurements of quality; 0 for none"),
        Entry("seed_everything", "0", "the seed of all that is random"),
        Entry("safe", "", "run no foreign code that a config names"),
    ),
}
"""The options that are used most, with their values in the default config."""

FLAGS = frozenset(entry.option for entries in OPTIONS.values() for entry in entries if not entry.value) | {
    "fast-dev-run"
}
"""The options that take no value."""


def asks_for_short_help(args: Sequence[str]) -> bool:
    """Tell whether a command line asks for help, and not for all of it."""
    return any(arg in ("--help", "-h") for arg in args) and not asks_for_all(args)


def asks_for_all(args: Sequence[str]) -> bool:
    """Tell whether a command line asks for all options."""
    return "--help=all" in args or any(pair in (("--help", "all"), ("-h", "all")) for pair in pairwise(args))


def short_help() -> str:
    """Return the short help."""
    lines = [f"usage: {program('fit')} {USAGE}", "", as_typed(DESCRIPTION).rstrip(), ""]
    lines += ["configs (--config NAME, or the path of your own):"]
    lines += [f"  {name:<12}{text}" for name, text in configs().items()]
    width = max(len(_typed(entry)) for entries in OPTIONS.values() for entry in entries) + 2
    for title, entries in OPTIONS.items():
        lines += ["", f"{title} (values of {DEFAULT_CONFIG}):"]
        lines += [f"  {_typed(entry):<{width}}{entry.text}" for entry in entries]
    return "\n".join(lines) + "\n"


def configs() -> dict[str, str]:
    """Return the names of the shipped configs, the default one first, with the first line of each."""
    paths = sorted(CONFIGS.glob("*.yaml"), key=lambda path: (path.stem != DEFAULT_CONFIG, path.stem))
    return {path.stem: _first_line(path) for path in paths}


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8") as lines:
        return next(lines, "").lstrip("# ").rstrip()


def _typed(entry: Entry) -> str:
    return f"--{entry.option} {entry.value}".rstrip()
