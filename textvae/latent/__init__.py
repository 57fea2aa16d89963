"""What can be done with latents alone: paths, fitted priors, statistics. NumPy in and out."""
