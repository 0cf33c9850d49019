"""Networks as pure `nn.Module`s: `F(x, noise_level, condition)`. None of them knows a diffusion process."""
