from __future__ import annotations

import argparse
import difflib
from collections.abc import Sequence
from contextlib import suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any, NoReturn

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter
from lightning.pytorch.cli import LightningArgumentParser

from lightning_modules.cli.names import program
from lightning_modules.cli.parsing.argparse_internals import option_strings, take_negative_numbers
from lightning_modules.cli.parsing.help import CONFIGS, asks_for_all
from lightning_modules.cli.parsing.options import Option, in_order, last_value, options_of
from lightning_modules.cli.parsing.refusals import explain
from lightning_modules.cli.parsing.safety import check_safe
from lightning_modules.cli.process import refuse
from lightning_modules.models import MODELS

LINKED = ("model.image_size", "model.class_names", "model.seed", "data.seed")
"""Options that other options set: not for the command line."""

GIVEN: ContextVar[tuple[str, ...]] = ContextVar("GIVEN", default=())
"""Names of what a command line and its configs set. The parser of a class's own options knows no more of
itself than the end of their names."""


class HelpFormatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """jsonargparse's help, with the description's lines left as they are."""


class TeachingParser(LightningArgumentParser):
    """LightningCLI's parser, whose errors are a line that names the options nearest to a mistyped one."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401
        super().__init__(*args, **kwargs)
        take_negative_numbers(self)

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        """Say what was wrong and what may have been meant, and end the command with status 2."""
        said = explain(message, GIVEN.get(), self.known_options())
        said = said if said.endswith((".", "?")) else f"{said}."
        refuse(f"{said} All options: {program('fit')} --help all")

    def known_options(self) -> list[str]:
        """Return the names of all options, those of the models under `model`.

        The parser of a model's own options, which LightningCLI makes on the way, knows them without it.
        """
        of_models: set[str] = set()
        for model in MODELS.values():
            parser = ArgumentParser()
            parser.add_class_arguments(model, "model")
            of_models |= _options_in(parser)
        here = {name for name in _options_in(self) if f"model.{name}" not in of_models}
        return sorted((of_models | here) - set(LINKED))


def _options_in(parser: ArgumentParser) -> set[str]:
    names = {name[2:] for name in option_strings(parser) if name[:2] == "--"}
    return {name for name in names if not name.endswith((".help", "+"))}


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
        f"there is no config '{name}': no file has this path, and the names are {', '.join(shipped)}.{hint}"
    )


def with_config(args: Sequence[str], default: str) -> tuple[list[str], str]:
    """Resolve the `--config` options of a command line, and add the default one if no config is given.

    Where the command line names another model than a config, the config's model section is left out: its
    settings were chosen for the other network.

    Returns:
        The command line, and the name of the experiment: that of the last config.

    Raises:
        FileNotFoundError: If there is no such config.
        ValueError: If there is no such model.
    """
    if asks_for_all(args):
        return ["--help"], default
    options = options_of(args)
    model = _named_model(options)
    configs = [resolve_config(option.value) for option in options if option.name == "config"]
    configs = configs or [resolve_config(default)]
    # The configs first: what stands on the command line wins, wherever it stands there.
    resolved = [text for path in configs for text in ("--config", _config_for(path, model))]
    for option in in_order([option for option in options if option.name != "config"]):
        resolved += option.tokens
    return resolved, configs[-1].stem


def given_names(resolved: Sequence[str]) -> tuple[str, ...]:
    """Return the names of what a resolved command line sets, and its configs, as options are named."""
    names: list[str] = []
    for option in options_of(resolved):
        names += _names_in(_plain(option)) if option.name == "config" else [option.name]
    return tuple(names)


def refuse_foreign_code(resolved: Sequence[str]) -> None:
    """Refuse a command line and configs that name code of others, before they are parsed.

    Raises:
        ValueError: With the setting.
    """
    for option in options_of(resolved):
        of_config = option.name == "config"
        where = Path(option.value).name if of_config and _is_file(option.value) else "the command line"
        check_safe(where, _plain(option), "" if of_config else option.name)


def _plain(option: Option) -> object:
    """Return an option's value, or a config, as plain values; what is no YAML is refused by jsonargparse."""
    text = option.value
    if _is_file(text) and (option.name == "config" or text.endswith((".yaml", ".yml"))):
        text = Path(text).read_text()
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def _is_file(value: str) -> bool:
    try:
        return Path(value).is_file()
    except OSError:  # a text is too long for a name
        return False


def _names_in(section: object, prefix: str = "") -> list[str]:
    names: list[str] = []
    for key, value in section.items() if isinstance(section, dict) else ():
        name = prefix if key in ("init_args", "class_path") else f"{prefix}.{key}".lstrip(".")
        names += _names_in(value, name) if isinstance(value, dict) else [name]
    return names


def _named_model(options: Sequence[Option]) -> str | None:
    """Return the model that a command line names last, checked if it is a bare name."""
    value = last_value(options, "model", "model.class_path")
    if value.lstrip().startswith("{"):
        with suppress(yaml.YAMLError):  # which jsonargparse refuses, with the option's name
            value = str(yaml.safe_load(value).get("class_path", ""))
    name = value
    if not name:
        return None
    if name.isidentifier() and name not in MODELS:
        near = difflib.get_close_matches(name, MODELS, n=1, cutoff=0.4)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"there is no model '{name}'; there are {', '.join(MODELS)}.{hint}")
    return name


def _config_for(path: Path, model: str | None) -> str:
    """Return the config's path, or its text without the model section where that is of another model."""
    if model is None:
        return str(path)
    config = yaml.safe_load(path.read_text())
    section = config.get("model") if isinstance(config, dict) else None
    of = section.get("class_path", "") if isinstance(section, dict) else section
    if not of or of.rpartition(".")[2] == model.rpartition(".")[2]:
        return str(path)
    return yaml.safe_dump({key: value for key, value in config.items() if key != "model"}, sort_keys=False)
