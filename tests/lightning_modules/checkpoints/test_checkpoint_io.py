"""WholeCheckpointIO: what it refuses, and what it never loses, at once and aside."""

from __future__ import annotations

import errno
import hashlib
import os
import pickle
import subprocess
import threading
from pathlib import PurePosixPath

import pytest
import torch
from lightning.pytorch import Trainer
from lightning.pytorch.demos.boring_classes import BoringModel
from torch.utils.data import DataLoader

from lightning_modules.checkpoints.checkpoint_io import WholeCheckpointIO
from lightning_modules.checkpoints.errors import (
    CheckpointWriteError,
    DamagedCheckpointError,
    UnsafeCheckpointError,
)
from lightning_modules.checkpoints.names import checksum_file, path_of
from lightning_modules.checkpoints.whole import fault, newest_whole, point_last
from lightning_modules.utils.differences import first_difference
from tests.helpers.checkpoint_samples import file_size_limit, nested_checkpoint


@pytest.fixture(params=[False, True], ids=["synchronous", "asynchronous"])
def io(request):
    plugin = WholeCheckpointIO(request.param)
    yield plugin
    plugin.teardown()


def test_what_is_saved_is_loaded_bit_for_bit(io, tmp_path):
    checkpoint = nested_checkpoint()
    path = path_of(tmp_path / "checkpoints", 1)
    io.save_checkpoint(checkpoint, str(path))
    io.drain()
    point_last(path.parent, path)
    assert first_difference(io.load_checkpoint(path), checkpoint) is None
    loaded = io.load_checkpoint(str(path.parent / "last.ckpt"), map_location=None, weights_only=False)
    assert first_difference(loaded, checkpoint) is None
    state = loaded["state_dict"]
    assert state["tied"].data_ptr() == state["weight"].data_ptr()


def test_both_ways_write_the_same_bytes(tmp_path):
    files = []
    for asynchronous in (False, True):
        plugin, path = WholeCheckpointIO(asynchronous), path_of(tmp_path / str(asynchronous), 1)
        plugin.save_checkpoint(nested_checkpoint(), path)
        plugin.teardown()
        files.append(path.read_bytes())
    assert files[0] == files[1]


def test_the_callers_choice_of_crc32_stays(io, tmp_path):
    for choice in (True, False):
        torch.serialization.set_crc32_options(choice)
        try:
            io.save_checkpoint({"x": torch.ones(2)}, tmp_path / "x.ckpt")
            io.drain()
            assert torch.serialization.get_crc32_options() == choice
        finally:
            torch.serialization.set_crc32_options(True)


def test_training_goes_on_from_it_in_lightning(io, tmp_path):
    def trainer(steps):
        quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
        brief = {"limit_val_batches": 0, "enable_checkpointing": False, "accelerator": "cpu"}
        return Trainer(plugins=[io], max_steps=steps, default_root_dir=tmp_path, **brief, **quiet)

    class Model(BoringModel):
        def configure_optimizers(self):
            return torch.optim.Adam(self.parameters(), 0.01)

        def train_dataloader(self):  # all batches alike: what they are after a resume is not the plugin's
            return DataLoader(torch.linspace(-1, 1, 32).repeat(6, 1), batch_size=2)

    torch.manual_seed(0)
    initial = Model().state_dict()
    models = []
    for lengths in ([9], [3, 9]):
        for steps in lengths:
            model, run = Model(), trainer(steps)
            model.load_state_dict(initial)
            run.fit(
                model, ckpt_path=newest_whole(tmp_path) if steps > lengths[0] else None, weights_only=False
            )
            if steps == 3:
                run.save_checkpoint(path_of(tmp_path, 3))
                io.drain()
        models.append(model)
    pairs = zip(*(model.state_dict().values() for model in models), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


class Payload:
    def __init__(self, canary):
        self.canary = canary

    def __reduce__(self):
        return os.system, (f"touch '{self.canary}'",)


@pytest.mark.parametrize("form", ["archive", "pickle", "legacy"])
def test_a_malicious_pickle_is_refused(form, tmp_path, monkeypatch):
    canary, path = tmp_path / "canary", path_of(tmp_path, 1)
    attack = {"state_dict": {"x": torch.ones(2)}, "callbacks": Payload(canary)}
    if form == "pickle":
        path.write_bytes(pickle.dumps(attack["callbacks"], protocol=2))
    else:
        torch.save(attack, path, _use_new_zipfile_serialization=form == "archive")
    checksum_file(path).write_text(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
    assert fault(path) is None  # a checksum proves nothing about who wrote it
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    for asked in (None, True, False):
        with pytest.raises(UnsafeCheckpointError, match=r"step=00000001\.ckpt") as caught:
            WholeCheckpointIO().load_checkpoint(path, weights_only=asked)
        assert isinstance(caught.value, pickle.UnpicklingError)
        if form == "archive":
            assert "system" in str(caught.value)
        assert not canary.exists()
    # The same file does run its code for a reader that lets it.
    if form == "pickle":
        pickle.loads(path.read_bytes())
    else:
        torch.load(path, weights_only=False)
    assert canary.exists()


def test_what_could_not_be_loaded_is_not_saved(io, tmp_path):
    path = path_of(tmp_path, 1)
    with pytest.raises(UnsafeCheckpointError, match="PurePosixPath"):  # noqa: PT012
        io.save_checkpoint({"hyper_parameters": {"root": PurePosixPath("images")}}, path)
        io.drain()
    assert list(tmp_path.iterdir()) == []


def test_damage_is_told(io, tmp_path):
    path = path_of(tmp_path, 1)
    with pytest.raises(FileNotFoundError, match=r"^(?!\[Errno).*step=00000001\.ckpt"):
        io.load_checkpoint(path)
    io.save_checkpoint({"x": torch.ones(1000)}, path)
    io.drain()
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DamagedCheckpointError, match=r"step=00000001\.ckpt.* truncated"):
        io.load_checkpoint(path)
    path.write_bytes(b"not an archive")
    checksum_file(path).unlink()
    with pytest.raises(ValueError, match=r"step=00000001\.ckpt.* checksum") as caught:
        io.load_checkpoint(path)
    # The advice, followed to the letter, makes one; then it is seen that this is no checkpoint.
    subprocess.run(str(caught.value).partition("make one: ")[2], shell=True, check=True)
    with pytest.raises((DamagedCheckpointError, UnsafeCheckpointError), match=r"step=00000001\.ckpt"):
        io.load_checkpoint(path)


def test_options_that_mean_nothing_here_are_refused(io, tmp_path):
    with pytest.raises(TypeError, match="storage_options"):
        io.save_checkpoint({}, tmp_path / "x.ckpt", storage_options={"anything": 1})


def test_removal_takes_the_checksum_too(io, tmp_path):
    path = path_of(tmp_path, 1)
    io.save_checkpoint({"x": torch.ones(2)}, path)
    io.remove_checkpoint(path)
    io.remove_checkpoint(str(path))
    assert list(tmp_path.iterdir()) == []


def test_on_whole_comes_when_the_file_is_whole_and_may_use_the_plugin(io, tmp_path):
    seen = []

    def on_whole(path):
        seen.append((fault(path), threading.current_thread() is threading.main_thread()))
        point_last(path.parent, path)
        io.remove_checkpoint(path_of(tmp_path, 1))
        io.drain()

    io.on_whole = on_whole
    for step in (1, 2):
        io.save_checkpoint({"x": torch.ones(step)}, path_of(tmp_path, step))
    io.drain()
    assert seen == [(None, not io.asynchronous)] * 2
    assert newest_whole(tmp_path) == path_of(tmp_path, 2)
    assert not path_of(tmp_path, 1).exists()


def test_a_full_disk_loses_nothing_and_training_may_go_on(io, tmp_path, caplog):
    small, large = {"x": torch.ones(10)}, {"x": torch.ones(1_000_000)}
    io.save_checkpoint(small, path_of(tmp_path, 1))
    io.drain()
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    expected = pytest.raises(CheckpointWriteError, match=r"step=00000002\.ckpt.*\b4\.0 MB")
    with file_size_limit(1 << 20), expected as caught:
        io.save_checkpoint(large, path_of(tmp_path, 2))
        io.drain()
    assert caught.value.errno == errno.EFBIG
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
    if io.asynchronous:
        assert "step=00000002.ckpt" in caplog.text
    io.drain()  # it is raised once
    io.save_checkpoint(large, path_of(tmp_path, 2))
    io.drain()
    assert newest_whole(tmp_path) == path_of(tmp_path, 2)


def test_an_error_of_on_whole_is_not_lost(io, tmp_path):
    def refuse(path):
        raise PermissionError("retention")

    io.on_whole = refuse
    with pytest.raises(PermissionError, match="retention"):  # noqa: PT012
        io.save_checkpoint({"x": torch.ones(1)}, path_of(tmp_path, 1))
        io.drain()
    assert fault(path_of(tmp_path, 1)) is None
