"""Diffusion models as LightningModules: `UNetDiffusion` and `DiTDiffusion` over `DiffusionModule`."""
