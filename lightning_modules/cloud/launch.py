"""From the command line to a job, in a process of its own: this one stays light, and can refuse at once."""

from __future__ import annotations

import dataclasses
import difflib
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from datamodules.utils.exit_codes import REFUSED, stopped_by
from datamodules.utils.system import refuse_unsupported
from lightning_modules.cloud.command import Command
from lightning_modules.cloud.help import HELP
from lightning_modules.cloud.job import Job
from lightning_modules.cost.settings import ModalSettings

ROOT = Path(__file__).resolve().parents[2]
_HERE = ("data_volume", "gpu", "runs_volume")
"""Settings of the entry points that have no configuration."""


def resolve_job(args: Sequence[str]) -> Job:
    """Check a training command line as `ninelives fit` would, and return the job that it asks for.

    Args:
        args: The command line.

    Raises:
        SystemExit: With the status of the check, if it refuses or only had to print something, and with 130
            after Ctrl-C.
    """
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "job.json"
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        command = [sys.executable, "-m", "lightning_modules.cloud.resolve", str(out), *args]
        environment = {**os.environ, "PYTHONPATH": path}
        try:  # in a session of its own: Ctrl-C is for this process, which ends the other
            result = subprocess.run(command, env=environment, start_new_session=True, check=False)
        except KeyboardInterrupt:
            print("\nstopped; nothing was started", file=sys.stderr)
            sys.exit(stopped_by(signal.SIGINT))
        if result.returncode or not out.is_file():
            sys.exit(result.returncode)
        return Job.from_dict(json.loads(out.read_text()))


def settings_of(args: Sequence[str]) -> ModalSettings:
    """Return the settings that `--modal.NAME VALUE` options ask for, those of a command without a config.

    Raises:
        SystemExit: If one of them is wrong.
    """
    given: dict[str, str] = {}
    remaining = iter(args)
    for arg in remaining:
        flag, equals, value = arg.partition("=")
        if flag.startswith("--modal."):
            given[flag.removeprefix("--modal.")] = value if equals else next(remaining, "")
    for name in given.keys() - _HERE:
        near = difflib.get_close_matches(name, _HERE, n=1)
        hint = (
            f"Did you mean --modal.{near[0]}?" if near else f"There are --modal.{', --modal.'.join(_HERE)}."
        )
        of_fit = name in {each.name for each in dataclasses.fields(ModalSettings)}
        refuse(
            f"--modal.{name} is an option of fit alone"
            if of_fit
            else f"--modal.{name} is not an option. {hint}"
        )
    usual = ModalSettings()
    try:
        return ModalSettings(
            gpu=given.get("gpu", usual.gpu),
            data_volume=given.get("data_volume", usual.data_volume),
            runs_volume=given.get("runs_volume", usual.runs_volume),
        )
    except ValueError as error:
        refuse(str(error))


def without_settings(args: Sequence[str]) -> list[str]:
    """Return a command line without its `--modal.NAME VALUE` options."""
    left: list[str] = []
    remaining = iter(args)
    for arg in remaining:
        flag, equals, _ = arg.partition("=")
        if not flag.startswith("--modal."):
            left.append(arg)
        elif not equals:
            next(remaining, "")
    return left


def refuse(reason: str) -> NoReturn:
    """Say what is wrong, and exit.

    Raises:
        SystemExit: Always, with status 2.
    """
    print(f"error: {reason}", file=sys.stderr)
    sys.exit(REFUSED)


def prepare(command: Command | None) -> tuple[Job | None, ModalSettings]:
    """Return the job of a `fit`, of which it tells what it will cost, and the settings of any entry point.

    All this is before there is an app.

    Args:
        command: What `modal run` was asked for; None for `modal serve` and the like.

    Raises:
        SystemExit: If the command line is refused, or asks for help.
    """
    if command is None:
        return None, ModalSettings()
    refuse_unsupported()
    if command.asks_for_help and command.name in HELP:
        print(HELP[command.name], end="")
        sys.exit(0)
    if command.name == "fit":
        job = resolve_job(command.args)
        print("\n".join(job.summary), flush=True)
        return job, job.settings
    settings, given = settings_of(command.args), without_settings(command.args)
    if command.name == "upload_data" and (len(given) != 1 or not Path(given[0]).is_dir()):
        refuse(f"give one folder of images; {' '.join(given) or 'nothing'} is not one")
    if command.name in ("sample", "evaluate") and (not given or given[0].startswith("-")):
        refuse(f"name the run first, as in: modal run modal_entry.py::{command.name} cats --n 64")
    if command.name == "tensorboard" and given:
        refuse(f"tensorboard takes no {given[0]}")
    return None, settings
