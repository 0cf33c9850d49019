"""The names that the settings of sampling take, as types: one of a table.

They have a module of their own since jsonargparse reads a class's module for what stands under
`TYPE_CHECKING`, and would take every text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.diffusion.tables import THRESHOLDS

if TYPE_CHECKING:
    SamplerName = str
    ScheduleName = str
    ThresholdName = str
else:
    SamplerName = Literal[*SAMPLERS]
    ScheduleName = Literal[*SCHEDULES]
    ThresholdName = Literal["none", *THRESHOLDS]
