from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import torch
from lightning.fabric.plugins import CheckpointIO
from torch.serialization import get_crc32_options, set_crc32_options

from lightning_modules.checkpoints.errors import DamagedCheckpointError, UnsafeCheckpointError
from lightning_modules.checkpoints.names import checksum_file
from lightning_modules.checkpoints.opening import load_data, unsafe_names
from lightning_modules.checkpoints.retention import delete_checkpoints
from lightning_modules.checkpoints.snapshot import Snapshots, size_in_bytes
from lightning_modules.checkpoints.whole import fault, write_whole

if TYPE_CHECKING:
    from torch.serialization import MAP_LOCATION

_log = logging.getLogger(__name__)


class WholeCheckpointIO(CheckpointIO):
    """Lightning's way to the disk: whole checkpoints, verified when loaded, never run as code.

    `Trainer(plugins=[WholeCheckpointIO()])`.

    Asynchronous writing copies the checkpoint in memory and returns; one thread writes the copy. A save that
    arrives while it writes waits for it, so that at most one is on its way and the order stays. The copy's
    memory is kept for the next. The thread is no daemon: a process that ends as it should waits for it. A
    process that is forked meanwhile, such as a data loader's worker, has no such thread and waits for none.

    Args:
        asynchronous: Whether to write while training goes on. It pays where the GPU trains and the CPU idles.
        on_whole: Called with a checkpoint's path when it is whole, in the thread that wrote it.
    """

    def __init__(self, asynchronous: bool = False, on_whole: Callable[[Path], None] | None = None) -> None:
        self.asynchronous = asynchronous
        self.on_whole = on_whole
        self._snapshots = Snapshots()
        self._writer: threading.Thread | None = None
        self._error: BaseException | None = None

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: object | None = None
    ) -> None:
        """Write a checkpoint, or begin to.

        Asynchronously, an error of the save before is raised here, after this one has begun.

        Raises:
            CheckpointWriteError: If the file system refuses.
            UnsafeCheckpointError: If it holds what could not be loaded again; it is not written.
            TypeError: If `storage_options` are given.
        """
        if storage_options is not None:
            raise TypeError("WholeCheckpointIO writes to the local file system and takes no storage_options.")
        error = self._wait()
        if self.asynchronous:
            work = (self._snapshots.take(checkpoint), Path(path))
            self._writer = threading.Thread(target=self._write_aside, args=work, name="checkpoint-writer")
            self._writer.start()
        else:
            self._write(checkpoint, Path(path))
        if error is not None:
            raise error

    def load_checkpoint(
        self, path: str | Path, map_location: MAP_LOCATION = "cpu", weights_only: bool | None = None
    ) -> dict[str, Any]:
        """Verify a checkpoint and load its data.

        Args:
            path: The checkpoint, or a link to it such as `last.ckpt`.
            map_location: Where to put tensors, as for `torch.load`.
            weights_only: Lightning's option, without effect: what is not data is never loaded.

        Raises:
            FileNotFoundError: If it does not exist.
            DamagedCheckpointError: If it is not what was written.
            UnsafeCheckpointError: If it holds more than data.
        """
        path = Path(path)
        if not path.exists():
            raise FileNotFoundError(f"There is no checkpoint {path}.")
        if reason := fault(path):
            raise DamagedCheckpointError(_damage(path.resolve(), reason))
        return load_data(path, map_location, mmap=False)

    def remove_checkpoint(self, path: str | Path) -> None:
        """Delete a checkpoint with its checksum, after any write that has begun."""
        if self._writer is not None and self._writer is not threading.current_thread():
            self._writer.join()
        delete_checkpoints([Path(path)])

    def drain(self) -> None:
        """Wait until what was saved is on the disk.

        Raises:
            BaseException: The writer's, once, if it has failed.
        """
        if error := self._wait():
            raise error

    def teardown(self) -> None:
        """Wait as `drain` does, and give the copy's memory back."""
        try:
            self.drain()
        finally:
            self._snapshots.release()

    def _wait(self) -> BaseException | None:
        if self._writer is not None and self._writer is not threading.current_thread():
            self._writer.join()
            self._writer = None
        error, self._error = self._error, None
        return error

    def _write_aside(self, checkpoint: dict[str, Any], path: Path) -> None:
        try:
            self._write(checkpoint, path)
        except BaseException as error:
            # Logged as well, so that it is said even if nobody saves, drains or tears down any more.
            _log.error("Writing the checkpoint %s has failed: %s", path, error)
            self._error = error

    def _write(self, checkpoint: dict[str, Any], path: Path) -> None:
        write_whole(path, lambda stream: _save(checkpoint, stream), size_in_bytes(checkpoint))
        if self.on_whole is not None:
            self.on_whole(path)


def _save(checkpoint: dict[str, Any], stream: BinaryIO) -> None:
    """Serialize without zip's own checksums, which take half of the time; the SHA-256 is in their place."""
    crc32 = get_crc32_options()
    set_crc32_options(False)
    try:
        torch.save(checkpoint, stream)
    finally:
        set_crc32_options(crc32)
    stream.flush()
    if names := unsafe_names(Path(stream.name)):
        raise UnsafeCheckpointError(
            f"The checkpoint was not written, for it could not be loaded: it holds more than data{names}. "
            f"Turn what callbacks and hyper-parameters save into numbers, strings, lists, dicts and tensors."
        )


def _damage(path: Path, reason: str) -> str:
    said = f"The checkpoint {path} is damaged: {reason}."
    if path.exists() and not checksum_file(path).exists():
        said += (
            f" If you trust the file, which a copy may have parted from its checksum, make one: "
            f"cd '{path.parent}' && sha256sum '{path.name}' > '{checksum_file(path).name}'"
        )
    return said
