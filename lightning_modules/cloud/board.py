"""TensorBoard over a Volume that other containers write to."""

from __future__ import annotations

import logging
import shutil
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from lightning_modules.cloud.access import Locked

logger = logging.getLogger(__name__)

EVENTS = "events.out.tfevents.*"


def serve_board(runs: Path, mirror: Path, reload: Callable[[], None], seconds: float, token: str) -> Locked:
    """Return TensorBoard as a WSGI application for those who have the token.

    A Volume cannot be reloaded while one of its files is open, and TensorBoard keeps its files open. So it
    is given a mirror of the event files, on the container's own disk, which follows the Volume.

    Args:
        runs: Where the Volume is mounted.
        mirror: Folder for the copies.
        reload: Takes over what was published on the Volume.
        seconds: Time between two looks at the Volume.
        token: What opens it.

    Raises:
        ValueError: If the token is empty.
    """
    mirror.mkdir(parents=True, exist_ok=True)
    follow_once(runs, mirror, reload)
    follower = threading.Thread(
        target=_follow, args=(runs, mirror, reload, seconds), name="volume-mirror", daemon=True
    )
    follower.start()
    return Locked(_application(mirror, seconds), token)


def _application(logdir: Path, seconds: float) -> Any:
    from tensorboard import program

    class Unserved(program.TensorBoardServer):  # type: ignore[misc]
        """Hands the application out, and leaves serving it to somebody else."""

        def __init__(self, wsgi_app: Any, flags: object) -> None:
            self.wsgi_app = wsgi_app
            made.append(wsgi_app)

        def serve_forever(self) -> None:
            """Serve nothing."""

        def get_url(self) -> str:
            """Return no address."""
            return ""

    made: list[Any] = []
    board = program.TensorBoard(server_class=Unserved)
    board.configure(argv=("", f"--logdir={logdir}", f"--reload_interval={seconds}", "--load_fast=false"))
    board.launch()
    return made[0]


def follow_once(runs: Path, mirror: Path, reload: Callable[[], None]) -> list[Path]:
    """Bring the mirror up to date, and return the files that have grown or come.

    A failure of the reload is logged: what is there already is still shown.
    """
    try:
        reload()
    except Exception as error:
        logger.error("The Volume was not reloaded (%s: %s).", type(error).__name__, error)
    return list(_copy_grown(runs, mirror))


def _copy_grown(runs: Path, mirror: Path) -> Iterable[Path]:
    for source in sorted(runs.rglob(EVENTS)):
        folders = (part for part in source.parents if part.is_relative_to(runs) and part != runs)
        if any(folder.is_symlink() for folder in folders):
            continue  # `latest`, which names a run a second time; the Volume's mount may be a link itself
        target = mirror / source.relative_to(runs)
        have = target.stat().st_size if target.exists() else 0
        if source.stat().st_size <= have:
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        with source.open("rb") as new, target.open("ab") as old:  # TensorBoard reads on where it was
            new.seek(have)
            shutil.copyfileobj(new, old)
        yield target


def _follow(runs: Path, mirror: Path, reload: Callable[[], None], seconds: float) -> None:
    stop = threading.Event()
    while not stop.wait(seconds):
        follow_once(runs, mirror, reload)
