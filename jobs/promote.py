"""`python -m jobs.promote --version ID`: makes a published version the champion that serves."""

from dataclasses import dataclass
from typing import Any

from textvae.config.data import StoreConfig
from textvae.errors import RejectedError
from textvae.release.gate import gate_decision
from textvae.store.choice import choose_version
from textvae.store.promotions import current_promotion, promote

from .command import actor, run_job, utc_now


@dataclass(frozen=True)
class Promote:
    """Makes a published version the champion; a running server switches to it by itself."""

    version: str
    """Name of the version, such as 20261123-3f9a1c2b77d0, or newest."""
    reason: str = "by hand"
    """Why, for the log of promotions."""
    force: bool = False
    """Promote it although the gate rejected it; the log of promotions says so."""
    judged_against: int = -1
    """Number of the promotion that the gate compared it with; fail with exit code 75 where another
    version was promoted since. -1: any."""
    store: StoreConfig = StoreConfig()


def main(settings: Promote) -> dict[str, Any]:
    """Return outcome `promoted`, or `up_to_date` where the version serves already.

    Raises RejectedError where the gate rejected the version and `force` is not set, and BusyError
    where another version was promoted meanwhile.
    """
    store = settings.store
    before = current_promotion(store.registry, store.model)
    version = choose_version(store.registry, store.model, settings.version)
    if before and before.version == version.name:
        return {"outcome": "up_to_date", "promotion": before._asdict()}
    number = before.number if before else 0
    decision = gate_decision(store.registry, version, number)
    if decision == "rejected" and not settings.force:
        raise RejectedError(
            f"{version.name}: the gate rejected it (see its gate attachment); "
            "--force promotes it all the same"
        )
    promotion = promote(
        store.registry,
        store.model,
        version,
        expected=number if settings.judged_against < 0 else settings.judged_against,
        reason=f"{settings.reason} (gate: {decision or 'not asked'}{', forced' * settings.force})",
        actor=actor(),
        at=utc_now(),
    )
    return {"outcome": "promoted", "decision": decision, "promotion": promotion._asdict()}


if __name__ == "__main__":
    run_job("promote", Promote, main)
