"""Benchmarks: two arms of the same work in one run, interleaved, as medians and one ratio."""
