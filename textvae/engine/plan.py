"""A request as work: what is encoded first, rows for the decoder, the answer made of them.

What the operations share; each has its own plan in `engine/operations/`.
"""

import itertools
from collections.abc import Callable, Generator
from typing import Generic, NamedTuple, TypeVar

import numpy as np

from textvae.decode.beam import Hypothesis
from textvae.decode.counter import CounterFunctions, normals
from textvae.decode.rows import FinishedRow, Row
from textvae.engine.answers import GeneratedSentence
from textvae.engine.limits import Limits
from textvae.options import Options
from textvae.text.tokenizer import Tokenizer

Answer = TypeVar("Answer")


class Plan(NamedTuple, Generic[Answer]):
    """A request's work."""

    rows: list[Row]
    finish: Callable[[list[FinishedRow]], Answer]
    """From the finished rows, in the order of `rows`, to the answer."""
    tokens_read: int


Planning = Generator[None, None, Plan[Answer]]
"""Yields before each bucket of sentences that is encoded, ends with the plan; may raise
InputError."""


def name_sentences(sentences: tuple[str, ...]) -> dict[str, str]:
    """The sentences by the name that an error calls them."""
    return {f"sentences[{number}]": sentence for number, sentence in enumerate(sentences)}


class Address(NamedTuple):
    """Where the random numbers of a request lie; see `decode/counter.py`."""

    seed: int
    first_index: int
    """Number of the first item among all that the caller has."""


def draw_latents(
    mean: np.ndarray,
    logvar: np.ndarray,
    count: int,
    address: Address,
    library: CounterFunctions | None,
    radius: float = 1.0,
) -> np.ndarray:
    """(n, latent) twice -> (n * count, latent) draws about each mean, a sentence's in a row."""
    items = np.repeat(address.first_index + np.arange(len(mean), dtype=np.uint64), count)
    numbers = np.tile(np.arange(count, dtype=np.uint64), len(mean))
    noise = normals(address.seed, items, numbers, mean.shape[1], library)
    spread = np.exp(0.5 * logvar.astype(np.float64))
    drawn = np.repeat(mean, count, 0) + radius * np.repeat(spread, count, 0) * noise
    return drawn.astype(np.float32)


def decoder_rows(
    owner: object,
    latents: np.ndarray,
    address: Address,
    options: Options,
    limits: Limits,
    draws: int = 1,
) -> list[Row]:
    """A row for each latent; `draws` rows in a row belong to one item."""
    tokens_max = options.tokens_max or limits.tokens_max
    return [
        Row(
            owner,
            place,
            latent,
            tokens_max,
            options,
            address.seed,
            address.first_index + place // draws,
            place % draws,
        )
        for place, latent in enumerate(latents)
    ]


def generated_sentences(
    tokenizer: Tokenizer, done: list[FinishedRow], options: Options
) -> list[GeneratedSentence]:
    """The rows' sentences, with those of their beams that were asked for."""
    found = [
        [
            Hypothesis(tuple(row.tokens), row.log_prob, row.ended),
            *row.others[: options.alternatives],
        ]
        for row in done
    ]
    flat = [hypothesis for one in found for hypothesis in one]
    texts = tokenizer.decode([list(hypothesis.tokens) for hypothesis in flat])
    written = iter(
        GeneratedSentence(text, hypothesis.log_prob, len(hypothesis.tokens), hypothesis.ended)
        for text, hypothesis in zip(texts, flat, strict=True)
    )
    return [
        next(written)._replace(alternatives=tuple(itertools.islice(written, len(one) - 1)))
        for one in found
    ]
