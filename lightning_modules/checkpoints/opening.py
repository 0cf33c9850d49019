"""Opening a checkpoint to look at it, whatever file somebody took for one."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint

from lightning_modules.checkpoints.errors import DamagedCheckpointError, UnsafeCheckpointError
from lightning_modules.checkpoints.whole import checksum_file, fault

_OTHERS = {
    ".onnx": "is an ONNX export, for other programs: give its run, or a .safetensors export",
    ".safetensors": "is an export, which has no training state: give a .ckpt file, or the run it came from",
    ".npz": "holds images, not a model",
    ".yaml": "is a configuration: give the run that it belongs to",
    ".json": "is a description: give the run or the file that it belongs to",
    ".corrupt": "was set aside as damaged: give another checkpoint of the run",
    ".sha256": "is a checksum: give the checkpoint beside it",
}
"""What files of other endings are that somebody may give."""


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
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no checkpoint {path}") from None
    except pickle.UnpicklingError as error:
        names = _unsafe_names(path)
        if names:
            raise UnsafeCheckpointError(
                f"{path} was not loaded: it holds more than data ({', '.join(names)}), and to load that "
                f"could run code. No checkpoint of this project does; do not trust where it came from"
            ) from error
        raise _no_checkpoint(path, error) from error
    except (RuntimeError, EOFError, ValueError) as error:
        raise _no_checkpoint(path, error) from error
    if not isinstance(stored, dict) or "global_step" not in stored:
        raise DamagedCheckpointError(f"{path} is not a whole checkpoint of a model of this project")
    return stored


def verify(path: Path) -> None:
    """Refuse a checkpoint that is not what was written, where its checksum lies beside it.

    Raises:
        DamagedCheckpointError: If it is damaged, with the reason.
    """
    path = path.resolve()
    if checksum_file(path).is_file() and (reason := fault(path)):
        raise DamagedCheckpointError(
            f"{path} is not a whole checkpoint: {reason}. Give another checkpoint of the run"
        )


def _no_checkpoint(path: Path, error: Exception) -> DamagedCheckpointError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return DamagedCheckpointError(f"{path} is not a whole checkpoint of a model of this project ({reason})")


def _unsafe_names(path: Path) -> list[str]:
    try:
        return sorted(get_unsafe_globals_in_checkpoint(path))
    except Exception:
        return []
