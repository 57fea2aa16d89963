"""Studies beside the nightly run: quality tables, the three objectives, a show of a server."""
