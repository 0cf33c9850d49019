from __future__ import annotations

import io

import pytest
import torch

from lightning_modules.checkpoints.snapshot import Snapshots, size_in_bytes
from lightning_modules.utils.differences import first_difference
from tests.helpers.checkpoint_samples import nested_checkpoint


def test_a_snapshot_is_the_checkpoint():
    checkpoint = nested_checkpoint()
    snapshot = Snapshots().take(checkpoint)
    assert first_difference(snapshot, checkpoint) is None
    assert snapshot["channels_last"].is_contiguous(memory_format=torch.channels_last)


def test_what_shares_memory_still_does():
    state = Snapshots().take(nested_checkpoint())["state_dict"]
    assert state["tied"] is state["weight"]
    for name in ("row", "transposed"):
        assert state[name].untyped_storage().data_ptr() == state["weight"].untyped_storage().data_ptr()


def test_it_is_saved_to_the_same_bytes():
    def saved(checkpoint):
        file = io.BytesIO()
        torch.save(checkpoint, file)
        return file.getvalue()

    checkpoint = nested_checkpoint()
    assert saved(Snapshots().take(checkpoint)) == saved(checkpoint)


def test_later_changes_do_not_reach_it():
    checkpoint, before = nested_checkpoint(), nested_checkpoint()
    snapshot = Snapshots().take(checkpoint)
    checkpoint["state_dict"]["weight"].zero_()
    checkpoint["halves"][1][1]["x"] += 1
    checkpoint["numbers"][3].append(4)
    checkpoint["numbers"]["step"] = 13
    assert first_difference(snapshot, before) is None


def mapped(tmp_path, tensor):
    torch.save({"x": tensor}, tmp_path / "mapped")
    return torch.load(tmp_path / "mapped", mmap=True, weights_only=True)["x"]


@pytest.mark.parametrize("kind", ["mapped", "shared", "numpy"])
def test_memory_that_others_write_to_is_copied(kind, tmp_path):
    values = torch.arange(1000.0)
    tensor = {
        "mapped": lambda: mapped(tmp_path, values),
        "shared": lambda: values.clone().share_memory_(),
        "numpy": lambda: torch.from_numpy(values.numpy().copy()),
    }[kind]()
    snapshot = Snapshots().take({"x": tensor})["x"]
    tensor.zero_()
    assert torch.equal(snapshot, values)
    assert not snapshot.is_shared()


def test_a_conjugate_is_copied_by_its_values():
    values = torch.tensor([1 + 2j, 3 - 4j])
    snapshot = Snapshots().take({"x": values.conj()})["x"]
    values.zero_()
    assert snapshot.tolist() == [1 - 2j, 3 + 4j]


def test_sparse_tensors_are_copied():
    sparse = torch.eye(3).to_sparse()
    snapshot = Snapshots().take({"x": sparse})["x"]
    sparse.values().zero_()
    assert torch.equal(snapshot.to_dense(), torch.eye(3))


def test_memory_is_kept_from_one_to_the_next_and_not_beyond():
    snapshots = Snapshots()
    first = snapshots.take({"a": torch.zeros(100), "b": torch.zeros(7)})
    place = first["a"].data_ptr()
    second = snapshots.take({"new": torch.ones(3), "a": torch.ones(100)})
    assert second["a"].data_ptr() == place
    assert torch.equal(second["a"], torch.ones(100))
    assert torch.equal(second["new"], torch.ones(3))
    assert sum(len(buffers) for buffers in snapshots._free.values()) == 2
    # Two of the same size in one checkpoint do not meet in one buffer.
    third = snapshots.take({"a": torch.full((100,), 1.0), "b": torch.full((100,), 2.0)})
    assert (third["a"][0], third["b"][0]) == (1, 2)
    snapshots.release()
    assert torch.equal(third["b"], torch.full((100,), 2.0))


def test_the_size_counts_shared_memory_once():
    weight = torch.zeros(10, 10)
    assert (
        size_in_bytes({"a": weight, "b": [weight, weight[2]], "c": torch.zeros(4, dtype=torch.float64)})
        == 432
    )
