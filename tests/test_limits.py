"""The limits of requests: a value exactly at a limit is taken, the next one is refused."""

import math
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest

from textvae.config.serve import ServeConfig
from textvae.engine.limits import Limits, check_finite, check_width, limits_of
from textvae.engine.operations.decode import DecodeRequest
from textvae.engine.operations.encode import EncodeRequest
from textvae.engine.operations.interpolate import InterpolateRequest
from textvae.engine.operations.judge import JudgeRequest
from textvae.engine.operations.paraphrase import ParaphraseRequest
from textvae.engine.operations.sample import SampleRequest
from textvae.engine.operations.score import ScoreRequest
from textvae.engine.request import Request
from textvae.errors import InputError
from textvae.options import Constraints, Options

LIMITS = Limits(
    sentences_max=3,
    characters_max=5,
    tokens_max=7,
    count_max=6,
    steps_max=9,
    importance_samples_max=8,
    rows_max=12,
)
INDEX_MAX, SEED_MAX = 2**63 - 1, 2**64 - 1


def latents(rows: int, value: float = 0.0) -> np.ndarray:
    """(rows, 2) with `value` at the end."""
    values = np.zeros((rows, 2), np.float32)
    values[-1:, -1] = value
    return values


def path(points: int, steps: int, **fields: Any) -> InterpolateRequest:
    """A path through sentences."""
    return InterpolateRequest(("a",) * points, steps, **fields)


AT_THE_LIMIT: list[tuple[Request[Any], int]] = [
    (EncodeRequest(("abcde",) * 3), 3),
    (EncodeRequest(("a",) * 2, samples=6), 12),
    (EncodeRequest(("a",), samples=0, seed=SEED_MAX, first_index=INDEX_MAX), 1),
    (EncodeRequest(("a",), samples=1, seed=0, first_index=0), 1),
    (DecodeRequest(latents(1)), 1),
    (DecodeRequest(latents(3, 1e4), Options(beam=8)), 24),
    (DecodeRequest(latents(3, -1e4), seed=SEED_MAX, first_index=INDEX_MAX), 3),
    (SampleRequest(1, scale=0.0), 1),
    (SampleRequest(6, scale=10.0, options=Options(beam=2), seed=SEED_MAX), 12),
    (path(2, 2, first_index=INDEX_MAX), 2),
    (path(9, 9, options=Options(beam=3), seed=SEED_MAX), 27),
    (InterpolateRequest((np.full(2, -1e4), "abcde"), 3), 3),
    (ParaphraseRequest(("a",), 1, radius=0.0), 1),
    (ParaphraseRequest(("a",) * 2, 6, radius=10.0), 12),
    (ParaphraseRequest(("abcde",) * 3, 2, options=Options(beam=2), seed=SEED_MAX), 12),
    (ParaphraseRequest(("a",), 6, candidates=2), 12),
    (ParaphraseRequest(("a",), 3, method="rephrase"), 12),
    (ParaphraseRequest(("a",), 2, method="draw", adequacy_min=1e3, fluency_max=1e3), 2),
    (ParaphraseRequest(("a",), 1, closeness=0.0, novelty_min=1.0), 1),
    (ParaphraseRequest(("a",), 1, closeness=1.0, fluency_max=1e-9), 1),
    (JudgeRequest(("a",) * 3, ("abcde",) * 3), 6),
    (ScoreRequest(("a",), 1, seed=SEED_MAX), 1),
    (ScoreRequest(("a",), 8, first_index=INDEX_MAX), 8),
    (ScoreRequest(("abcde",) * 3, 4), 12),
]


@pytest.mark.parametrize(("request_", "rows"), AT_THE_LIMIT)
def test_a_request_at_its_limits_is_taken_and_costs_its_rows(
    request_: Request[Any], rows: int
) -> None:
    request_.check(LIMITS)
    assert request_.rows == rows


def test_a_request_is_greedy_with_seed_and_first_index_0_by_default() -> None:
    """And with the prior, the path, the scale and the radius that the contract states."""
    zeros = latents(1)
    assert EncodeRequest(("a",)) == EncodeRequest(("a",), 0, 0, 0)
    assert DecodeRequest(zeros) == DecodeRequest(zeros, Options(), 0, 0)
    assert SampleRequest(1) == SampleRequest(1, "auto", 1.0, Options(), 0, 0)
    assert path(2, 3) == InterpolateRequest(("a", "a"), 3, "lerp", Options(), 0, 0)
    ways = (1.0, False, Options(), "auto", 0, 0.5, 0.0, math.inf, 0.0, Constraints(), 0)
    assert ParaphraseRequest(("a",), 1) == ParaphraseRequest(("a",), 1, *ways, 0, 0)
    assert ScoreRequest(("a",)) == ScoreRequest(("a",), 100, 0, 0)


INDEX = f"must be 0 to {INDEX_MAX}, got {INDEX_MAX + 1}"
SEED = f"must be 0 to {SEED_MAX}, got {SEED_MAX + 1}"
BEYOND: list[tuple[Request[Any], str]] = [
    (EncodeRequest(()), "sentences: must be 1 to 3 sentences, got 0"),
    (EncodeRequest(("a",) * 4), "sentences: must be 1 to 3 sentences, got 4"),
    (
        EncodeRequest(("a", "abcdef")),
        "sentences[1]: must be at most 5 characters, got 6; shorten or split it",
    ),
    (EncodeRequest(("a",), samples=-1), "sample_count: must be 0 to 6, got -1"),
    (EncodeRequest(("a",), samples=7), "sample_count: must be 0 to 6, got 7"),
    (
        EncodeRequest(("a",) * 3, samples=5),
        "sample_count: times the number of sentences must be at most 12, got 15; "
        "send fewer sentences a call",
    ),
    (EncodeRequest(("a",), first_index=INDEX_MAX + 1), f"first_index: {INDEX}"),
    (EncodeRequest(("a",), seed=SEED_MAX + 1), f"seed: {SEED}"),
    (DecodeRequest(latents(0)), "latents: must be 1 to 3 rows, got 0"),
    (DecodeRequest(latents(4)), "latents: must be 1 to 3 rows, got 4"),
    (
        DecodeRequest(latents(2, 10001.0)),
        "latents[1]: values must be -10000 to 10000; encode again",
    ),
    (
        DecodeRequest(latents(2, -10001.0)),
        "latents[1]: values must be -10000 to 10000; encode again",
    ),
    (DecodeRequest(latents(1), Options(beam=9)), "beam: must be 0 to 8, got 9"),
    (DecodeRequest(latents(1), first_index=INDEX_MAX + 1), f"first_index: {INDEX}"),
    (SampleRequest(0), "count: must be 1 to 6, got 0"),
    (SampleRequest(7), "count: must be 1 to 6, got 7"),
    (SampleRequest(1, scale=-0.1), "scale: must be 0.0 to 10.0, got -0.1"),
    (SampleRequest(1, scale=10.1), "scale: must be 0.0 to 10.0, got 10.1"),
    (SampleRequest(1, options=Options(tokens_max=8)), "tokens_max: must be 0 to 7, got 8"),
    (SampleRequest(1, seed=SEED_MAX + 1), f"seed: {SEED}"),
    (path(1, 5), "points: must be 2 to 9 points, got 1"),
    (path(10, 9), "points: must be 2 to 9 points, got 10"),
    (path(3, 2), "steps: must be 3 to 9, got 2"),
    (path(2, 10), "steps: must be 2 to 9, got 10"),
    (path(2, 2, options=Options(tokens_max=8)), "tokens_max: must be 0 to 7, got 8"),
    (path(2, 2, seed=-1), f"seed: must be 0 to {SEED_MAX}, got -1"),
    (
        InterpolateRequest(("a", "abcdef"), 2),
        "points[1].sentence: must be at most 5 characters, got 6; shorten or split it",
    ),
    (
        InterpolateRequest(("a", np.array([0, math.inf])), 2),
        "points[1].latents: values must be finite, got NaN or infinity; encode again",
    ),
    (ParaphraseRequest(("a",) * 4, 1), "sentences: must be 1 to 3 sentences, got 4"),
    (ParaphraseRequest(("a",), 0), "count: must be 1 to 6, got 0"),
    (ParaphraseRequest(("a",), 7), "count: must be 1 to 6, got 7"),
    (
        ParaphraseRequest(("a",) * 3, 5),
        "count: times the number of sentences must be at most 12, got 15; "
        "send fewer sentences a call",
    ),
    (
        ParaphraseRequest(("a",) * 2, 4, options=Options(beam=2)),
        "count: times the number of sentences and the beam must be at most 12, got 16; "
        "send fewer sentences a call",
    ),
    (
        ParaphraseRequest(("a",) * 2, 2, method="rephrase"),
        "count: times the number of sentences and 4 candidates must be at most 12, got 16; "
        "send fewer sentences a call or ask for fewer candidates",
    ),
    (
        ParaphraseRequest(("a",), 1, candidates=7, options=Options(beam=2)),
        "count: times the number of sentences and 7 candidates and the beam must be at most 12, "
        "got 14; send fewer sentences a call or ask for fewer candidates",
    ),
    (ParaphraseRequest(("a",), 1, candidates=-1), "candidates: must be 0 to 64, got -1"),
    (ParaphraseRequest(("a",), 1, candidates=65), "candidates: must be 0 to 64, got 65"),
    (ParaphraseRequest(("a",), 1, closeness=-0.1), "closeness: must be 0.0 to 1.0, got -0.1"),
    (ParaphraseRequest(("a",), 1, closeness=math.nan), "closeness: must be 0.0 to 1.0, got nan"),
    (
        ParaphraseRequest(("a",), 1, adequacy_min=-1.0),
        "adequacy_min: must be 0.0 to 1000.0, got -1",
    ),
    (ParaphraseRequest(("a",), 1, adequacy_min=1001.0), "adequacy_min: must be 0.0 to 1000.0, got"),
    (
        ParaphraseRequest(("a",), 1, fluency_max=0.0),
        "fluency_max: must be above 0 and at most 1000.0, got 0.0; leave it unset for any",
    ),
    (ParaphraseRequest(("a",), 1, fluency_max=1001.0), "fluency_max: must be above 0 and at most"),
    (
        ParaphraseRequest(("a",), 1, fluency_max=math.nan),
        "fluency_max: must be above 0 and at most",
    ),
    (ParaphraseRequest(("a",), 1, novelty_min=1.1), "novelty_min: must be 0.0 to 1.0, got 1.1"),
    (ParaphraseRequest(("a",), 1, search_steps=101), "search_steps: must be 0 to 100, got 101"),
    (ParaphraseRequest(("a",), 1, radius=10.1), "radius: must be 0.0 to 10.0, got 10.1"),
    (ParaphraseRequest(("a",), 1, options=Options(11.0)), "temperature: must be 0.0 to 10.0, got"),
    (ParaphraseRequest(("a",), 1, first_index=-1), "first_index: must be 0 to"),
    (JudgeRequest(("a",), ("",)), "candidates[0]: must not be empty; send at least one character"),
    (JudgeRequest(("a",) * 2, ("a",)), "candidates: must be one for each of 2 sentences, got 1"),
    (ScoreRequest(()), "sentences: must be 1 to 3 sentences, got 0"),
    (ScoreRequest(("a",), 0), "importance_samples: must be 1 to 8, got 0"),
    (ScoreRequest(("a",), 9), "importance_samples: must be 1 to 8, got 9"),
    (
        ScoreRequest(("a",) * 2, 7),
        "importance_samples: times the number of sentences must be at most 12, got 14; "
        "send fewer sentences a call",
    ),
    (ScoreRequest(("a",), 1, seed=-1), f"seed: must be 0 to {SEED_MAX}, got -1"),
]


@pytest.mark.parametrize(("request_", "message"), BEYOND)
def test_a_request_beyond_a_limit_is_refused_with_field_and_limit(
    request_: Request[Any], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        request_.check(LIMITS)
    assert str(caught.value).startswith(message)


def test_sentences_alone_can_exceed_the_rows_of_a_call() -> None:
    with pytest.raises(InputError, match=r"sentences: times .* at most 2, got 3"):
        EncodeRequest(("a",) * 3).check(LIMITS._replace(rows_max=2))


def test_the_limits_are_those_of_the_settings() -> None:
    config = ServeConfig(
        sentences_max=3,
        characters_max=5,
        tokens_max=7,
        count_max=6,
        steps_max=9,
        importance_samples_max=8,
        waiting_rows_max=12,
    )
    assert limits_of(config) == LIMITS


@pytest.mark.parametrize("row", [0, 2])
def test_the_first_row_that_is_not_finite_is_named(row: int) -> None:
    values = latents(4, math.nan)
    values[row, 1] = -math.inf
    with pytest.raises(InputError, match=rf"^latents\[{row}\]: values must be finite, got NaN"):
        check_finite("latents", values)


def test_latents_have_the_width_of_the_version_and_become_contiguous_float32() -> None:
    checked = check_width("latents", np.zeros((2, 4))[:, ::2], 2)
    assert (checked.dtype, checked.shape) == (np.float32, (2, 2))
    assert checked.flags.c_contiguous
    for wrong, columns in ((np.zeros((2, 3)), 3), (np.zeros(2), 0), (np.zeros((1, 2, 2)), 0)):
        with pytest.raises(InputError, match=f"^latents: must have 2 columns, got {columns};"):
            check_width("latents", wrong, 2)


@pytest.mark.parametrize(
    ("field", "low", "high", "step"),
    [
        ("temperature", 0.0, 10.0, 0.01),
        ("top_k", 0, 2**63 - 1, 1),
        ("top_p", 0.001, 1.0, 0.001),
        ("tokens_max", 0, 7, 1),
        ("min_p", 0.0, 1.0, 0.001),
        ("no_repeat", 0, 7, 1),
        ("beam", 0, 8, 1),
    ],
)
def test_an_option_at_its_limits_is_taken_and_beyond_them_refused(
    field: str, low: float, high: float, step: float
) -> None:
    for value in (low, high):
        Options(**{field: value}).check(7)
    for value in (low - step, high + step, math.nan):
        with pytest.raises(InputError, match=f"^{field}: must be"):
            Options(**{field: value}).check(7)


def test_alternatives_are_fewer_than_the_beam_and_a_beam_does_not_draw() -> None:
    Options(beam=3, alternatives=2).check(7)
    Options(beam=1, temperature=0.5).check(7)
    for options in (
        Options(beam=3, alternatives=3),
        Options(beam=1, alternatives=1),
        Options(alternatives=1),
        Options(beam=3, alternatives=-1),
    ):
        with pytest.raises(InputError, match=r"^alternatives: must be 0 to"):
            options.check(7)
    with pytest.raises(InputError, match=r"^beam: must be 0 with a temperature"):
        Options(beam=2, temperature=0.1).check(7)


def test_a_sentence_takes_as_many_slots_as_its_beam_is_wide() -> None:
    assert [Options(beam=beam).slots for beam in (0, 1, 2, 8)] == [1, 1, 2, 8]


def test_every_option_has_its_type_and_help_text() -> None:
    for name, hint in get_type_hints(Options, include_extras=True).items():
        kind, words = get_args(hint)
        assert type(getattr(Options(), name)) is kind
        assert "%" not in words, "argparse formats help texts"
