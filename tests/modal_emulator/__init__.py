"""A local stand-in for Modal's control plane, for tests.

A test double of scheduling only: the command line is the stock `modal` program, and functions run in Modal's
own container entry point. See README.md for what is emulated and what is not.
"""

from .emulator import Emulator
from .faults import Fault, Kind

__all__ = ["Emulator", "Fault", "Kind"]
