"""Proofs too long for the tests; each ends with one JSON line and the same exit code."""
