"""The planning of a request: sentences to encode, rows for the decoder, the answer from both.

Here is what the operations share; each has its own planning in `engine/operations/`.
"""

import itertools
from collections.abc import Callable, Generator
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np

from textvae.decode.beam import Hypothesis
from textvae.decode.counter import CounterFunctions, normals
from textvae.decode.rows import FinishedRow, Row
from textvae.engine.answers import GeneratedSentence
from textvae.engine.limits import Limits
from textvae.engine.reading import Reading
from textvae.options import Options
from textvae.text.tokenizer import Tokenizer

Answer = TypeVar("Answer")


class Outcome(NamedTuple, Generic[Answer]):
    """What the planning of a request ends with."""

    answer: Answer
    tokens_read: int


Stage = list[Row] | Reading | None
"""What a planning yields: rows to write, sentences to read, or None."""

Steps = Generator[Stage, Any, Answer]
"""A part of a planning."""

Planning = Steps[Outcome[Answer]]
"""Does the work of a request in stages, between which other requests have theirs.

It yields a list of rows, numbered from 0, to have them written, and is sent the finished rows in
that order; a reading, and is sent its results as an array, in the order of its sentences; or None,
where it has worked for long enough that others should have a turn. It may do each any number of
times, then returns its outcome; it may raise InputError.
"""


def advance(
    planning: Planning[Any],
    found: list[FinishedRow] | np.ndarray | None,
    blank: Callable[[Reading], np.ndarray],
) -> Stage:
    """Advance a planning to its next stage that has anything to read or to write.

    `found`: what it waited for; None where that was its turn. `blank` makes the results of no
    sentences. Raises StopIteration with the outcome, and whatever the planning raises.
    """
    stage = next(planning) if found is None else planning.send(found)
    while stage is not None and not (stage.ids if isinstance(stage, Reading) else stage):
        stage = planning.send(blank(stage) if isinstance(stage, Reading) else [])
    if isinstance(stage, list):
        numbers = [row.number for row in stage]
        assert numbers == list(range(len(stage))), f"rows are numbered from 0, not {numbers}"
    return stage


def name_sentences(sentences: tuple[str, ...]) -> dict[str, str]:
    """Return the sentences by their field names, which errors name."""
    return {f"sentences[{number}]": sentence for number, sentence in enumerate(sentences)}


class Address(NamedTuple):
    """Address of a request's random numbers; see `decode/counter.py`."""

    seed: int
    first_index: int
    """Number of the first item among all items of the caller."""


def draw_latents(
    mean: np.ndarray,
    logvar: np.ndarray,
    count: int,
    address: Address,
    library: CounterFunctions | None,
    radius: float = 1.0,
    first: int = 0,
) -> np.ndarray:
    """(n, latent) twice -> (n * count, latent): z = mu + radius * sigma * epsilon.

    epsilon ~ N(0, I) (Kingma & Welling 2014, section 2.4). The draws of a sentence are adjacent;
    `first` is the number of the first.
    """
    if not count:
        return np.empty((0, mean.shape[1]), np.float32)
    items = np.repeat(address.first_index + np.arange(len(mean), dtype=np.uint64), count)
    numbers = np.tile(first + np.arange(count, dtype=np.uint64), len(mean))
    noise = normals(address.seed, items, numbers, mean.shape[1], library)
    deviation = np.exp(0.5 * logvar.astype(np.float64))
    latents = np.repeat(mean, count, 0) + radius * np.repeat(deviation, count, 0) * noise
    return latents.astype(np.float32)


def decoder_rows(
    owner: object,
    latents: np.ndarray,
    address: Address,
    options: Options,
    limits: Limits,
    draws: int = 1,
) -> list[Row]:
    """(n, latent) -> n rows; `draws` adjacent rows belong to one item."""
    tokens_max = options.tokens_max or limits.tokens_max
    return [
        Row(
            owner,
            number,
            latent,
            tokens_max,
            options,
            address.seed,
            address.first_index + number // draws,
            number % draws,
        )
        for number, latent in enumerate(latents)
    ]


def generated_sentences(
    tokenizer: Tokenizer, done: list[FinishedRow], options: Options
) -> list[GeneratedSentence]:
    """Return the sentences of the rows, each with the alternatives that the options request."""
    beams = [
        [
            Hypothesis(tuple(row.tokens), row.log_prob, row.ended),
            *row.others[: options.alternatives],
        ]
        for row in done
    ]
    flat = [hypothesis for beam in beams for hypothesis in beam]
    texts = tokenizer.decode([list(hypothesis.tokens) for hypothesis in flat])
    sentences = iter(
        GeneratedSentence(text, hypothesis.log_prob, len(hypothesis.tokens), hypothesis.ended)
        for text, hypothesis in zip(texts, flat, strict=True)
    )
    return [
        next(sentences)._replace(alternatives=tuple(itertools.islice(sentences, len(beam) - 1)))
        for beam in beams
    ]
