from __future__ import annotations

import logging
import threading

import pytest

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.checkpoints.whole import checkpoints_in, fault, newest_whole
from lightning_modules.cloud.volume_commit import VolumeCommit
from tests.helpers.tiny import EachStep, data, fit, module, trainer


class Volume:
    """What a commit would publish: the newest checkpoint in the folder, with what is wrong with it."""

    def __init__(self, folder, failures=0):
        self.folder, self.failures = folder / "checkpoints", failures
        self.commits = []

    def commit(self):
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the service is away")
        found = checkpoints_in(self.folder)
        faults = [fault(path) for path in found]
        self.commits.append((found[-1].name if found else None, [each for each in faults if each]))


def checkpoint(**options):
    return StepCheckpoint(**{"every_n_steps": 2, "keep_last": 10, **options})


def train(tmp_path, image_folder, callbacks, steps=6):
    return fit(tmp_path, module(), data(image_folder), callbacks, max_steps=steps)


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_what_is_committed_is_whole_and_the_end_is_committed(tmp_path, image_folder, asynchronous):
    volume = Volume(tmp_path)
    callback = VolumeCommit(volume.commit)
    train(tmp_path, image_folder, [callback, checkpoint(asynchronous=asynchronous)])
    assert volume.commits[-1] == ("step=00000006.ckpt", [])
    assert all(not faults for _, faults in volume.commits)
    assert callback.committed == newest_whole(tmp_path / "checkpoints")
    assert callback.failures == 0


def test_a_checkpoint_is_committed_while_training_goes_on(tmp_path, image_folder):
    further = threading.Event()
    went_on = []

    def commit():
        if not went_on:  # the first one waits for steps that a commit in the way would not let happen
            went_on.append(further.wait(60))

    watch = EachStep(lambda run, _: run.global_step >= 5 and further.set())
    train(tmp_path, image_folder, [watch, checkpoint(), VolumeCommit(commit)])
    assert went_on == [True]


def test_without_anything_to_commit_there_is_one_commit_at_the_end(tmp_path, image_folder):
    volume = Volume(tmp_path)
    train(tmp_path, image_folder, [checkpoint(every_n_steps=0), VolumeCommit(volume.commit)])
    assert volume.commits == [(None, [])]


def test_a_commit_that_fails_is_logged_and_tried_again(tmp_path, image_folder, caplog):
    volume = Volume(tmp_path, failures=2)
    callback = VolumeCommit(volume.commit, retry_seconds=0.0)
    with caplog.at_level(logging.ERROR):
        train(tmp_path, image_folder, [checkpoint(), callback])
    assert callback.failures == 2
    assert volume.commits[-1] == ("step=00000006.ckpt", [])
    assert caplog.text.count("ConnectionError: the service is away") == 2


def test_commits_that_never_succeed_do_not_stop_training(tmp_path, image_folder):
    volume = Volume(tmp_path, failures=10**6)
    callback = VolumeCommit(volume.commit, retry_seconds=0.0)
    run = train(tmp_path, image_folder, [checkpoint(), callback])
    assert run.global_step == 6
    assert callback.committed is None
    assert callback.failures >= 3


def test_a_failed_commit_is_not_tried_again_at_once(tmp_path, image_folder):
    volume = Volume(tmp_path, failures=10**6)
    callback = VolumeCommit(volume.commit, retry_seconds=3600.0, last_attempts=1)
    train(tmp_path, image_folder, [checkpoint(), callback])
    assert callback.failures == 2  # that of the first checkpoint, and that of the end


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_an_error_leaves_training_after_the_last_checkpoint_is_committed(
    tmp_path, image_folder, asynchronous
):
    volume = Volume(tmp_path)

    def explode(run, _):
        if run.global_step == 5:
            raise RuntimeError("broken")

    saver = checkpoint(asynchronous=asynchronous)
    with pytest.raises(RuntimeError, match="broken"):
        train(tmp_path, image_folder, [EachStep(explode), saver, VolumeCommit(volume.commit)])
    assert volume.commits[-1] == ("step=00000004.ckpt", [])


def test_further_ranks_leave_committing_to_the_first(tmp_path):
    volume = Volume(tmp_path)
    run = trainer(tmp_path, [checkpoint()])
    run.strategy.set_world_ranks = lambda: None
    callback = VolumeCommit(volume.commit)
    run.strategy._local_rank = 1
    run.__class__ = type("Further", (run.__class__,), {"is_global_zero": False})
    callback.flush(run)
    assert volume.commits == []
