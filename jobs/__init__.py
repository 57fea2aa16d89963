"""One file, one batch job, one command: `python -m jobs.NAME --config FILE.toml`.

Where textvae is installed this package is `textvae.jobs`, and the command `textvae job NAME`.
"""

from textvae.installation import check_start

check_start(__name__)
