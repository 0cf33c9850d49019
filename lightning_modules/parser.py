from __future__ import annotations

import argparse
import difflib
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from jsonargparse import DefaultHelpFormatter
from lightning.pytorch.cli import LightningArgumentParser

from lightning_modules.base import DiffusionModule
from lightning_modules.dit import DiTDiffusion
from lightning_modules.unet import UNetDiffusion

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
MODELS: tuple[type[DiffusionModule], ...] = (DiTDiffusion, UNetDiffusion)

_REFUSED_KEY = re.compile(
    r"(?:Key|Option|option|key|arguments:|argument:)\s+['\"]?-{0,2}([\w.-]+?)['\"]?(?:=\S*)?"
    r"(?:\s+is not (?:expected|accepted)|\s*$|\s)",
    re.MULTILINE,
)


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """jsonargparse's help, with the description's lines left as they are."""


class TeachingParser(LightningArgumentParser):
    """LightningCLI's parser, whose errors are short and name the options nearest to a mistyped one."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Print what was wrong and what may have been meant, and exit with status 2."""
        lines = [f"error: {message.strip()}"]
        known = self.known_options()
        for refused in dict.fromkeys(_REFUSED_KEY.findall(message)):
            near = _nearest(refused, known)
            if near:
                lines.append(
                    f"'{refused}' is not an option. Did you mean {' or '.join(f'--{n}' for n in near)}?"
                )
        lines.append(f"All options: {self.prog} --help")
        sys.stderr.write("\n".join(lines) + "\n")
        sys.exit(2)

    def known_options(self) -> list[str]:
        """Return the names of all options, those of the models under `model`.

        The parser of a model's own options, which LightningCLI makes on the way, knows them without it.
        """
        of_models = {f"model.{name}" for model in MODELS for name in inspect.signature(model).parameters}
        here = {action.dest for action in self._actions}
        return sorted(of_models | {name for name in here if f"model.{name}" not in of_models})


def _nearest(refused: str, known: Sequence[str]) -> list[str]:
    """Return up to two known options that look like a refused one, by full name or by last part."""
    full = difflib.get_close_matches(refused, known, n=2, cutoff=0.75)
    if full or "." in refused:
        return full
    last = {name.rsplit(".", 1)[-1]: name for name in known}
    return [last[name] for name in difflib.get_close_matches(refused, last, n=2, cutoff=0.75)]


def resolve_config(name: str) -> Path:
    """Return the path of a config given as a path, or as a bare name of one in `configs/`.

    Raises:
        FileNotFoundError: If there is neither, with the names there are.
    """
    for candidate in (Path(name), CONFIGS / name, CONFIGS / f"{name}.yaml"):
        if candidate.is_file():
            return candidate
    shipped = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    near = difflib.get_close_matches(Path(name).stem, shipped, n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise FileNotFoundError(
        f"there is no config '{name}', neither as a path nor in configs/ ({', '.join(shipped)}).{hint}"
    )


def with_config(args: Sequence[str], default: str) -> tuple[list[str], str]:
    """Resolve the `--config` options of a command line, and add the default one if there is none.

    Returns:
        The command line, and the name of the experiment: that of the last config.
    """
    resolved: list[str] = []
    name = ""
    remaining = iter(args)
    for arg in remaining:
        flag, equals, value = arg.partition("=")
        if flag not in ("--config", "-c"):
            resolved.append(arg)
            continue
        path = resolve_config(value if equals else next(remaining, ""))
        resolved += ["--config", str(path)]
        name = path.stem
    if not name:
        resolved = ["--config", str(resolve_config(default)), *resolved]
        name = default
    return resolved, name
