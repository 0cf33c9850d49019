"""The schedules there are. Their names can be read without importing torch."""

from __future__ import annotations

from lightning_modules.diffusion.named import Named

_HERE = "lightning_modules.diffusion.schedules"

SCHEDULES: dict[str, Named] = {
    "karras": Named(f"{_HERE}.karras:karras_schedule", "EDM, rho 7"),
    "log_snr": Named(f"{_HERE}.log_snr:log_snr_schedule", "even in ln sigma"),
    "flow": Named(f"{_HERE}.flow:flow_schedule", "even in flow time", settings=("shift",)),
}
"""Each takes `(steps, sigma_min, sigma_max)` and returns `sigmas`, (steps + 1,), float64, descending to 0."""
