"""The axes of a paraphrase: by hand, and computed anew from the networks of a version."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests import toys
from tests.rephrasing import grouped
from tests.stages import Steps
from textvae.config.serve import ServeConfig
from textvae.engine.answers import Axes
from textvae.engine.axes import Judge, Sources, adequacy, cosine, new_shares
from textvae.engine.engine import Engine
from textvae.engine.limits import Limits
from textvae.engine.load import LoadedVersion, load_networks, load_version
from textvae.engine.operations.judge import JudgeRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.plan import Outcome, Planning
from textvae.engine.start import load_engine
from textvae.evaluation.variations import auc
from textvae.options import Options
from textvae.store.versions import Version
from textvae.text.batches import batch_of
from textvae.text.tokenizer import REBUILD, REPHRASE

PAIRS = 100


@pytest.fixture(scope="module")
def engine(rephrasing_version: tuple[Path, Version]) -> Iterator[Engine]:
    """An engine of a version that has learned from siblings."""
    with load_engine(rephrasing_version[0], toys.MODEL, None, ServeConfig(threads=1)) as running:
        yield running


class ManyCandidates(Steps):
    """A request for the axes of several candidates of each sentence."""

    def __init__(self, sentences: Sequence[str], candidates: Sequence[str], begin: int) -> None:
        super().__init__()
        self.sentences, self.candidates, self.begin = tuple(sentences), list(candidates), begin
        self.rows = 2 * len(candidates)

    def plan(self, loaded: LoadedVersion, limits: Limits, owner: object) -> Planning[Any]:
        """Judge them; the answer is the axes and the fluency of the sentences."""
        ids = loaded.tokenizer.encode(list(self.sentences))
        mean, _ = yield from loaded.encoding(ids)
        tokens = [tuple(one) for one in loaded.tokenizer.encode(self.candidates)]
        nats = yield from loaded.language_model_nats(ids)
        each = len(tokens) // len(ids)
        pairs = [(number // each, one) for number, one in enumerate(tokens)]
        judge = Judge(loaded, owner, self.begin, limits.tokens_max)
        found = yield from judge.axes(Sources(self.sentences, ids, mean, nats), pairs)
        lengths = np.array([len(one) + 1 for one in ids])
        return Outcome(([found[pair] for pair in pairs], nats / lengths), 0)


class Networks:
    """The networks of a version, in torch, and what they say of sentences."""

    def __init__(self, version: tuple[Path, Version]) -> None:
        self.tokenizer = load_version(*version).tokenizer
        self.vae, self.language_model = load_networks(version[1])

    @torch.inference_mode()
    def axes(self, source: str, candidate: list[int], begin: int) -> Axes:
        """The axes of a candidate, each network called on one sentence."""
        own = self.tokenizer.encode([source])[0]
        text = self.tokenizer.decode([candidate])[0]
        gains, means = [], []
        for given, wanted in ((candidate, own), (own, candidate)):
            tokens, lengths = (torch.from_numpy(part) for part in batch_of([wanted])[:2])
            before = self.language_model.nats(tokens, lengths, None).item()
            read = batch_of([given])
            latent = self.vae.encode(*(torch.from_numpy(part) for part in read[:2])).mean
            means.append(latent[0].numpy())
            tokens[:, 0] = begin
            gains += [before - self.vae.nats(tokens, lengths, latent).item(), len(wanted) + 1]
        fluency, near = before / (len(candidate) + 1), cosine(*means)
        return Axes(adequacy(*gains), fluency, *new_shares(text, source), near)


@pytest.fixture(scope="module")
def networks(rephrasing_version: tuple[Path, Version]) -> Networks:
    """Those of the version that the engine serves."""
    return Networks(rephrasing_version)


def test_adequacy_is_the_mean_of_both_gains_a_token_and_may_be_below_0() -> None:
    assert adequacy(6.0, 3, 8.0, 2) == 3.0
    assert adequacy(-6.0, 3, 8.0, 2) == 1.0
    assert adequacy(-6.0, 3, 2.0, 2) == -0.5


@pytest.mark.parametrize(
    ("text", "words", "bigrams"),
    [
        ("the dog barks", 0.0, 0.0),
        ("The DOG barks", 0.0, 0.0),
        ("barks the dog", 0.0, 3 / 4),
        ("the cat barks", 1 / 3, 1 / 2),
        ("a cat", 1.0, 1.0),
        ("the the cat the", 1 / 4, 4 / 5),
        ("dog", 0.0, 1.0),
        ("", 0.0, 1.0),
    ],
)
def test_new_words_and_bigrams_are_counted_without_case_and_with_both_ends(
    text: str, words: float, bigrams: float
) -> None:
    assert new_shares(text, "the dog barks") == pytest.approx((words, bigrams))


def test_similarity_is_the_cosine_of_two_means_and_0_where_one_is_0() -> None:
    one, zero = np.array([3.0, 4.0], np.float32), np.zeros(2, np.float32)
    assert cosine(one, 2 * one) == pytest.approx(1.0)
    assert cosine(one, -one) == pytest.approx(-1.0)
    assert cosine(one, np.array([4.0, -3.0], np.float32)) == pytest.approx(0.0)
    assert cosine(one, zero) == 0.0


def test_novelty_is_the_mean_of_both_shares() -> None:
    assert Axes(1.0, 2.0, 0.25, 0.75).novelty == 0.5


@pytest.mark.parametrize("method", ["rephrase", "draw"])
def test_axes_are_those_that_the_networks_say_one_sentence_at_a_time(
    method: Any, engine: Engine, networks: Networks
) -> None:
    sentences = tuple(row.text for row in grouped().test[:5])
    request = ParaphraseRequest(
        sentences, 3, 2.0, options=Options(0.7), method=method, candidates=4, seed=4
    )
    begin = {"rephrase": REPHRASE, "draw": REBUILD}[method]
    compared = 0
    for sentence, each in zip(sentences, engine.answer(request).results, strict=True):
        own = networks.axes(sentence, networks.tokenizer.encode([sentence])[0], begin)
        assert each.source_fluency == pytest.approx(own.fluency, abs=1e-4)
        for one in each.variations:
            # The tokens that were generated are those of the text wherever it is tokenised alike.
            (tokens,) = networks.tokenizer.encode([one.sentence.text])
            if len(tokens) == one.sentence.tokens:
                expected = networks.axes(sentence, tokens, begin)
                assert one.axes == pytest.approx(expected, abs=1e-4)
                compared += 1
    assert compared >= 10


def test_the_order_and_the_number_of_the_candidates_do_not_matter(engine: Engine) -> None:
    sentences = [row.text for row in grouped().test[:2]]
    few = [row.text for row in grouped().test[2:8]]
    forwards, fluency = engine.answer(ManyCandidates(sentences, few, REPHRASE))
    backwards, again = engine.answer(ManyCandidates(sentences[::-1], few[::-1], REPHRASE))
    assert forwards == backwards[::-1]
    assert fluency.tolist() == again[::-1].tolist()
    repeated = [text for text in few for _ in range(3)]
    assert engine.answer(ManyCandidates(sentences, repeated, REPHRASE))[0] == [
        one for one in forwards for _ in range(3)
    ]


def test_a_request_to_judge_has_the_axes_of_each_pair(engine: Engine, networks: Networks) -> None:
    """By the first token that the version varies sentences by."""
    rows = [row.text for row in grouped().test[:6]]
    judged = engine.answer(JudgeRequest(tuple(rows[:3]), tuple(rows[3:])))
    for found, source, candidate in zip(judged, rows[:3], rows[3:], strict=True):
        (tokens,) = networks.tokenizer.encode([candidate])
        assert found == pytest.approx(networks.axes(source, tokens, REPHRASE), abs=1e-4)


def test_a_sibling_is_more_adequate_than_a_sentence_of_another_group(engine: Engine) -> None:
    rows = grouped().test[:PAIRS]
    sentences = tuple(row.text for row in rows)
    siblings = tuple(rows[number ^ 1].text for number in range(PAIRS))
    others = tuple(rows[(number + 2) % PAIRS].text for number in range(PAIRS))
    own, other = (
        [one.adequacy for one in engine.answer(JudgeRequest(sentences, candidates))]
        for candidates in (siblings, others)
    )
    assert np.mean(np.array(own) > np.array(other)) > 0.95
    assert auc(own, other) >= 0.9


def test_a_sentence_of_the_language_is_more_fluent_than_its_words_in_any_order(
    engine: Engine,
) -> None:
    sentences = tuple(row.text for row in grouped().test[:20])
    mixed = tuple(" ".join(sorted(text.split())) for text in sentences)
    own, other = (engine.answer(JudgeRequest(sentences, each)) for each in (sentences, mixed))
    assert all(one.fluency < two.fluency for one, two in zip(own, other, strict=True))
