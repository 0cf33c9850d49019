"""What Python has on Linux and macOS only; elsewhere importing it says so in one sentence."""

from __future__ import annotations

from datamodules.utils.system import unsupported

if reason := unsupported():
    raise ImportError(reason)

import fcntl

__all__ = ["fcntl"]
