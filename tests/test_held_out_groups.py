"""Held-out groups: which are chosen, what variations of them are worth, and the gate."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from tests import toys
from tests.rephrasing import grouped
from tests.serving import another_version, copied
from textvae.config.data import StoreConfig
from textvae.config.evaluation import EvaluationConfig, GateConfig
from textvae.config.serve import ServeConfig
from textvae.corpus.spans import write_span
from textvae.engine.start import start_engine
from textvae.errors import InputError
from textvae.evaluation.cache import EvaluationInputs, cached_sibling_nats, held_out_groups
from textvae.evaluation.held_out_groups import (
    group_figures,
    learned_siblings,
    measure_sibling_nats,
)
from textvae.evaluation.holdout import frozen_groups, frozen_sets
from textvae.evaluation.length_limits import groups_within_limits
from textvae.evaluation.variations import HeldOutGroup
from textvae.progress import no_progress
from textvae.release.candidate import Judgement, judge_candidate
from textvae.store.attachments import list_attachments, read_attachment
from textvae.store.versions import Version, publish
from textvae.text.sentence import Sentence

EVALUATION = EvaluationConfig(
    sentences=40,
    importance_samples=2,
    prior_draws=20,
    prior_components=1,
    path_pairs=2,
    groups=30,
    sealed_share=0.1,
)
OPEN_GATE = GateConfig(
    distinct_min=0.0, kl_nats_min=0.0, informed_share_min=0.0, shuffle_nats_min=0.0
)
SERVE = ServeConfig(threads=1)


class Setting(NamedTuple):
    """A copy of the registry of a version that learned from siblings and serves, with its text."""

    store: StoreConfig
    version: Version

    @property
    def groups(self) -> list[HeldOutGroup]:
        """The held-out groups that are not sealed."""
        return held_out_groups(self.store.spans, EVALUATION, 1000)

    def without_siblings(self) -> Version:
        """The same weights as a version that has learned from no siblings."""
        manifest = self.version.manifest
        facts = {
            name: fact
            for name, fact in manifest.items()
            if name not in ("format", "files", "siblings")
        }
        files = {name: (self.version.folder / name).read_bytes() for name in manifest["files"]}
        return publish(self.store.registry, toys.MODEL, "20260102", files, facts)

    def judge(self, version: Version, gate: GateConfig = OPEN_GATE) -> Judgement:
        """The gate's decision on the version, two weeks after the champion's promotion."""
        spans = self.store.spans
        holdout, sealed = frozen_sets(spans, EVALUATION.sealed_share, 0)
        texts = [row.text for row in holdout[: EVALUATION.sentences]]
        inputs = EvaluationInputs(version, texts, [], holdout, sealed, (), self.groups)
        now = "2026-01-15T00:00:00Z"
        return judge_candidate(self.store, inputs, EVALUATION, gate, SERVE, now, no_progress)

    def record(self, version: Version) -> dict[str, Any]:
        """The newest decision on a version."""
        registry = self.store.registry
        names = [name for name in list_attachments(registry, version) if name[:4] == "gate"]
        attached = read_attachment(registry, version, names[-1]) or {}
        decision: dict[str, Any] = json.loads(attached["decision.json"])
        return decision


@pytest.fixture(scope="module")
def setting(
    rephrasing_version: tuple[Path, Version], tmp_path_factory: pytest.TempPathFactory
) -> Setting:
    root = tmp_path_factory.mktemp("groups")
    registry, version = rephrasing_version
    return Setting(_store(copied(registry, root), root), version)


def _store(registry: Path, root: Path, ungrouped: bool = False) -> StoreConfig:
    """A store of the rephrasing version's registry with its text, with or without the groups."""
    corpus = grouped()
    sides = {"train": corpus.train, "valid": corpus.valid, "test": corpus.test}
    if ungrouped:
        sides = {side: [row._replace(group="") for row in rows] for side, rows in sides.items()}
    write_span(root / "spans", sides, {}, {})
    return StoreConfig(registry, toys.MODEL, root / "spans", root / "runs")


@pytest.fixture
def spans(tmp_path: Path) -> Path:
    """Three groups of two, one of three, one of one, and a sentence without a group."""
    rows = [Sentence(f"{group} {number}", group=group) for group in "abc" for number in (1, 2)]
    rows += [Sentence(f"d {number}", group="d") for number in (1, 2, 3)]
    rows += [Sentence("e 1", group="e"), Sentence("alone")]
    write_span(tmp_path / "spans", {"train": [], "valid": [], "test": rows}, {}, {})
    return tmp_path / "spans"


def test_whole_groups_of_two_or_more_are_chosen_and_stay_as_they_are(spans: Path) -> None:
    """Also where a group grows, and where other groups come, once there are enough."""
    found = frozen_groups(spans, 0.0, 10)
    assert sorted((rows[0].group, len(rows)) for rows in found) == [
        ("a", 2),
        ("b", 2),
        ("c", 2),
        ("d", 3),
    ]
    more = [Sentence("a 3", group="a"), Sentence("f 1", group="f"), Sentence("f 2", group="f")]
    write_span(spans, {"train": [], "valid": [], "test": more}, {}, {})
    assert frozen_groups(spans, 0.0, 4) == found
    assert [rows[0].group for rows in frozen_groups(spans, 0.0, 10)[4:]] == ["f"]
    assert frozen_groups(spans, 0.0, 2) == found[:2]
    assert frozen_groups(spans, 0.0, 0) == []


def test_sealed_groups_are_left_out(setting: Setting) -> None:
    everything = frozen_groups(setting.store.spans, 0.0, 1000)
    half = frozen_groups(setting.store.spans, 0.5, 1000)
    assert len(everything) == 60
    assert 15 < len(half) < 45
    assert all(rows in everything for rows in half)


def test_groups_with_a_sentence_that_is_too_long_are_left_out(setting: Setting) -> None:
    groups = [*setting.groups[:2], HeldOutGroup("The dog runs", ("word " * 400,))]
    assert groups_within_limits(groups, setting.version.folder, SERVE) == groups[:2]


def test_figures_of_variations_stand_beside_their_controls(setting: Setting) -> None:
    with start_engine(setting.store.registry, setting.version, SERVE) as engine:
        found = group_figures(setting.version, engine, setting.groups, EVALUATION, no_progress)
    assert found["siblings"] == learned_siblings(setting.version) > 1000
    assert found["variation_groups"] == 30
    systems = found["variation_systems"]
    assert {"chosen", "drawn", "copy", "random"} <= set(systems)
    assert found["variation_ibleu"] == systems["chosen"]["ibleu"] > found["drawn_ibleu"]
    assert systems["copy"]["copies"] == 1.0 > found["variation_copies"] == 0.0
    assert found["variation_adequacy"] > 0.3
    assert found["adequacy_auc"] > 0.9


def test_a_version_that_learned_from_no_siblings_has_no_figures_of_groups(
    setting: Setting,
) -> None:
    """Its groups may be documents. Nor are there figures of a single group."""
    plain = setting.without_siblings()
    with start_engine(setting.store.registry, plain, SERVE) as engine:
        found = group_figures(plain, engine, setting.groups, EVALUATION, no_progress)
        assert found == {"siblings": 0}
        few = group_figures(setting.version, engine, setting.groups[:1], EVALUATION, no_progress)
    assert set(few) == {"siblings"}


def test_a_sentence_costs_less_by_its_sibling_than_by_another_sentence(setting: Setting) -> None:
    def nats(version: Version, groups: list[HeldOutGroup]) -> Any:
        found = measure_sibling_nats(version, groups, 2, 128, EVALUATION, no_progress)
        assert len(found) == len(groups)
        return np.array(found)

    groups = setting.groups
    others = [groups[index - 1].source for index in range(len(groups))]
    wrong = [group._replace(source=other) for group, other in zip(groups, others, strict=True)]
    own = nats(setting.version, groups)
    assert (nats(setting.version, wrong) > own).mean() > 0.9
    # Told to rebuild, the decoder expects the source's own form.
    assert nats(setting.without_siblings(), groups).mean() > 3 * own.mean()
    # Each in its group's place, whatever its length and the number of its references.
    one = [wrong[0]._replace(references=wrong[0].references * 3), *groups[1:]]
    found = nats(setting.version, one)
    assert found.argmax() == 0
    assert found[0] > 2 * found[1:].max()


def test_nats_of_siblings_are_measured_once(setting: Setting) -> None:
    registry, version = setting.store.registry, setting.version
    first, again = (
        cached_sibling_nats(registry, version, setting.groups, EVALUATION, SERVE, no_progress)
        for _ in range(2)
    )
    assert first == again
    names = [name for name in list_attachments(registry, version) if name[:8] == "siblings"]
    assert len(names) == 1


def test_a_candidate_like_the_champion_is_accepted_and_the_decision_says_by_what(
    setting: Setting,
) -> None:
    found = setting.judge(candidate := another_version(setting.store.registry))
    assert (found.decision.decision, found.decision.kind) == ("accepted", "freshness")
    count = len(setting.groups)
    assert found.variations == (
        f"judged by the adequacy of variations of 30 held-out groups and the nats of siblings of "
        f"{count}"
    )
    assert found.decision.reasons[1].startswith(
        "sibling nats are no worse on held-out groups: +0.000"
    )
    record = setting.record(candidate)
    assert record["variations"] == found.variations
    assert (
        record["floors"]["variation_adequacy"]["found"]
        == found.evaluation.figures["variation_adequacy"]
    )
    siblings = record["siblings"]
    assert siblings["groups"] == count
    assert siblings["candidate_sibling_nats"] == siblings["champion_sibling_nats"] > 0
    assert siblings["margin_nats"] == pytest.approx(0.03 * siblings["champion_sibling_nats"])


def test_a_candidate_that_rephrases_worse_than_the_champion_is_rejected(setting: Setting) -> None:
    """Though it rebuilds as well: the same weights, and no first token that rephrases."""
    found = setting.judge(setting.without_siblings())
    assert (found.decision.decision, found.decision.kind) == ("rejected", "worse")
    assert len(found.decision.reasons) == 1
    assert found.decision.reasons[0].startswith("sibling nats may be worse on held-out groups: -")
    assert found.evaluation.figures["siblings"] == 0


def test_a_candidate_whose_variations_say_too_little_is_below_a_floor(setting: Setting) -> None:
    gate = GateConfig(**{**vars(OPEN_GATE), "adequacy_min": 50.0})
    found = setting.judge(setting.version, gate)
    assert (found.decision.decision, found.decision.kind) == ("rejected", "floor")
    assert found.decision.reasons[0].startswith("variation_adequacy is ")
    with pytest.raises(InputError, match=r"gate\.adequacy_min"):
        GateConfig(adequacy_min=float("inf"))


def test_text_without_groups_is_judged_as_ever_and_the_result_says_so(
    setting: Setting, tmp_path: Path
) -> None:
    registry = copied(setting.store.registry, tmp_path)
    without = Setting(_store(registry, tmp_path, ungrouped=True), setting.version)
    found = without.judge(another_version(registry))
    assert found.variations == (
        "not judged: the test side has no groups of two sentences (data.group_column)"
    )
    assert len(found.decision.reasons) == 2
    assert not any("variation" in name for name in found.evaluation.figures)
    assert without.groups == []


def test_few_groups_decide_nothing(setting: Setting, tmp_path: Path) -> None:
    found = setting.judge(
        another_version(setting.store.registry), GateConfig(**{**vars(OPEN_GATE), "groups": 5})
    )
    assert found.variations.endswith("of variations of 30 held-out groups")
