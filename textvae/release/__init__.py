"""Whether a version may serve: the gate, its paired test, a smoke test, a reproduction."""
