"""The kinds that training chooses among by the name of a class, which can be read without importing torch.

In each table: name of the class, and where it is, `module:name`.
"""

from __future__ import annotations

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
