"""What must still hold of torch and of TensorBoard's writer after an upgrade."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec

import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch.utils.tensorboard.summary import scalar

from lightning_modules.utils.tensorboard_internals import (
    BeginningWriter,
    add_summary,
    event_file,
    move_event_file,
)
from lightning_modules.utils.torch_internals import lerp_together, quiet_onnx_export


def test_tensors_move_together_in_place():
    tensors = [torch.tensor([0.0, 4.0]), torch.tensor([[8.0]])]
    ends = [torch.tensor([4.0, 0.0]), torch.tensor([[0.0]])]
    lerp_together(tensors, ends, 0.25)
    assert [each.flatten().tolist() for each in tensors] == [[1.0, 3.0], [6.0]]
    assert [each.flatten().tolist() for each in ends] == [[4.0, 0.0], [0.0]]


def test_the_exporter_is_quiet_in_a_block_only():
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    before = registration.level
    with quiet_onnx_export():
        assert registration.getEffectiveLevel() == logging.ERROR
        warnings.warn("# The axis name: batch will not be used, since it shares a shape", stacklevel=1)
    assert registration.level == before
    assert find_spec(registration.name) is not None  # the logger of that module


class Noting(BeginningWriter):
    """A writer that notes its files."""

    files: list

    def begun(self) -> None:
        self.files = [*getattr(self, "files", []), event_file(self)]


def test_a_writer_tells_of_each_file_that_it_begins(tmp_path):
    writer = Noting(str(tmp_path))
    assert writer.files == [event_file(writer)]
    assert writer.files == list(tmp_path.iterdir())
    writer.add_scalar("a", 1.0)
    assert len(writer.files) == 1
    writer.close()
    writer.add_scalar("a", 2.0)
    assert len(writer.files) == 2
    writer.close()


def test_a_writer_goes_on_in_a_renamed_file(tmp_path):
    name = "events.out.tfevents.0000000009.here.1.0"
    writer = Noting(str(tmp_path))
    move_event_file(writer, tmp_path / name)
    writer.add_scalar("a", 1.0, 1)
    add_summary(writer, scalar("b", 2.0), 2)
    writer.close()
    assert [path.name for path in tmp_path.iterdir()] == [name]
    read = EventAccumulator(str(tmp_path)).Reload()
    assert [event.value for tag in ("a", "b") for event in read.Scalars(tag)] == [1.0, 2.0]


def test_a_summary_is_written_also_after_closing(tmp_path):
    writer = BeginningWriter(str(tmp_path))
    writer.close()
    add_summary(writer, scalar("a", 3.0), 1)
    writer.close()
    assert [event.value for event in EventAccumulator(str(tmp_path)).Reload().Scalars("a")] == [3.0]
