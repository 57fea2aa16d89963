"""The plans of the operations: their rows, random numbers and answers, against the formulas."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from tests import toys
from tests.planning import Plan
from textvae.config.serve import ServeConfig
from textvae.corpus.toy_grammar import sample
from textvae.decode.beam import Hypothesis
from textvae.decode.counter import Purpose, normals, uniforms
from textvae.decode.rows import FinishedRow, Row
from textvae.engine.limits import Limits, limits_of
from textvae.engine.load import LoadedVersion, load_version
from textvae.engine.operations.decode import DecodeRequest, DecodeResult, decode_all
from textvae.engine.operations.encode import EncodeRequest, EncodeResult, encode_all
from textvae.engine.operations.interpolate import InterpolateRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.operations.score import ScoreRequest
from textvae.engine.request import Request
from textvae.errors import InputError
from textvae.options import GREEDY, Options
from textvae.store.promotions import champion

SHORT, LONG = "The child will sing.", "The old kings rode the brown horse outside."
LIMITS = limits_of(ServeConfig(tokens_max=40))
SEED, FIRST = 2**64 - 3, 2**33


@pytest.fixture(scope="module")
def loaded(registry: Path) -> LoadedVersion:
    """The toy version; its rows in batches of 8, without the self-test."""
    return load_version(registry, champion(registry, toys.MODEL))._replace(buckets=(8,))


def planned(loaded: LoadedVersion, request: Request[Any], limits: Limits = LIMITS) -> Plan:
    """A request after its buckets."""
    return Plan(loaded, request.plan(loaded, limits, "owner"))


def finished(row: Row, tokens: list[int], log_prob: float = -1.0) -> FinishedRow:
    """A row that the decoder has finished."""
    return FinishedRow(row, tokens, log_prob, True, 1)


def ids(loaded: LoadedVersion, *sentences: str) -> list[list[int]]:
    """The token ids of sentences."""
    return loaded.tokenizer.encode(list(sentences))


def noise(items: list[int], draws: list[int], width: int) -> np.ndarray:
    """The standard normal numbers of these addresses."""
    return normals(SEED, np.array(items, np.uint64), np.array(draws, np.uint64), width)


def addresses(plan: Plan) -> list[tuple[int, int, int]]:
    """Number, item and draw of the rows, which share all else."""
    assert {(row.owner, row.seed) for row in plan.rows} == {("owner", SEED)}
    return [(row.number, row.item, row.draw) for row in plan.rows]


def test_an_encode_has_its_samples_about_each_mean_and_no_rows(loaded: LoadedVersion) -> None:
    plan = planned(loaded, EncodeRequest((LONG, SHORT), 2, SEED, FIRST))
    result = plan.finish([])
    deviation = np.exp(0.5 * result.logvar.astype(np.float64))
    epsilon = noise([FIRST, FIRST, FIRST + 1, FIRST + 1], [0, 1, 0, 1], loaded.latent)
    expected = result.mean.repeat(2, 0) + deviation.repeat(2, 0) * epsilon
    np.testing.assert_allclose(result.samples, expected, rtol=1e-6, atol=1e-6)
    assert not plan.rows
    assert plan.tokens_read == sum(map(len, ids(loaded, LONG, SHORT)))


def test_posteriors_come_in_the_order_of_the_sentences(loaded: LoadedVersion) -> None:
    """Though those of similar length share a bucket; 20 sentences are three buckets of 8."""
    texts = [row.text for row in sample(20, seed=1)]
    encoded = ids(loaded, *texts)
    assert len({len(one) for one in encoded}) > 3
    together = loaded.posteriors(encoded)
    assert list(map(len, loaded.buckets_of(encoded))) == [8, 8, 4]
    for number in (0, 3, 9, 19):
        alone = loaded.posteriors([encoded[number]])
        assert together.mean[number] == pytest.approx(alone.mean[0], abs=1e-4)
        assert together.logvar[number] == pytest.approx(alone.logvar[0], abs=1e-4)


def test_a_decode_has_a_row_per_latent(loaded: LoadedVersion) -> None:
    latents = np.arange(3 * loaded.latent, dtype=np.float64).reshape(3, -1) / 100
    options = Options(0.5, tokens_max=9)
    plan = planned(loaded, DecodeRequest(latents, options, SEED, FIRST))
    assert addresses(plan) == [(0, FIRST, 0), (1, FIRST + 1, 0), (2, FIRST + 2, 0)]
    assert {(row.tokens_max, row.options, row.targets) for row in plan.rows} == {(9, options, None)}
    assert np.array_equal([row.latent for row in plan.rows], latents.astype(np.float32))
    texts = (SHORT, LONG, SHORT)
    result = plan.finish(list(map(finished, plan.rows, ids(loaded, *texts))))
    assert plan.tokens_read == 0
    assert [one.text for one in result.sentences] == list(texts)
    assert np.array_equal(result.latents, latents.astype(np.float32))


def test_without_a_token_limit_of_its_own_a_row_has_that_of_the_server(
    loaded: LoadedVersion,
) -> None:
    rows = planned(loaded, SampleRequest(2, seed=SEED)).rows
    assert {row.tokens_max for row in rows} == {40}
    assert {row.options for row in rows} == {GREEDY}


def test_a_sentence_of_a_beam_has_the_alternatives_that_are_requested(
    loaded: LoadedVersion,
) -> None:
    options = Options(beam=4, alternatives=2)
    plan = planned(loaded, SampleRequest(2, options=options, seed=SEED))
    first, second, third, fourth = map(tuple, ids(loaded, SHORT, LONG, SHORT, LONG))
    others = tuple(Hypothesis(*one) for one in ((second, -2.0, True), (third, -3.0), (fourth, -4)))
    beam = finished(plan.rows[0], list(first), -1.5)._replace(others=others)
    few = finished(plan.rows[1], list(second))._replace(ended=False, others=others[:1])
    best, cut = plan.finish([beam, few]).sentences
    assert (best.text, best.log_prob, best.tokens, best.ended) == (SHORT, -1.5, len(first), True)
    assert [(one.text, one.log_prob, one.ended) for one in best.alternatives] == [
        (LONG, -2.0, True),
        (SHORT, -3.0, False),
    ]
    assert (cut.text, cut.ended, len(cut.alternatives)) == (LONG, False, 1)


def test_samples_of_the_standard_prior_are_scaled_noise(loaded: LoadedVersion) -> None:
    request = SampleRequest(3, "standard", 1.5, seed=SEED, first_index=FIRST)
    plan = planned(loaded, request)
    result = plan.finish([finished(row, [5]) for row in plan.rows])
    expected = 1.5 * noise([FIRST, FIRST + 1, FIRST + 2], [0, 0, 0], loaded.latent)
    assert np.array_equal(result.latents, expected.astype(np.float32))
    assert addresses(plan) == [(0, FIRST, 0), (1, FIRST + 1, 0), (2, FIRST + 2, 0)]
    assert np.array_equal([row.latent for row in plan.rows], result.latents)
    assert (result.prior, plan.tokens_read) == ("standard", 0)


def test_samples_of_the_fitted_prior_draw_a_component_each(loaded: LoadedVersion) -> None:
    assert loaded.prior is not None
    items = np.arange(FIRST, FIRST + 50, dtype=np.uint64)
    zeros, seeds = np.zeros_like(items), np.full_like(items, SEED)
    components = uniforms(seeds, items, zeros, zeros, Purpose.COMPONENT)
    epsilon = normals(SEED, items, zeros, loaded.latent)
    expected = loaded.prior.draw(components, epsilon, 0.7)
    for prior in ("fitted", "auto"):
        plan = planned(loaded, SampleRequest(50, prior, 0.7, seed=SEED, first_index=FIRST))
        result = plan.finish([finished(row, [5]) for row in plan.rows])
        assert np.array_equal(result.latents, expected)
        assert result.prior == "fitted"


def test_a_version_without_a_fitted_prior_samples_the_standard_one(loaded: LoadedVersion) -> None:
    bare = loaded._replace(prior=None)
    plan = planned(bare, SampleRequest(1))
    assert plan.finish([finished(plan.rows[0], [5])]).prior == "standard"
    with pytest.raises(InputError, match=r"^prior: this version has no fitted prior"):
        planned(bare, SampleRequest(1, "fitted"))


def test_a_path_runs_through_its_sentences_and_latents_in_order(loaded: LoadedVersion) -> None:
    middle = np.linspace(-1, 1, loaded.latent, dtype=np.float32)
    request = InterpolateRequest((SHORT, middle, LONG), 5, seed=SEED, first_index=FIRST)
    plan = planned(loaded, request)
    mean = loaded.posteriors(ids(loaded, SHORT, LONG)).mean
    result = plan.finish([finished(row, [5]) for row in plan.rows])
    assert np.array_equal(result.latents[::2], [mean[0], middle, mean[1]])
    assert result.latents[1] == pytest.approx((mean[0] + middle) / 2, abs=1e-6)
    assert result.positions == [0, 0.25, 0.5, 0.75, 1]
    assert addresses(plan) == [(step, FIRST + step, 0) for step in range(5)]
    assert plan.tokens_read == sum(map(len, ids(loaded, SHORT, LONG)))
    with pytest.raises(InputError, match=r"^points\[1\].latents: must have 16 columns, got 3"):
        planned(loaded, InterpolateRequest((SHORT, middle[:3]), 5))


def test_errors_of_tokens_name_the_field_of_their_sentence(loaded: LoadedVersion) -> None:
    count = len(ids(loaded, LONG)[0])
    exact, fewer = LIMITS._replace(tokens_max=count), LIMITS._replace(tokens_max=count - 1)
    planned(loaded, EncodeRequest((LONG,)), exact)
    message = rf"^sentences\[1\]: must be at most {count - 1} tokens, got {count}; shorten"
    for request in (EncodeRequest, ScoreRequest):
        with pytest.raises(InputError, match=message):
            planned(loaded, request((SHORT, LONG)), fewer)
    with pytest.raises(InputError, match=message):
        planned(loaded, ParaphraseRequest((SHORT, LONG), 1), fewer)
    with pytest.raises(InputError, match=r"^points\[1\].sentence: must be at most"):
        planned(loaded, InterpolateRequest((SHORT, LONG), 5), fewer)


def test_variations_are_draws_about_each_mean_with_the_nearest_first(
    loaded: LoadedVersion,
) -> None:
    request = ParaphraseRequest((SHORT, LONG), 3, 2.0, seed=SEED, first_index=FIRST)
    plan = planned(loaded, request)
    numbers = [(0, FIRST, 0), (1, FIRST, 1), (2, FIRST, 2)]
    assert addresses(plan) == numbers + [(3 + n, item + 1, draw) for n, item, draw in numbers]
    texts = ["one", "two", "three", "four", "five", "six"]
    result = plan.finish(list(map(finished, plan.rows, ids(loaded, *texts))))
    mean, logvar = loaded.posteriors(ids(loaded, SHORT, LONG))
    assert result.method == "draw"
    for number, each in enumerate(result.results):
        epsilon = noise([FIRST + number] * 3, [0, 1, 2], loaded.latent)
        expected = mean[number] + 2 * np.exp(0.5 * logvar[number]) * epsilon
        lengths = 2 * np.sqrt((epsilon**2).mean(1))
        order = np.argsort(lengths)
        assert each.latents == pytest.approx(expected[order], abs=1e-5)
        assert np.array_equal(each.latents, [one.latent for one in each.variations])
        distances = [one.distance for one in each.variations]
        assert distances == pytest.approx(lengths[order], rel=1e-4)
        found = [one.sentence.text for one in each.variations]
        assert found == [texts[3 * number + index] for index in order]
        assert {one.axes for one in each.variations} == {None}
        assert (each.missing, each.source_fluency) == ([], 0.0)
    assert plan.tokens_read == sum(map(len, ids(loaded, SHORT, LONG)))


def test_distinct_variations_leave_out_the_sentence_and_repeats(loaded: LoadedVersion) -> None:
    plan = planned(loaded, ParaphraseRequest((f" {SHORT} ", LONG), 4, distinct=True, seed=SEED))
    texts = [SHORT, LONG, LONG, "other", SHORT, LONG, LONG, "other"]
    result = plan.finish(list(map(finished, plan.rows, ids(loaded, *texts))))
    found = [sorted(one.sentence.text for one in each.variations) for each in result.results]
    assert found == [sorted([LONG, "other"]), sorted([SHORT, "other"])]
    for each in result.results:
        distances = [one.distance for one in each.variations]
        assert len(each.latents) == len(distances) == 2
        assert distances == sorted(distances)
    plan = planned(loaded, ParaphraseRequest((SHORT,), 2, distinct=True, seed=SEED))
    result = plan.finish([finished(row, ids(loaded, SHORT)[0]) for row in plan.rows])
    assert [each.variations for each in result.results] == [[]]
    assert result.results[0].latents.shape == (0, loaded.latent)


def test_scores_are_those_of_the_formulas(loaded: LoadedVersion) -> None:
    """By torch's own distributions, for made-up log-likelihoods of the rows."""
    plan = planned(loaded, ScoreRequest((SHORT, LONG), 3, SEED, FIRST))
    encoded = ids(loaded, SHORT, LONG)
    assert [row.targets for row in plan.rows] == [tuple(one) for one in encoded for _ in range(3)]
    assert addresses(plan)[1:5] == [(n, FIRST + n // 3, n % 3) for n in range(1, 5)]
    likelihood = torch.tensor([[-20.0, -25.5, -21.0], [-40.0, -38.5, -60.0]], dtype=torch.float64)
    pairs = zip(plan.rows, likelihood.flatten().tolist(), strict=True)
    result = plan.finish([finished(row, [], log_prob) for row, log_prob in pairs])
    mean, logvar = (torch.from_numpy(part).double() for part in loaded.posteriors(encoded))
    posterior = Independent(Normal(mean, torch.exp(0.5 * logvar)), 1)
    prior = Independent(Normal(torch.zeros_like(mean), torch.ones_like(mean)), 1)
    latents = torch.from_numpy(np.stack([row.latent for row in plan.rows])).double()
    latents = latents.reshape(2, 3, -1).transpose(0, 1)
    weights = likelihood.T + prior.log_prob(latents) - posterior.log_prob(latents)
    iw_nll = np.log(3) - torch.logsumexp(weights, 0)
    kl = kl_divergence(posterior, prior)
    assert result.iw_nll_nats == pytest.approx(iw_nll.numpy(), rel=1e-6)
    assert result.kl_nats == pytest.approx(kl.numpy(), rel=1e-6)
    assert result.reconstruction_nats == pytest.approx(-likelihood.mean(1).numpy())
    assert result.elbo_nats == pytest.approx((likelihood.mean(1) - kl).numpy(), rel=1e-6)
    assert result.tokens.tolist() == [len(one) for one in encoded]
    assert plan.tokens_read == sum(map(len, encoded))


def test_any_number_of_items_is_answered_in_requests_of_the_limit() -> None:
    """In order, and with the index of their first item."""
    limits = LIMITS._replace(sentences_max=2)
    encodes: list[EncodeRequest] = []
    decodes: list[DecodeRequest] = []

    def encode(request: EncodeRequest) -> EncodeResult:
        encodes.append(request)
        numbers = np.array([[float(text)] for text in request.sentences])
        return EncodeResult(numbers, numbers + 10, numbers + 20)

    def decode(request: DecodeRequest) -> DecodeResult:
        decodes.append(request)
        return DecodeResult(request.latents[:, 0].tolist(), request.latents)

    result = encode_all(encode, limits, list("01234"), SEED)
    assert [part[:, 0].tolist() for part in result] == [
        [0, 1, 2, 3, 4],
        [10, 11, 12, 13, 14],
        [20, 21, 22, 23, 24],
    ]
    assert encodes == [
        EncodeRequest(("0", "1"), 1, SEED, 0),
        EncodeRequest(("2", "3"), 1, SEED, 2),
        EncodeRequest(("4",), 1, SEED, 4),
    ]
    assert decode_all(decode, limits, result.mean) == [0, 1, 2, 3, 4]
    assert [len(request.latents) for request in decodes] == [2, 2, 1]
    assert {request.options for request in decodes} == {GREEDY}
