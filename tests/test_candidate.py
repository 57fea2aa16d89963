"""Candidates and the gate: which sentences decide, and what never passes."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from jobs import evaluate
from tests import toys
from tests.broken import Broken, broken
from tests.serving import another_version, copied, put_in_service
from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import write_span
from textvae.errors import CorruptError
from textvae.evaluation.cache import EvaluationInputs
from textvae.evaluation.holdout import frozen_sets, is_sealed, newest_set
from textvae.progress import no_progress
from textvae.release.candidate import Judgement, judge_candidate
from textvae.release.gate import gate_decision
from textvae.release.model_drift import model_drift_lines
from textvae.store.attachments import list_attachments, read_attachment
from textvae.store.promotions import champion, current_promotion
from textvae.store.versions import Version, open_version, publish

EVALUATION = EvaluationConfig(
    sentences=40, importance_samples=2, prior_draws=20, prior_components=1, path_pairs=2
)
OPEN_GATE = GateConfig(distinct_min=0.0)
TEST = toys.corpus().test
NOW = "2026-01-09T00:00:00Z"


class Setting(NamedTuple):
    """A copy of the registry with a champion, and two spans."""

    store: StoreConfig
    spans: tuple[str, str]

    def judge(
        self,
        version: Version,
        gate: GateConfig,
        now: str = NOW,
        serve: ServeConfig = ServeConfig(),
    ) -> Judgement:
        """The gate's decision on the version, by the sets of the spans, at a time."""
        holdout, sealed = frozen_sets(self.store.spans, EVALUATION.sealed_share, 60)
        sentences = [row.text for row in holdout[: EVALUATION.sentences]]
        inputs = EvaluationInputs(version, sentences, [], holdout, sealed)
        return judge_candidate(self.store, inputs, EVALUATION, gate, serve, now, no_progress)

    def record(self, version: Version) -> dict[str, Any]:
        """The newest decision on a version."""
        registry = self.store.registry
        names = [name for name in list_attachments(registry, version) if name[:4] == "gate"]
        attached = read_attachment(registry, version, names[-1]) or {}
        decision: dict[str, Any] = json.loads(attached["decision.json"])
        return decision


@pytest.fixture
def setting(registry: Path, tmp_path: Path) -> Setting:
    spans = tmp_path / "spans"
    sides = ((TEST[:300], TEST[300:320]), (TEST[320:400], TEST[400:420]))
    names = [
        write_span(spans, {"train": TEST[500:510], "valid": valid, "test": test}, {}, {}).name
        for test, valid in sides
    ]
    store = StoreConfig(copied(registry, tmp_path), toys.MODEL, spans, tmp_path / "runs")
    return Setting(store, (names[0], names[1]))


def test_the_holdout_and_the_sealed_set_stay_as_they_are_once_they_are_full(
    setting: Setting,
) -> None:
    spans = setting.store.spans
    before = frozen_sets(spans, 0.2, 50)
    assert [len(rows) for rows in before] == [50, 50]
    write_span(spans, {"train": [], "valid": [], "test": TEST[600:]}, {}, {})
    assert frozen_sets(spans, 0.2, 50) == before
    assert set(before.holdout + before.sealed) <= set(TEST[:300])
    assert frozen_sets(spans, 0.2, 30) == ([*before.holdout[:30]], [*before.sealed[:30]])
    everything = frozen_sets(spans, 0.2, 0)
    assert everything.holdout[:50] == before.holdout
    assert len(everything.holdout) + len(everything.sealed) == 300 + 80 + 400
    assert 0.15 < len(everything.sealed) / 780 < 0.25


def test_nothing_that_is_sealed_decides(setting: Setting) -> None:
    spans = setting.store.spans
    holdout, sealed = ({row.text for row in rows} for rows in frozen_sets(spans, 0.2, 0))
    newest = newest_set(spans, [], 0.2, GateConfig(newest_valid=True))
    assert not sealed & {*holdout, *newest}
    assert len(newest) == 380 - len(sealed) + 40
    assert not frozen_sets(spans, 0, 0).sealed
    verse = {is_sealed(row._replace(group="one verse"), 0.5) for row in TEST}
    assert len(verse) == 1


def test_the_newest_text_is_all_that_the_champion_has_not_learned_from(setting: Setting) -> None:
    """Also of runs that promoted nothing; where it learned from all, the newest span."""
    first, second = setting.spans
    spans, both = setting.store.spans, GateConfig(newest_valid=True)
    newest = {row.text for row in TEST[320:400]}
    assert set(newest_set(spans, {first: "hash"}, 0, GateConfig())) == newest
    assert set(newest_set(spans, [first, second], 0, GateConfig())) == newest
    assert len(newest_set(spans, ["older"], 0, GateConfig())) == 380
    assert len(newest_set(spans, ["older"], 0, GateConfig(sentences=70))) == 70
    assert len(newest_set(spans, [first], 0, both)) == 100
    assert newest_set(spans / "nowhere", [], 0, both) == []


def test_a_decision_is_attached_with_every_number_and_counts_against_its_champion_only(
    setting: Setting,
) -> None:
    """A copy of the champion: no worse than it, no better, and fresher after a week."""
    registry = setting.store.registry
    candidate = another_version(registry)
    number = getattr(current_promotion(registry, toys.MODEL), "number", 0)
    found = [setting.judge(candidate, OPEN_GATE) for _ in range(2)]
    assert found[0] == found[1]
    assert (found[0].decision[:2], found[0].promotion) == (("accepted", "freshness"), number)
    kinds = [name.partition("-")[0] for name in list_attachments(registry, candidate)]
    assert sorted(kinds) == ["elbo", "elbo", "elbo", "evaluation", "gate"]
    result = setting.record(candidate)
    assert result["kind"] == "freshness"
    assert result["reasons"] == found[0].decision.reasons
    assert result["floors"]["kl_nats"] == {
        "found": found[0].evaluation.figures["kl_nats"],
        "min": 1,
    }
    assert (result["holdout"]["sentences"], result["holdout"]["better_nats"]) == (60, 0)
    assert result["holdout"]["margin_nats"] > 0
    assert {"sentences_needed_80", "sentences_needed_90", "bound_nats"} <= set(result["holdout"])
    assert {"bound_nats", "shown_nats_80", "spread_nats"} <= set(result["newest"])
    assert result["sealed"]["sentences"] == 60
    assert result["sealed"]["champion_elbo_nats"] == result["sealed"]["candidate_elbo_nats"] < 0
    assert (result["champion_days"], result["at"]) == (8.0, NOW)
    assert gate_decision(registry, candidate, number) == "accepted"
    assert gate_decision(registry, candidate, number + 1) == ""
    early = setting.judge(candidate, OPEN_GATE, now="2026-01-02T00:00:00Z").decision
    assert early[:2] == ("rejected", "not-better")


def test_the_drift_of_the_newest_text_under_the_champion_is_in_the_decision(
    setting: Setting,
) -> None:
    """And decides nothing: a copy of the champion is no worse on whatever text there is."""
    registry, spans = setting.store.registry, setting.store.spans
    candidate = another_version(registry, config=b"# as good as the champion\n")
    assert setting.judge(candidate, OPEN_GATE).drift == {
        "said": "there are not two earlier sentences to compare the newest with"
    }
    serving = champion(registry, toys.MODEL)
    put_in_service(registry, made_of(serving, registry, setting.spans[:1]))
    found = setting.judge(candidate, OPEN_GATE)
    assert found.decision.kind == "freshness"
    assert found.drift is not None
    assert found.drift == setting.record(candidate)["drift"]
    assert found.drift["said"] == ""
    assert found.drift["sentences"]["before"] == 60, "the holdout, all of the first span"
    assert 50 < found.drift["sentences"]["now"] < 80, "the second, but for what is sealed"
    assert not found.drift["nats_per_token"]["drifted"]
    assert found.drift["byte_share"]["now"]["mean"] == 0
    assert model_drift_lines(found.drift)[0].startswith("none: the newest text has mean ")
    salad = [row._replace(text=f"ж{row.text[::-1]}") for row in TEST[600:900]]
    write_span(spans, {"train": [], "valid": [], "test": salad}, {}, {})
    found = setting.judge(candidate, OPEN_GATE)
    assert found.decision.kind == "freshness"
    assert found.drift is not None
    nats, byte_share = model_drift_lines(found.drift)
    assert nats.startswith("the newest text is stranger to it: mean ")
    assert " nats a token, KS 0." in nats
    assert byte_share.startswith("more characters are unknown to it: mean ")
    assert byte_share.endswith(", p < 0.001")


def made_of(version: Version, registry: Path, spans: Sequence[str]) -> Version:
    """The version once more, in this registry, as if it had been made of these spans."""
    contents = {name: version.folder / name for name in version.manifest["files"]}
    facts = {key: fact for key, fact in version.manifest.items() if key not in ("format", "files")}
    facts["spans"] = dict.fromkeys(spans, "0" * 64)
    return publish(registry, toys.MODEL, "20260101", contents, facts)


def test_the_champion_is_not_compared_with_itself(setting: Setting) -> None:
    promotion = current_promotion(setting.store.registry, toys.MODEL)
    assert promotion is not None
    serving = open_version(setting.store.registry, toys.MODEL, promotion.version)
    result = setting.judge(serving, OPEN_GATE).decision
    assert result[:2] == ("first", "serves")


def test_the_baseline_is_the_newest_champion_that_can_be_read(
    setting: Setting,
) -> None:
    """And where there is none, the floors alone; either way the decision says so."""
    registry = setting.store.registry
    first = getattr(current_promotion(registry, toys.MODEL), "version", "")
    damaged = another_version(registry, remark=b"")
    put_in_service(registry, damaged)
    candidate = another_version(registry, config=b"# the same but for this\n")
    damage(damaged)
    found = setting.judge(candidate, OPEN_GATE, now="2026-11-23T01:00:00Z").decision
    assert found[:2] == ("accepted", "replacement")
    assert f"the champion {damaged.name} cannot be read any more: " in found.reasons[0]
    assert "model.safetensors" in found.reasons[0]
    assert found.reasons[1].startswith(
        "compared with the newest champion that can be read elbo_nats"
    )
    assert setting.record(candidate)["against"] == first
    damage(open_version(registry, toys.MODEL, first))
    alone = setting.judge(candidate, OPEN_GATE).decision
    assert alone[:2] == ("accepted", "replacement")
    assert alone.reasons[1].startswith("no earlier champion can be read either")
    too_high = setting.judge(candidate, GateConfig(kl_nats_min=1e6)).decision
    assert too_high[:2] == ("rejected", "floor")
    assert "cannot be read any more" in too_high.reasons[-1]


def damage(version: Version) -> None:
    """One bit of its weights is another."""
    weights = version.folder / "model.safetensors"
    data = weights.read_bytes()
    weights.chmod(0o644)
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


class BrokenCandidates(NamedTuple):
    """Broken candidates and a healthy champion, all made from the text of one span."""

    store: StoreConfig
    broken: dict[str, Broken]


@pytest.fixture(scope="module")
def candidates(registry: Path, tmp_path_factory: pytest.TempPathFactory) -> BrokenCandidates:
    folder = tmp_path_factory.mktemp("broken")
    store = StoreConfig(folder / "registry", toys.MODEL, folder / "spans", folder / "runs")
    sides = {"train": TEST[500:900], "valid": TEST[:20], "test": TEST[20:120]}
    span = write_span(store.spans, sides, {}, {}).name
    healthy = made_of(champion(registry, toys.MODEL), store.registry, [span])
    toys.promoted(store.registry, healthy)
    return BrokenCandidates(store, broken(store.registry))


@pytest.mark.parametrize(
    "name",
    ["collapsed", "nan", "infinite", "truncated", "smaller-tokenizer", "swapped-tokenizer"],
)
def test_a_broken_candidate_is_rejected_with_its_reason(
    candidates: BrokenCandidates, name: str
) -> None:
    """By the job itself, with figures where there are any."""
    store, candidate = candidates.store, candidates.broken[name]
    result = evaluate.main(
        evaluate.Evaluate(candidate.version.name, store, EVALUATION), now="2026-06-01T00:00:00Z"
    )
    assert result["outcome"] == "rejected"
    assert result["kind"] in candidate.kinds
    assert candidate.reason in result["reasons"][0]
    assert gate_decision(store.registry, candidate.version, result["promotion"]) == "rejected"


def test_a_candidate_that_was_damaged_after_it_was_sealed_is_refused_before_its_evaluation(
    candidates: BrokenCandidates,
) -> None:
    store = candidates.store
    version = another_version(store.registry, config=b"# to be cut short\n")
    weights = version.folder / "model.safetensors"
    weights.chmod(0o644)
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CorruptError, match=r"model\.safetensors: has \d+ bytes, its manifest says"):
        evaluate.main(evaluate.Evaluate(version.name, store, EVALUATION))
    assert not any(name.startswith("gate") for name in list_attachments(store.registry, version))
