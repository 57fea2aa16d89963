"""The jobs of a checkout by the name that they have where textvae is installed."""

from pathlib import Path

from textvae.installation import check_start

__path__ = [f"{Path(__file__).parents[2]}/jobs"]

check_start(__name__)
