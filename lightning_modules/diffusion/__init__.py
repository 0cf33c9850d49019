"""The diffusion process in pure torch: everything is a denoiser `D(x, sigma)`.

`x = x_0 + sigma * noise` is a noisy image in the variance-exploding coordinates of Karras et al. 2022
("EDM", arXiv 2206.00364), and `D` estimates `x_0`. Nothing in here knows a network or Lightning.
"""
