from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path


class DataSource(ABC):
    """Something that can put a folder of images on this machine's disk."""

    @abstractmethod
    def prepare(self) -> Path:
        """Make the folder if it is not there yet, and return it.

        Called by one process per machine, and again on every later start: a folder that is
        already whole is returned at once. What is published is whole: work in a temporary
        folder next to the target and rename it.
        """
