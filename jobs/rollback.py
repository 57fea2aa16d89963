"""`python -m jobs.rollback`: makes an earlier champion serve again."""

from dataclasses import dataclass
from typing import Any

from textvae.config.data import StoreConfig
from textvae.store.choice import WORDS, choose_version
from textvae.store.promotions import rollback

from .command import actor, run_job, utc_now


@dataclass(frozen=True)
class Rollback:
    """Promotes an earlier champion again; a running server switches to it by itself."""

    to: str = ""
    """Name of the version to go back to; empty: the one that served before the present one."""
    reason: str = "by hand"
    """Why, for the log of promotions."""
    store: StoreConfig = StoreConfig()


def main(settings: Rollback) -> dict[str, Any]:
    """Return outcome `rolled_back`; the version's files are verified before it is promoted."""
    store, to = settings.store, settings.to
    if to in WORDS:
        to = choose_version(store.registry, store.model, to).name
    promotion = rollback(
        store.registry,
        store.model,
        reason=settings.reason,
        actor=actor(),
        at=utc_now(),
        to=to,
    )
    return {"outcome": "rolled_back", "promotion": promotion._asdict()}


if __name__ == "__main__":
    run_job("rollback", Rollback, main)
