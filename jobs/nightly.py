"""`python -m jobs.nightly --config nightly.toml`: new text becomes a serving version."""

import logging
from dataclasses import dataclass
from typing import Any

from jobs import evaluate, ingest, promote, train
from jobs.command import run_job
from textvae.config import (
    DataConfig,
    EvaluationConfig,
    GateConfig,
    ModelConfig,
    StoreConfig,
    TokenizerConfig,
    TrainingConfig,
)
from textvae.errors import CorruptError
from textvae.files import hold_lock
from textvae.measure.gate import gate_decision
from textvae.store.promotions import history
from textvae.store.versions import Version, list_versions, open_version
from textvae.text.spans import list_spans

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Nightly:
    """Ingests, trains, evaluates and promotes; each night ends with one outcome.

    A worse candidate is rejected and the champion goes on serving; nothing new changes nothing.
    """

    store: StoreConfig = StoreConfig()
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()


def main(settings: Nightly) -> dict[str, Any]:
    """Outcome `promoted`, `rejected` or `up_to_date`; BusyError while another night runs."""
    with hold_lock(settings.store.runs / "nightly.lock", "nightly"):
        return _night(settings)


def _night(settings: Nightly) -> dict[str, Any]:
    """The chain; every step is a no-op where an earlier night that was cut off did it already."""
    store = settings.store
    told = ingest.main(ingest.Ingest(store, settings.data))
    log.info("ingest: %s", told["outcome"])
    judged = _version_of_all_text(store)
    if judged is not None:
        outcome = "nothing is new since this version was judged"
        return {"outcome": "up_to_date", "version": judged.name, "said": outcome}
    trained = train.main(train.Train(store, settings.tokenizer, settings.model, settings.training))
    log.info("train: %s", trained["version"])
    verdict = evaluate.main(
        evaluate.Evaluate(trained["version"], store, settings.evaluation, settings.gate)
    )
    log.info("evaluate: %s %s", verdict["outcome"], "; ".join(verdict["reasons"]))
    if verdict["outcome"] == "rejected":
        return {"outcome": "rejected", "version": trained["version"], "reasons": verdict["reasons"]}
    return promote.main(
        promote.Promote(trained["version"], "nightly", False, verdict["promotion"], store)
    )


def _version_of_all_text(store: StoreConfig) -> Version | None:
    """A version made from all spans there are that has had its chance: it serves, it served and
    was rolled back, or the gate rejected it."""
    spans = set(list_spans(store.spans))
    promotions = history(store.registry, store.model)
    served = {promotion.version for promotion in promotions}
    now = promotions[-1].number if promotions else 0
    for name in list_versions(store.registry, store.model):
        try:
            version = open_version(store.registry, store.model, name)
        except CorruptError as error:
            log.warning("passed over: %s", error)
            continue
        rejected = gate_decision(store.registry, version, now) == "rejected"
        if set(version.manifest["spans"]) == spans and (name in served or rejected):
            return version
    return None


if __name__ == "__main__":
    run_job("nightly", Nightly, main)
