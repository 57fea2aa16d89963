"""Benchmarks: arms of the same work in one run, interleaved, as medians and ratios."""
