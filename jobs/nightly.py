"""`python -m jobs.nightly --config nightly.toml`: new text becomes a serving version."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from textvae.config.data import DataConfig, StoreConfig, TokenizerConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.nightly import NightlyConfig
from textvae.config.prune import PruneConfig
from textvae.config.serve import ServeConfig
from textvae.config.training import ModelConfig, TrainingConfig
from textvae.corpus.canaries import read_canaries
from textvae.corpus.spans import list_spans, load_spans
from textvae.errors import BusyError, CorruptError, NotFoundError, UnavailableError
from textvae.release.gate import is_rejected
from textvae.store.promotions import current_promotion, promotion_history
from textvae.store.versions import Version, list_versions, open_version

from .command import run_job, utc_now
from .hook import run_hook
from .journal import Journal

# What takes a second to import is imported by the stages that need it: a nightly run that finds
# another one at work reports so at once.

log = logging.getLogger(__name__)

SMOKE_TEST_SENTENCES = 4
"""Sentences that the smoke test sends to the real server."""
CHAMPIONS_MAX = 3
"""Times that a nightly run evaluates a version where the champion changes meanwhile."""


@dataclass(frozen=True)
class Nightly:
    """Ingests, trains, evaluates, tests a real server, promotes, reports and prunes.

    A nightly run has one outcome. A worse candidate is rejected and the champion goes on serving;
    without new text nothing changes. A run that was cut off resumes at its first unfinished stage.
    """

    store: StoreConfig = StoreConfig()
    data: DataConfig = DataConfig()
    tokenizer: TokenizerConfig = TokenizerConfig()
    model: ModelConfig = ModelConfig()
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    gate: GateConfig = GateConfig()
    night: NightlyConfig = NightlyConfig()
    prune: PruneConfig = PruneConfig()
    serve: ServeConfig = ServeConfig()


def main(settings: Nightly) -> dict[str, Any]:
    """Return outcome `promoted`, `rejected` or `up_to_date`, the stages that an earlier try had
    finished, and the seconds of each stage.

    An error ends the nightly run unless another try may help: BusyError, UnavailableError, OSError.
    `problems` are of the report, which decides nothing.
    """
    read_canaries(settings.gate.canaries)  # so that a wrong list costs no training
    journal = Journal(settings.store.runs / "nightly" / "journal.json", utc_now)
    before = journal.stages
    if before:
        log.info("resumes a nightly run that was cut off after %s", ", ".join(before))
    try:
        result = _stages(settings, journal)
        if "train" in journal.stages:
            trained = journal.record("train")
            report = journal.once("report", lambda: _report(settings, trained))
            said = ("run", "start", "why", "epochs", "warnings")
            facts = {key: trained[key] for key in said if key in trained}
            result = {**result, **facts, **report}
        pruned = journal.once("prune", lambda: _prune(settings))
    except (BusyError, UnavailableError, OSError):
        raise
    except Exception as error:
        # Another try would end the same way: the next nightly run begins with the text of its day.
        journal.end({"outcome": "failed", "error": str(error)})
        raise
    journal.end({key: result[key] for key in ("outcome", "version", "reasons") if key in result})
    return {**result, **pruned, "done_before": before, "seconds": journal.seconds}


def _stages(settings: Nightly, journal: Journal) -> dict[str, Any]:
    """Run the stages up to the promotion; those that an earlier try finished are not repeated."""
    store = settings.store
    journal.once("ingest", lambda: _ingest(settings))
    if "train" not in journal.stages and (version := _version_of_all_text(settings)):
        words = "nothing is new since this version was evaluated"
        return {"outcome": "up_to_date", "version": version.name, "said": words}
    trained = journal.once(
        "train", lambda: _train(settings), lambda done: _is_published(store, done)
    )
    for left in reversed(range(CHAMPIONS_MAX)):
        try:
            return _judge_and_promote(settings, journal, trained["version"])
        except BusyError as error:
            # The version was not compared with the one that serves now: it is evaluated once more.
            if not left:
                raise
            log.warning("%s", error)
    raise AssertionError("the last try has returned or raised")


def _judge_and_promote(settings: Nightly, journal: Journal, name: str) -> dict[str, Any]:
    """Evaluate the version and promote it unless the gate or the smoke test rejects it."""
    champion = current_promotion(settings.store.registry, settings.store.model)
    if champion and champion.version == name:
        # An earlier try was cut off just after it had promoted it.
        done = {"outcome": "promoted", "promotion": champion._asdict(), "version": name}
        return journal.once("promote", lambda: done)
    number = champion.number if champion else 0
    verdict = journal.once(
        "evaluate", lambda: _evaluate(settings, name), lambda done: done["promotion"] == number
    )
    reasons = verdict["reasons"] if verdict["outcome"] == "rejected" else []
    if not reasons and settings.night.ask_server:
        reasons = journal.once("ask-server", lambda: _smoke_test(settings, name))["faults"]
    if reasons:
        return {"outcome": "rejected", "version": name, "reasons": reasons}
    return journal.once("promote", lambda: _promote(settings, name, verdict["promotion"]))


def _ingest(settings: Nightly) -> dict[str, Any]:
    """Ingest the new text as a span."""
    from . import ingest

    result = ingest.main(ingest.Ingest(settings.store, settings.data))
    log.info("ingest: %s", result["outcome"])
    return {name: result[name] for name in ("outcome", "span") if name in result}


def _train(settings: Nightly) -> dict[str, Any]:
    """Train a version on all text."""
    from . import train

    trained = train.main(
        train.Train(settings.store, settings.tokenizer, settings.model, settings.training)
    )
    log.info("train: %s", trained["version"])
    return trained


def _is_published(store: StoreConfig, trained: Mapping[str, Any]) -> bool:
    """Return whether the trained version is in the registry and intact."""
    try:
        open_version(store.registry, store.model, trained["version"])
    except (CorruptError, NotFoundError) as error:
        log.warning("trained again: %s", error)
        return False
    return True


def _evaluate(settings: Nightly, name: str) -> dict[str, Any]:
    """Evaluate the version against the champion."""
    from . import evaluate

    result = evaluate.main(
        evaluate.Evaluate(name, settings.store, settings.evaluation, settings.gate, settings.serve)
    )
    log.info("evaluate: %s %s", result["outcome"], "; ".join(result["reasons"]))
    return {key: result[key] for key in ("outcome", "reasons", "promotion")}


def _smoke_test(settings: Nightly, name: str) -> dict[str, Any]:
    """Start a real server of the version and call each of its methods."""
    from textvae.evaluation.holdout import first_texts_by_hash
    from textvae.evaluation.length_limits import sentences_within_limits
    from textvae.release.smoke_test import call_every_method

    store = settings.store
    version = open_version(store.registry, store.model, name)
    sentences = sentences_within_limits(
        first_texts_by_hash(load_spans(store.spans).test, SMOKE_TEST_SENTENCES),
        [version.folder],
        settings.serve,
    )
    answers = call_every_method(store.registry, version, sentences, settings.night, settings.serve)
    for fault in answers.faults:
        log.error("%s", fault)
    return answers._asdict()


def _promote(settings: Nightly, name: str, against: int) -> dict[str, Any]:
    """Promote the version; BusyError where another was promoted since it was evaluated."""
    from . import promote

    return {
        **promote.main(promote.Promote(name, "nightly", False, against, settings.store)),
        "version": name,
    }


def _report(settings: Nightly, trained: Mapping[str, Any]) -> dict[str, Any]:
    """Attach the report to the version; a report that fails is a problem in the result."""
    from . import report

    store, run = settings.store, Path(trained["run"])
    wanted = report.Report(trained["version"], run, store, settings.evaluation, settings.serve)
    try:
        result = report.main(wanted)
    except (BusyError, UnavailableError, OSError):
        raise
    except Exception as error:
        # What serves has been decided; nobody shall be called at night for a page about it.
        log.exception("the report failed")
        return {"problems": [f"the report failed: {str(error) or type(error).__name__}"]}
    problems = {"problems": result["problems"]} if "problems" in result else {}
    return {"report": result["page"], **problems}


def _prune(settings: Nightly) -> dict[str, Any]:
    """Remove the versions and runs that are no longer needed."""
    from . import prune

    result = prune.main(prune.Prune(store=settings.store, prune=settings.prune))
    return {"pruned": sorted(result["versions"]["removed"])}


def _version_of_all_text(settings: Nightly) -> Version | None:
    """Return a version of all spans that was decided about: it serves, it served and was rolled
    back, or the gate rejected it and would again; None where there is none.

    A version that waits for the champion to grow old is not trained again: its run still exists.
    """
    store = settings.store
    spans = set(list_spans(store.spans))
    promotions = promotion_history(store.registry, store.model)
    served = {promotion.version for promotion in promotions}
    champion = promotions[-1] if promotions else None
    for name in list_versions(store.registry, store.model):
        try:
            version = open_version(store.registry, store.model, name)
        except CorruptError as error:
            log.warning("skipped: %s", error)
            continue
        if set(version.manifest["spans"]) != spans:
            continue
        if name in served or is_rejected(
            store.registry, version, champion, settings.gate, utc_now()
        ):
            return version
    return None


def tell_hook(settings: Nightly, result: Mapping[str, Any]) -> dict[str, Any]:
    """Run the hook on the result; return its problem as `hook`, or nothing where it succeeded."""
    problem = run_hook(settings.night, result)
    return {"hook": problem} if problem else {}


def run(argv: Sequence[str] | None = None) -> NoReturn:
    """Run the job; only one nightly run is at work at any time."""
    run_job(
        "nightly",
        Nightly,
        main,
        argv,
        lock=lambda settings: settings.store.runs / "nightly.lock",
        ended=tell_hook,
    )


if __name__ == "__main__":
    run()
