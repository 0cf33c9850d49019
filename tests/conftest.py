from __future__ import annotations

import errno
import fcntl
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from PIL import Image

from datamodules.utils.stop_signals import STOPPING

if TYPE_CHECKING:
    from tests.modal_emulator import Emulator


@pytest.fixture(scope="session", autouse=True)
def signals_that_count() -> None:
    """Let the tests' signals be heard also where a shell started the tests in the background, or `nohup`."""
    for number in STOPPING:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


LOGIN_SHELL = ("COLUMNS", "FORCE_COLOR", "LINES", "LOGNAME", "NO_COLOR", "SHELL", "TERM", "USER")
CLUSTER = ("LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT", "NODE_RANK", "RANK", "WORLD_SIZE")
FAMILIES = ("OMPI_", "PMI_", "SLURM_", "TORCHELASTIC_", "XDG_")


@pytest.fixture(scope="session", autouse=True)
def bare_environment() -> None:
    """Take away what a login shell or a cluster's job sets: a test that needs it sets it itself."""
    for name in list(os.environ):
        if name in LOGIN_SHELL + CLUSTER or name.startswith(FAMILIES):
            del os.environ[name]


@pytest.fixture(scope="session")
def image_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """24 images of 8 x 8 pixels in two classes; `tiny.data` puts its cache beside it."""
    root = tmp_path_factory.mktemp("tiny") / "images"
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        for number in range(12):
            pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{number:02}.png")
    return root


@pytest.fixture
def no_locks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system without locks, as some network file systems are."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(fcntl, "lockf", refuse)


@pytest.fixture
def modal_server(tmp_path: Path) -> Iterator[Emulator]:
    """A local Modal control plane; it leaves no process, and fails the test if it met an error of its own."""
    from tests.modal_emulator import Emulator

    threads = {name: os.environ[name] for name in ("OMP_NUM_THREADS",) if name in os.environ}
    with Emulator(tmp_path / "modal", threads) as server:
        yield server
    assert server.service.errors == []
