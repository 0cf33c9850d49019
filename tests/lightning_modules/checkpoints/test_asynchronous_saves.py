"""WholeCheckpointIO in a thread of its own: of its moment, in order, to the end, and with its errors."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import threading

import pytest
import torch
from torch.utils.data import DataLoader

from lightning_modules.checkpoints import checkpoint_io
from lightning_modules.checkpoints.checkpoint_io import WholeCheckpointIO
from lightning_modules.checkpoints.errors import CheckpointWriteError
from lightning_modules.checkpoints.names import path_of
from lightning_modules.checkpoints.whole import fault, newest_whole
from tests.helpers.checkpoint_samples import file_size_limit
from tests.helpers.places import REPOSITORY


@pytest.fixture
def gate(monkeypatch):
    """Let a write go on only when this event is set."""
    event, save = threading.Event(), checkpoint_io._save

    def gated(checkpoint, stream):
        assert event.wait(120)
        save(checkpoint, stream)

    monkeypatch.setattr(checkpoint_io, "_save", gated)
    yield event
    event.set()


def test_an_asynchronous_save_is_of_its_moment(gate, tmp_path):
    io, weight, path = WholeCheckpointIO(asynchronous=True), torch.zeros(1000), path_of(tmp_path, 1)
    io.save_checkpoint({"weight": weight, "log": (log := [1])}, path)
    weight.fill_(7)
    log.append(2)
    assert not path.exists()
    gate.set()
    io.drain()
    loaded = io.load_checkpoint(path)
    assert torch.equal(loaded["weight"], torch.zeros(1000))
    assert loaded["log"] == [1]


def test_one_is_written_at_a_time_in_order(gate, tmp_path, monkeypatch):
    events: list[tuple[str, object]] = []
    io = WholeCheckpointIO(asynchronous=True, on_whole=lambda path: events.append(("whole", path)))
    take = io._snapshots.take
    monkeypatch.setattr(
        io._snapshots,
        "take",
        lambda checkpoint: events.append(("taken", checkpoint["step"])) or take(checkpoint),
    )
    paths = [path_of(tmp_path, step) for step in range(5)]

    def save_all():
        for step, path in enumerate(paths):
            io.save_checkpoint({"step": step, "x": torch.full((10_000,), float(step))}, path)
        io.drain()

    caller = threading.Thread(target=save_all)
    caller.start()
    gate.set()
    caller.join(120)
    assert events == [
        event for step, path in enumerate(paths) for event in (("taken", step), ("whole", path))
    ]
    assert [io.load_checkpoint(path)["x"][0].item() for path in paths] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("by", ["save", "teardown"])
def test_an_error_of_the_writer_is_not_lost(by, tmp_path):
    io = WholeCheckpointIO(asynchronous=True)
    surface = {
        "save": lambda: io.save_checkpoint({"x": torch.ones(10)}, path_of(tmp_path, 2)),
        "teardown": io.teardown,
    }
    with file_size_limit(1 << 20):
        io.save_checkpoint({"x": torch.ones(1_000_000)}, path_of(tmp_path, 1))
        with pytest.raises(CheckpointWriteError, match=r"step=00000001\.ckpt"):
            surface[by]()
    io.drain()
    # The save that brought the error was done none the less.
    assert newest_whole(tmp_path) == (path_of(tmp_path, 2) if by == "save" else None)


def test_loader_workers_that_are_forked_meanwhile_work_and_end(gate, tmp_path):
    io, path = WholeCheckpointIO(asynchronous=True), path_of(tmp_path, 1)
    io.save_checkpoint({"x": torch.ones(10)}, path)
    loader = DataLoader(range(20), batch_size=5, num_workers=1, multiprocessing_context="fork", timeout=100)
    assert torch.cat(list(loader)).tolist() == list(range(20))
    assert not path.exists()
    gate.set()
    io.drain()
    assert fault(path) is None


@pytest.mark.slow
def test_a_process_that_ends_waits_for_its_writer(tmp_path):
    script = """
        import sys, threading, torch
        from lightning_modules.checkpoints import checkpoint_io
        from lightning_modules.checkpoints.checkpoint_io import WholeCheckpointIO
        save = checkpoint_io._save

        def at_the_end(checkpoint, stream):
            threading.main_thread().join()  # the interpreter is shutting down
            save(checkpoint, stream)

        checkpoint_io._save = at_the_end
        WholeCheckpointIO(asynchronous=True).save_checkpoint({"x": torch.arange(5)}, sys.argv[1])
        sys.exit(3)
    """
    path = path_of(tmp_path, 1)
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", textwrap.dedent(script), path]
    result = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=200, check=False
    )
    assert result.returncode == 3, result.stderr
    assert torch.equal(WholeCheckpointIO().load_checkpoint(path)["x"], torch.arange(5))
