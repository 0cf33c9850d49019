"""What `ninelives report` does, and what every `fit` does at its end."""

from __future__ import annotations

import errno
import logging
import os
import webbrowser
from pathlib import Path

from datamodules.pages.html import PAGE_BEGINS
from lightning_modules.cli.names import command_line
from lightning_modules.report.page import write_report
from lightning_modules.report.record import Record
from lightning_modules.run.finding import find_run

logger = logging.getLogger(__name__)

_CANNOT_WRITE = (errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOSPC, errno.EDQUOT)
_ON_MODAL = "MODAL_TASK_ID"
_NEXT = {"finished": "train on", "stopped": "continue"}


def report(place: Path, out: Path | None = None, show: bool = False) -> str:
    """Write the page of a run, and return where, in a line.

    Args:
        place: A run directory, or an experiment's directory, whose newest run it is.
        out: The file; None: `report.html` in the run.
        show: Whether to open it in a browser.

    Raises:
        FileNotFoundError: If there is no run.
        OSError: If the file cannot be written, or `out` is something else than an earlier page.
    """
    run = find_run(place)
    if run is None:
        raise FileNotFoundError(
            f"there is no run in {place}. Give a run directory such as runs/demo/latest, or an experiment "
            f"such as runs/demo."
        )
    while run.is_symlink():  # the page and its commands give the run its own name, not the link's
        run = run.parent / run.readlink()
    if out is not None:
        _check_replaceable(out)
    try:
        path = write_report(run, out, commands_for)
    except OSError as error:
        if out is not None or error.errno not in _CANNOT_WRITE:
            raise
        raise OSError(
            f"{error.strerror}: the report of {run} cannot be written there. Choose a file with --out"
        ) from error
    if show and not webbrowser.open(path.absolute().as_uri()):
        return f"{path} (no browser was found here to open it)"
    return str(path)


def _check_replaceable(out: Path) -> None:
    """Refuse to replace what is no page: a file of the user's, or of the run.

    Raises:
        OSError: With what is there.
    """
    if out.is_dir():
        raise IsADirectoryError(
            f"--out {out} is a folder: give the name of a file, such as {out}/report.html"
        )
    if not out.exists():
        return
    if out.is_file():
        with out.open("rb") as file:
            content = file.read(len(PAGE_BEGINS))
        if not content or content == PAGE_BEGINS.encode():
            return
    raise FileExistsError(f"--out {out} is there already and is no page: choose another name")


def keep_report(folder: Path) -> None:
    """Write the page of a run that has just been trained; where that fails, say so in a line."""
    try:
        write_report(folder, commands=commands_for)
    except Exception as error:  # training has ended, with or without its page
        logger.warning(
            "The run's report was not written: %s", " ".join(f"{type(error).__name__}: {error}".split())
        )


def commands_for(record: Record) -> dict[str, str]:
    """Return what can be done with a run next, each a line for a shell."""
    folder, name = record.run.folder, record.run.folder.absolute().name
    if _ON_MODAL in os.environ:  # the run lies on a Volume, and its commands are started elsewhere
        run = f"{record.experiment}/{name}"
        made = {what: f"modal run modal_entry.py::{what} {run}" for what in ("sample", "evaluate")}
        return made | {"fetch": f"modal volume get ninelives-runs {run} runs/{record.experiment}/"}
    commands = {}
    if not record.in_training and record.config:
        longer = ["--trainer.max_steps", 2 * record.target] if record.finished and record.target else []
        place = folder.absolute().parent.parent
        root = Path(str(record.setting("trainer.default_root_dir") or "runs"))
        moved = [] if root.absolute() == place else ["--trainer.default_root_dir", place]
        what = _NEXT["finished" if longer else "stopped"]
        commands[what] = command_line("fit", "--config", record.run.config, "--run", name, *longer, *moved)
    if record.checkpoints:
        commands["sample"] = command_line("sample", folder, "--n", 64)
        commands["evaluate"] = command_line("evaluate", folder)
        commands["page to play with"] = command_line("page", folder, "--serve")
        commands["publish"] = command_line("export", folder, "--to", "huggingface", "--data-license", "ID")
    return commands
