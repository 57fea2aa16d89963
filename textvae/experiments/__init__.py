"""Studies next to the nightly run: quality tables, the three objectives, a demonstration."""
