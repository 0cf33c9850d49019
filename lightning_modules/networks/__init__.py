"""Networks as pure `nn.Module`s: `F(x, noise_level, labels)`. Nothing in here knows a diffusion process."""
