"""One file, one batch job, one command: `python -m jobs.NAME --config FILE.toml`."""
