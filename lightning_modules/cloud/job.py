"""What travels between the user's machine and a container: plain values, for any Python at either end."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from lightning_modules.cost.settings import ModalSettings

Status = Literal["finished", "stopped", "handed over", "refused", "failed"]


@dataclass(frozen=True)
class Job:
    """A run to train, as the user's machine has resolved it.

    Attributes:
        config: The whole configuration, as YAML, with the container's paths.
        experiment: Name of the experiment.
        max_steps: Target in optimizer steps, negative if not set.
        run: Name of the run; every container of the run gets it. None until it is chosen.
        trial: Whether it is a `fast_dev_run`, which leaves no run behind.
        fresh: Whether another run is wanted in any case.
        allow_mismatch: Whether to continue a run of another identity.
        data: Where the data set is expected on the data Volume; None if a data source makes it.
        settings: The `modal:` section.
        folder: The data set's folder on the user's machine, where there is one.
        files: Texts of files of the user's machine that the configuration names, by their place in the
            container.
        summary: What the user is told before the start, line by line.
    """

    config: str
    experiment: str
    max_steps: int
    run: str | None
    trial: bool
    fresh: bool
    allow_mismatch: bool
    data: str | None
    settings: ModalSettings
    folder: str | None = None
    files: dict[str, str] = field(default_factory=dict)
    summary: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)

    def as_json(self) -> str:
        """Return it as text."""
        return json.dumps(self.as_dict())

    @staticmethod
    def from_dict(values: dict[str, Any]) -> Job:
        """Make it from plain values."""
        return Job(**{**values, "settings": ModalSettings(**values["settings"])})


@dataclass(frozen=True)
class JobResult:
    """How a container left a run.

    Attributes:
        status: `finished` at its target, `stopped` before it on purpose, `handed over` to another container,
            `refused` for a reason that another attempt would meet again, or `failed` in the same way twice.
        message: What there is to say of it.
        call: The function call that goes on, where it was handed over.
    """

    status: Status
    message: str
    call: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return dataclasses.asdict(self)
