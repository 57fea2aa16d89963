"""The loop, its checkpoints, validation inside a run, and the run that ends in a version."""
