"""Latents alone: Gaussian arithmetic, paths, fitted priors and statistics, mostly in NumPy."""
