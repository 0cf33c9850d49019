"""Small tables, which can be read without importing torch.

Those of classes have the name of the class, and where it is, `module:name`.
"""

from __future__ import annotations

from lightning_modules.diffusion.named import Named

_HERE = "lightning_modules.diffusion"

NOISE_DISTRIBUTIONS: dict[str, str] = {
    "LogNormal": f"{_HERE}.noise_levels:LogNormal",
    "LogitNormal": f"{_HERE}.noise_levels:LogitNormal",
    "Uniform": f"{_HERE}.noise_levels:Uniform",
}

PRECONDITIONERS: dict[str, str] = {
    "EDM": f"{_HERE}.preconditioning:EDM",
    "Eps": f"{_HERE}.preconditioning:Eps",
    "V": f"{_HERE}.preconditioning:V",
    "FlowVelocity": f"{_HERE}.preconditioning:FlowVelocity",
    "FlowX": f"{_HERE}.preconditioning:FlowX",
}

WEIGHTINGS: dict[str, str] = {
    "EDMWeighting": f"{_HERE}.weighting:EDMWeighting",
    "EpsWeighting": f"{_HERE}.weighting:EpsWeighting",
    "VWeighting": f"{_HERE}.weighting:VWeighting",
    "VelocityWeighting": f"{_HERE}.weighting:VelocityWeighting",
    "MinSNRWeighting": f"{_HERE}.weighting:MinSNRWeighting",
    "UniformWeighting": f"{_HERE}.weighting:UniformWeighting",
}

THRESHOLDS: dict[str, Named] = {
    "clip": Named(f"{_HERE}.thresholding:static_thresholding", "to [-1, 1]"),
    "dynamic": Named(f"{_HERE}.thresholding:dynamic_thresholding", "Imagen", settings=("percentile",)),
}
"""What keeps a denoiser's estimates in the range of images; each takes the denoiser."""
