"""Metrics of one version: likelihoods, reconstructions, paths, samples, checks and diagnosis."""
