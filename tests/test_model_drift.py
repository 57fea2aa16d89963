"""Drift under a version: of which sentences, per token, and in words."""

import math
from pathlib import Path

from textvae.release.model_drift import ScoredSentences, drift_under_model, model_drift_lines
from textvae.store.versions import Version
from textvae.text.tokenizer import Tokenizer


def test_without_a_newest_sentence_there_is_no_drift(
    toy_version: tuple[Path, Version],
) -> None:
    holdout = ScoredSentences(["the dog runs", "the cat runs"], [-9.0, -8.0])
    found = drift_under_model(toy_version[1], holdout, None)
    assert model_drift_lines(found) == ["not compared: the newest text has no held-out sentence"]
    lone = drift_under_model(
        toy_version[1], holdout, ScoredSentences(holdout.sentences[1:], [-8.0])
    )
    assert lone["said"].startswith("there are not two earlier sentences")
    broken = drift_under_model(toy_version[1], holdout, ScoredSentences(["a cat"], [math.nan]))
    assert broken == {"said": "an ELBO of the champion is not finite"}


def test_drift_is_of_nats_per_token_and_not_per_sentence(toy_version: tuple[Path, Version]) -> None:
    """Twice as long at twice the nats is no drift; the same sentence is never on both sides."""
    one = [f"{subject} sees the dog" for subject in ("she", "he", "it") for _ in range(50)]
    two = [f"{text} and {text} and" for text in one]
    tokenizer = Tokenizer((toy_version[1].folder / "tokenizer.model").read_bytes())
    scored = [
        ScoredSentences(texts, [-2.0 * (len(ids) + 1) for ids in tokenizer.encode(texts)])
        for texts in (one, two)
    ]
    found = drift_under_model(toy_version[1], *scored)
    assert found["nats_per_token"]["ks"] == 0
    assert found["nats_per_token"]["now"]["mean"] == 2
    both = ScoredSentences(one + two, [*scored[0].elbo_nats, *scored[1].elbo_nats])
    assert drift_under_model(toy_version[1], both, scored[1])["sentences"] == {
        "before": 150,
        "now": 150,
    }
