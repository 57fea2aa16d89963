"""The gate's rule: what decides, where its limits are, and which reasons it gives."""

import math
from typing import Any

import numpy as np
import pytest

from textvae.config.evaluation import GateConfig
from textvae.release.gate import Baseline, decide, violated_floors
from textvae.release.paired_test import Comparison, compare_pairs

FIGURES = {
    "kl_nats": 9.0,
    "informed_share": 0.9,
    "shuffle_nats": 30.0,
    "distinct_share_fitted": 0.98,
}
EQUAL = Comparison(4000, -40.0, -40.0, 0.0, 4.0, -0.104)
"""No worse by far within the margin, which is 0.2 nats at 40 nats a sentence."""
WORSE = EQUAL._replace(better_nats=-0.5, bound_nats=-0.604)
BETTER = EQUAL._replace(better_nats=0.5, bound_nats=0.396)


def baseline_of(
    better: float, newest_better: float, days: float | None, count: int = 4000, newest: int = 4000
) -> Baseline:
    """Differences that scatter by 4 nats about these means, on 40 nats a sentence."""
    random = np.random.default_rng(0)

    def comparison(mean: float, sentences: int) -> Any:
        champion = random.normal(-40, 10, sentences)
        noise = random.normal(0, 4, sentences)
        return compare_pairs(champion + mean + noise - noise.mean(), champion)

    return Baseline(comparison(better, count), comparison(newest_better, newest), days)


def test_a_first_version_has_to_meet_the_floors_alone() -> None:
    assert decide(FIGURES, None, GateConfig())[:2] == ("first", "first")
    for name in FIGURES:
        for value in (0.0, math.nan, None):
            found = decide({**FIGURES, name: value}, None, GateConfig())
            assert found[:2] == ("rejected", "floor")
            assert found.reasons[0].startswith(f"{name} is {value}, at least")


def test_a_figure_at_its_floor_meets_it_and_the_next_smaller_number_does_not() -> None:
    config = GateConfig(reconstruction_bleu_min=60.0)
    floors = {
        "kl_nats": config.kl_nats_min,
        "informed_share": config.informed_share_min,
        "shuffle_nats": config.shuffle_nats_min,
        "distinct_share_fitted": config.distinct_min,
        "reconstruction_bleu": 60.0,
    }
    assert violated_floors(floors, config) == []
    for name, floor in floors.items():
        below = float(np.nextafter(floor, 0))
        assert violated_floors({**floors, name: below}, config) == [
            f"{name} is {below}, at least {floor:g} is needed"
        ]


def test_draws_of_the_fitted_prior_have_the_floor_and_of_the_standard_one_without_it() -> None:
    standard = {name: value for name, value in FIGURES.items() if name[:8] != "distinct"}
    few = {**standard, "distinct_share_standard": 0.1}
    assert decide({**few, "distinct_share_fitted": 0.9}, None, GateConfig()).kind == "first"
    assert violated_floors(few, GateConfig()) == [
        "distinct_share_standard is 0.1, at least 0.5 is needed"
    ]


def test_reconstruction_has_a_floor_where_one_is_set() -> None:
    config = GateConfig(reconstruction_bleu_min=60.0)
    for bleu, decision in ((61.0, "first"), (59.0, "rejected"), (math.nan, "rejected")):
        found = decide({**FIGURES, "reconstruction_bleu": bleu}, None, config)
        assert found.decision == decision
    assert found.reasons == ["reconstruction_bleu is nan, at least 60 is needed"]


@pytest.mark.parametrize(
    ("better", "newest_better", "days", "kind"),
    [
        (0.0, 0.5, 0.0, "superiority"),
        (0.0, 0.5, 400.0, "superiority"),
        (0.0, 0.0, 0.0, "not-better"),
        (0.0, 0.0, 6.9, "not-better"),
        (0.0, 0.0, 7.0, "freshness"),
        (0.0, -0.5, 7.0, "freshness"),
        (0.0, 0.0, None, "freshness"),
        (-0.5, 2.0, 0.0, "worse"),
        (-0.5, 0.0, 400.0, "worse"),
    ],
)
def test_no_worse_on_the_holdout_and_then_better_on_the_newest_text_or_fresher(
    better: float, newest_better: float, days: float | None, kind: str
) -> None:
    found = decide(FIGURES, baseline_of(better, newest_better, days), GateConfig())
    assert found.kind == kind
    rejects = kind in ("not-better", "worse")
    assert found.decision == ("rejected" if rejects else "accepted")
    assert len(found.reasons) == (1 if rejects else 2)


def test_a_bound_at_the_margin_is_no_worse_and_one_below_it_is() -> None:
    """The margin is 0.5 % of the champion's ELBO, whatever its sign."""
    for elbo in (-40.0, 40.0):
        at_margin = EQUAL._replace(champion_elbo_nats=elbo, bound_nats=-(0.005 * 40.0))
        below = at_margin._replace(bound_nats=float(np.nextafter(at_margin.bound_nats, -1)))
        assert decide(FIGURES, Baseline(at_margin, None, 9.0), GateConfig()).kind == "freshness"
        assert decide(FIGURES, Baseline(below, None, 9.0), GateConfig()).kind == "worse"


def test_a_bound_of_0_on_the_newest_text_is_not_better_and_the_next_number_is() -> None:
    zero = EQUAL._replace(better_nats=0.104, bound_nats=0.0)
    found = decide(FIGURES, Baseline(EQUAL, zero, 0.0), GateConfig())
    assert found.kind == "not-better"
    assert found.reasons[0].startswith("it is not shown to be better on the newest text: +0.104")
    positive = zero._replace(bound_nats=float(np.nextafter(0, 1)))
    found = decide(FIGURES, Baseline(EQUAL, positive, 0.0), GateConfig())
    assert found.kind == "superiority"
    assert found.reasons[1].startswith("it is better on the newest text: +0.104 nats")


def test_a_fault_rejects_with_its_own_reason_before_every_floor() -> None:
    """A version without figures has faults, and so nothing else to be read."""
    found = decide({}, None, GateConfig(), faults=["torn", "not finite"], leaks=["a canary"])
    assert found == ("rejected", "fault", ["torn", "not finite"])
    found = decide(FIGURES, Baseline(WORSE, None, 9.0), GateConfig(), ["torn"], "unreadable")
    assert found.kind == "fault"
    assert [found.reasons[0], found.reasons[2]] == ["torn", "unreadable"]
    assert found.reasons[1].startswith("elbo_nats may be worse")


def test_reasons_are_floors_then_canaries_then_the_holdout_then_the_champion() -> None:
    low = {**FIGURES, "kl_nats": 0.5, "shuffle_nats": 0.25}
    found = decide(low, Baseline(WORSE, None, 9.0), GateConfig(), (), "unreadable", False, ["leak"])
    assert found[:2] == ("rejected", "floor")
    assert [reason.split(" ")[0] for reason in found.reasons] == [
        "kl_nats",
        "shuffle_nats",
        "leak",
        "elbo_nats",
        "unreadable",
    ]
    assert decide(FIGURES, None, GateConfig(), leaks=["leak"])[1:] == ("floor", ["leak"])
    found = decide(FIGURES, Baseline(WORSE, BETTER, 9.0), GateConfig(), (), "unreadable")
    assert (found.kind, found.reasons[1:]) == ("worse", ["unreadable"])


def test_a_champion_that_cannot_be_read_is_replaced_by_what_is_no_worse_than_an_earlier_one() -> (
    None
):
    """However young the earlier champion is; where none can be read, the floors decide."""
    newest = EQUAL._replace(bound_nats=-1.0)
    found = decide(FIGURES, Baseline(EQUAL, newest, 0.0), GateConfig(), unreadable="it is torn")
    assert (*found[:2], found.reasons[0]) == ("accepted", "replacement", "it is torn")
    assert found.reasons[1].startswith(
        "compared with the newest champion that can be read elbo_nats is no worse on the holdout: "
    )
    alone = decide(FIGURES, None, GateConfig(), unreadable="it is torn")
    assert alone == (
        "accepted",
        "replacement",
        [
            "it is torn",
            "no earlier champion can be read either, so the floors, which it has met, decide",
        ],
    )


def test_the_champion_itself_is_no_first_version() -> None:
    found = decide(FIGURES, None, GateConfig(), serves=True)
    assert found[:2] == ("first", "serves")
    assert found.reasons[0].startswith("it is the champion, ")
    first = decide(FIGURES, None, GateConfig())
    assert first.reasons[0].startswith("no version has served yet, ")
    assert decide({**FIGURES, "kl_nats": 0.0}, None, GateConfig(), serves=True).kind == "floor"


def test_a_decision_gives_difference_bound_margin_and_sizes() -> None:
    """0.5 % of 40 nats is 0.2; (1.645 + 0.842)^2 x 16 / 0.04 = 2473.02, with 1.282 3425.54."""
    found = decide(FIGURES, Baseline(EQUAL, BETTER, 2.0), GateConfig())
    assert found.reasons == [
        "elbo_nats is no worse on the holdout: +0.000 nats, at least -0.104 with 95 % confidence, "
        "at least -0.200 is allowed (4000 sentences; an equal one passes 8 times in 10 with 2474, "
        "9 times with 3426)",
        "it is better on the newest text: +0.500 nats, at least +0.396 with 95 % confidence (4000 "
        "sentences, which show 0.157 8 times in 10)",
    ]
    rejected = decide(FIGURES, Baseline(WORSE, None, 2.0), GateConfig())
    assert rejected.reasons == [
        "elbo_nats may be worse on the holdout: -0.500 nats, at least -0.604 with 95 % "
        "confidence, at least -0.200 is needed (4000 sentences; an equal one passes 8 times in 10 "
        "with 2474, 9 times with 3426)",
    ]
    young = decide(FIGURES, Baseline(EQUAL, EQUAL, 2.04), GateConfig())
    assert young.reasons == [
        "it is not shown to be better on the newest text: +0.000 nats, at least -0.104 with 95 % "
        "confidence (4000 sentences, which show 0.157 8 times in 10), and the champion is 2.0 days "
        "old: from 7 on (gate.champion_days_max) being no worse is enough"
    ]
    clock = decide(FIGURES, Baseline(EQUAL, EQUAL, None), GateConfig())
    assert clock.reasons[1].startswith("the clock is behind the champion's promotion by more than")


def test_more_sentences_are_advised_where_they_could_decide_otherwise() -> None:
    """Not where there are enough, and not where the mean itself is below the margin."""
    few = EQUAL._replace(sentences=2473, better_nats=-0.2, bound_nats=-0.3)
    advice = "; raise gate.sentences and data.test_share)"

    def advised(holdout: Comparison, config: GateConfig = GateConfig()) -> bool:
        found = decide(FIGURES, Baseline(holdout, None, 0.0), config)
        assert found.kind == "worse"
        return found.reasons[0].endswith(advice)

    assert advised(few)
    assert not advised(few._replace(sentences=2474))
    assert not advised(few._replace(better_nats=-0.201))
    strict = GateConfig(worse_share_max=0.0)
    assert advised(few._replace(better_nats=0.0), strict), "no number is enough for a margin of 0"
    said = decide(FIGURES, Baseline(few, None, 0.0), strict).reasons[0]
    assert said.endswith("(2473 sentences; no number is enough for that margin)")
    enough = few._replace(bound_nats=-0.1)
    passing = decide(FIGURES, Baseline(enough, None, 9.0), GateConfig())
    assert passing.kind == "freshness"
    assert "raise" not in passing.reasons[0]


def test_a_decision_says_how_many_sentences_there_were_and_how_many_the_margin_needs() -> None:
    """Of real differences, whose mean is 40.3 nats and whose spread is 3.98."""
    said = decide(FIGURES, baseline_of(0, 0.5, 0.0, count=3000), GateConfig()).reasons[0]
    assert "(3000 sentences; an equal one passes 8 times in 10 with 24" in said
    assert "9 times with 33" in said
    assert "at least -0.120 with 95 % confidence, at least -0.2" in said
    few = decide(FIGURES, baseline_of(0, 0.5, 0.0, count=500), GateConfig())
    assert few.kind == "worse"
    assert few.reasons[0].endswith("raise gate.sentences and data.test_share)")
    worse = decide(FIGURES, baseline_of(-0.5, 0.5, 0.0, count=500), GateConfig())
    assert "raise gate.sentences" not in worse.reasons[0]


def test_one_sentence_shows_nothing_and_neither_does_one_that_is_no_number() -> None:
    one = compare_pairs([-20.0], [-21.0])
    assert one == (1, -20.0, -21.0, 1.0, math.inf, -math.inf)
    for pair in (([-20.0], [-20.0]), ([math.nan, -20.0], [-20.0, -20.0])):
        found = decide(FIGURES, Baseline(compare_pairs(*pair), None, 9.0), GateConfig())
        assert found[:2] == ("rejected", "worse")
    newest = decide(FIGURES, Baseline(EQUAL, one, 0.0), GateConfig())
    assert newest.kind == "not-better"
    assert "at least -inf with 95 % confidence (1 sentences), and" in newest.reasons[0]


def test_newest_text_without_a_held_out_sentence_leaves_freshness_to_decide() -> None:
    baseline = baseline_of(0, 0, 0.0)._replace(newest=None)
    found = decide(FIGURES, baseline, GateConfig())
    assert found.kind == "not-better"
    assert found.reasons[0].startswith("the newest text has no held-out sentence")
    assert decide(FIGURES, baseline._replace(days=8.0), GateConfig()).kind == "freshness"
    assert decide(FIGURES, baseline, GateConfig(champion_days_max=0)).kind == "freshness"


def test_the_adequacy_of_variations_has_a_floor_where_it_was_measured() -> None:
    config = GateConfig()
    for adequacy, kind in ((config.adequacy_min, "first"), (0.0, "floor"), (math.nan, "floor")):
        found = decide({**FIGURES, "variation_adequacy": adequacy}, None, config)
        assert found.kind == kind
    assert found.reasons == ["variation_adequacy is nan, at least 0.1 is needed"]


def test_siblings_may_cost_no_more_than_under_the_champion_but_for_a_margin() -> None:
    """3 % of the champion's nats of siblings; the comparison alone rejects."""
    config = GateConfig()
    siblings = Comparison(500, -50.0, -50.0, 0.0, 8.0, -(0.03 * 50.0))
    at_margin = Baseline(EQUAL, BETTER, 1.0, siblings)
    found = decide(FIGURES, at_margin, config)
    assert found.kind == "superiority"
    assert found.reasons[1].startswith("sibling nats are no worse on held-out groups: +0.000 nats")
    assert (
        decide(FIGURES, Baseline(EQUAL, None, 9.0, siblings), config).reasons[1:2]
        == (found.reasons[1:2])
    )
    below = siblings._replace(bound_nats=float(np.nextafter(siblings.bound_nats, -2)))
    worse = decide(FIGURES, at_margin._replace(siblings=below), config)
    assert (worse.decision, worse.kind, len(worse.reasons)) == ("rejected", "worse", 1)
    assert worse.reasons[0].startswith("sibling nats may be worse on held-out groups")
    assert (
        "at least -1.500 is needed (500 groups; an equal one passes 8 times in 10 with"
        in (worse.reasons[0])
    )
    unknown = siblings._replace(bound_nats=math.nan)
    assert decide(FIGURES, at_margin._replace(siblings=unknown), config).kind == "worse"
    loose = GateConfig(sibling_worse_share_max=0.5)
    assert decide(FIGURES, at_margin._replace(siblings=below), loose).kind == "superiority"
