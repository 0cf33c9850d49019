"""Opening a checkpoint: its data, never its code, for any file that somebody took for one."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from lightning_modules.checkpoints.errors import DamagedCheckpointError, UnsafeCheckpointError
from lightning_modules.checkpoints.names import checksum_file
from lightning_modules.checkpoints.whole import fault
from lightning_modules.utils.memory import is_out_of_memory

if TYPE_CHECKING:
    from torch.serialization import MAP_LOCATION

_OTHERS = {
    ".onnx": "is an ONNX export, for other programs: give its run, or a .safetensors export",
    ".safetensors": "is an export with one set of weights: give a .ckpt file, or the run it came from",
    ".npz": "holds images, not a model",
    ".yaml": "is a configuration: give the run that it belongs to",
    ".json": "is a description: give the run or the file that it belongs to",
    ".corrupt": "was set aside as damaged: give another checkpoint of the run",
    ".sha256": "is a checksum: give the checkpoint next to it",
}
"""What files of other endings are that somebody may give."""

_PICKLE = b"\x80"
"""How a pickle begins that is in no archive, such as torch's of before 2020."""


def open_checkpoint(path: Path) -> dict[str, Any]:
    """Open a checkpoint without reading its tensors, which come from the file when they are used.

    Raises:
        FileNotFoundError: If it is not there.
        DamagedCheckpointError: If it is no checkpoint of a model of this project.
        UnsafeCheckpointError: If it holds more than data, so that loading it could run code.
    """
    said = _OTHERS.get(path.suffix)
    if said is not None:
        raise DamagedCheckpointError(f"{path} {said}")
    stored = load_data(path)
    if type(stored.get("global_step")) is not int:
        raise _no_checkpoint(path, "it does not say its step")
    return stored


def load_data(path: Path, device: MAP_LOCATION = "cpu", mmap: bool = True) -> dict[str, Any]:
    """Load a file that `torch.save` has written, without ever running what may be in it.

    Args:
        path: The file.
        device: Where to put tensors, as for `torch.load`.
        mmap: Whether tensors are read from the file when they are used.

    Raises:
        FileNotFoundError: If it is not there.
        DamagedCheckpointError: If it is cut, or something else.
        UnsafeCheckpointError: If it holds more than data.
    """
    try:
        _refuse_what_is_no_archive(path)
        stored = torch.load(path, map_location=device, weights_only=True, mmap=mmap)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {path}") from None
    except IsADirectoryError:
        raise _no_checkpoint(path, "it is a folder") from None
    except UnsafeCheckpointError:
        raise
    except pickle.UnpicklingError as error:
        raise _unsafe(path) from error
    except DamagedCheckpointError:
        raise
    except (
        *(RuntimeError, EOFError, ValueError, TypeError, LookupError, AttributeError),
        zipfile.BadZipFile,
    ) as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise _no_checkpoint(path, reason) from error
    if not isinstance(stored, dict):
        raise _no_checkpoint(path, f"it holds a {type(stored).__name__}")
    return stored


def verify(path: Path) -> None:
    """Refuse a checkpoint that is not what was written, if its checksum lies next to it.

    Raises:
        DamagedCheckpointError: If it is damaged, with the reason.
    """
    path = path.resolve()
    if checksum_file(path).is_file() and (reason := fault(path)):
        raise DamagedCheckpointError(
            f"{path} is not a whole checkpoint: {reason}. Give another checkpoint of the run"
        )


def unsafe_names(path: Path) -> str:
    """Return what a checkpoint holds that is not data, in brackets; nothing where that cannot be told."""
    try:
        names = sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception:  # any error of a file that is no checkpoint: it only explains
        return ""
    return f" ({', '.join(names)})" if names else ""


def _refuse_what_is_no_archive(path: Path) -> None:
    with path.open("rb") as file:
        start = file.read(2)
        if not start:
            raise _no_checkpoint(path, "the file is empty")
        if start[:1] == _PICKLE:
            raise _unsafe(path)
        if start != b"PK":
            raise _no_checkpoint(path, "it is no archive that torch.save writes")
        if not zipfile.is_zipfile(file):
            raise _no_checkpoint(path, "it is truncated: the file ends before its archive does")
        with zipfile.ZipFile(file) as archive:
            if not any(name.endswith("data.pkl") for name in archive.namelist()):
                raise _no_checkpoint(path, "it is an archive of something else")


def _no_checkpoint(path: Path, reason: str) -> DamagedCheckpointError:
    return DamagedCheckpointError(f"{path} is not a whole checkpoint of a model of this project ({reason})")


def _unsafe(path: Path) -> UnsafeCheckpointError:
    return UnsafeCheckpointError(
        f"{path} was not loaded: it holds more than data{unsafe_names(path)}, and to load that could run "
        f"code. No checkpoint of this project does; do not trust where it came from"
    )
