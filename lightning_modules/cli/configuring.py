"""From a command line to its parts, or to one line on what is wrong with it."""

from __future__ import annotations

import contextlib
import io
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.cli import ArgsType, LightningArgumentParser

from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.cli.fit_cli import FitCLI
from lightning_modules.cli.parsing.culprit import refusal
from lightning_modules.cli.parsing.parser import GIVEN, TeachingParser


class RefusedError(ValueError):
    """A command line cannot be trained, and says why in a line."""


class TrialCLI(FitCLI):
    """A training command line that is only looked at: it neither opens the data nor takes a run."""

    def class_names(self, data: ImageFolderDataModule) -> tuple[str, ...]:
        """Return a stand-in for the classes."""
        return ("images",)

    def take_run(self, made: Trainer) -> None:
        """Take none."""


class _OptionsFound(BaseException):
    """The options are known, and no more is wanted."""


class OptionsCLI(FitCLI):
    """A training command line of which only the options are looked at."""

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse nothing.

        Raises:
            _OptionsFound: With the names of all options.
        """
        assert isinstance(parser, TeachingParser)
        raise _OptionsFound(parser.known_options())


def known_options() -> list[str]:
    """Return the names of all options of training, those of the models under `model`."""
    try:
        OptionsCLI([])
    except _OptionsFound as found:
        return list(found.args[0])
    raise AssertionError("the parser was not made")


def configure(
    args: Sequence[str] | None, continued: Path | None = None, extra_callbacks: Sequence[Callback] = ()
) -> FitCLI:
    """Make the parts that a command line asks for; see `FitCLI`.

    Raises:
        RefusedError: If it asks for what cannot be, with a line that names the option where it is known.
        Exception: Any other is a bug of this project.
    """
    try:
        return FitCLI(args, continued, extra_callbacks)
    except Exception as error:
        given = GIVEN.get()
        said = refusal(error, sys.argv[1:] if args is None else args, given, _trial)
        if said is None:
            raise
        raise RefusedError(said) from error


def trial_of(cli: Callable[[Sequence[str]], FitCLI], args: Sequence[str]) -> BaseException | None:
    """Return the error that a command line ends with, which is not shown; None if there is no error.

    Args:
        cli: Makes the parts.
        args: The command line.
    """
    silence = io.StringIO()
    with contextlib.redirect_stderr(silence), contextlib.redirect_stdout(silence), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            cli(args)
        except (Exception, SystemExit) as error:
            return error
    return None


def _trial(args: Sequence[str]) -> BaseException | None:
    return trial_of(TrialCLI, args)
