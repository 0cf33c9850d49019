"""All that this project uses of TensorBoard's writer beyond its public interface, one small function each."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.writer import FileWriter


class BeginningWriter(SummaryWriter):
    """A writer that tells of each event file that it begins: at once, and at the first use after `close`."""

    def begun(self) -> None:
        """Act on a file that was just begun, has no event of this run yet, and is on the disk."""

    def _get_file_writer(self) -> FileWriter:
        begins = self.all_writers is None or self.file_writer is None
        writer = super()._get_file_writer()  # type: ignore[no-untyped-call]
        if begins:
            self.flush()
            self.begun()
        return writer


def event_file(writer: SummaryWriter) -> Path:
    """Return the path of a writer's event file."""
    return Path(_event_writer(writer)._file_name)


def move_event_file(writer: SummaryWriter, path: Path) -> None:
    """Rename a writer's event file, which has nothing left to write, and let the writer go on in it.

    Raises:
        OSError: If it cannot be renamed; the writer goes on as before.
    """
    event_file(writer).rename(path)
    events = _event_writer(writer)
    events._file_name = str(path)
    # TensorFlow's own file keeps its descriptor; TensorBoard's opens it by name for every write.
    events._general_file_writer.filename = str(path).encode()


def add_summary(writer: SummaryWriter, summary: object, step: int | None = None) -> None:
    """Write a summary that no method of the writer makes, also after the writer was closed once."""
    writer._get_file_writer().add_summary(summary, step)


def _event_writer(writer: SummaryWriter) -> Any:  # noqa: ANN401
    return cast(Any, writer.file_writer).event_writer
