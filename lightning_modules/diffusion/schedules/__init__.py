"""Noise levels at which a sampler evaluates the denoiser, a schedule a file, and the table of them."""
