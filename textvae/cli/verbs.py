"""What each command asks of a server for some of its items, and the rows of the answer."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from textvae.cli.items import Item
from textvae.cli.output import Row
from textvae.client import Client, Latents, latent_files
from textvae.client.calls import rows_a_sentence
from textvae.client.results import EncodeResult, Facts, GeneratedSentence, Variations
from textvae.options import SEARCH_STEPS, Constraints, Options

DISTINCT = "copy_or_repeat"
"""Why variations that --distinct left out are missing."""


class Part(NamedTuple):
    """The answer for some items."""

    rows: list[list[Row]]
    """For each item."""
    facts: Facts
    encoded: EncodeResult | None = None
    """The latents themselves, of encode."""


Ask = Callable[[Client, Sequence[Item], argparse.Namespace], Part]


class Verb(NamedTuple):
    """A command whose items are asked for in parts."""

    ask: Ask
    """Items in unbroken order in, their rows out; `flags.seed` is set."""
    cost: Callable[[argparse.Namespace], int]
    """Rows of the decoder that an item needs."""


def encode(client: Client, items: Sequence[Item], flags: argparse.Namespace) -> Part:
    """Ask for posteriors: a row per sentence."""
    sentences = [item.value for item in items]
    encoded = client.encode(
        sentences,
        logvar=flags.logvar,
        samples=flags.samples,
        seed=flags.seed,
        first_index=items[0].order,
    )
    if flags.output:
        return Part([[] for _ in items], encoded.facts, encoded)
    rows: list[Row] = [
        {"sentence": sentence, "mean": mean.tolist()}
        for sentence, mean in zip(sentences, encoded.mean.values, strict=True)
    ]
    for number, row in enumerate(rows):
        if encoded.logvar:
            row["logvar"] = encoded.logvar.values[number].tolist()
        if encoded.samples:
            start = number * flags.samples
            row["samples"] = encoded.samples.values[start : start + flags.samples].tolist()
    return Part([[row] for row in rows], encoded.facts, encoded)


def decoding(path: Path, part: str) -> tuple[Latents, Ask]:
    """Return the latents of a file, and what asks for the sentence of each."""
    latents = latent_files.load(path, part)

    def ask(client: Client, items: Sequence[Item], flags: argparse.Namespace) -> Part:
        chosen = latents._replace(values=latents.values[[item.value for item in items]])
        first = items[0].order
        decoded = client.decode(
            chosen, options=options_of(flags), seed=flags.seed, first_index=first
        )
        return Part([[row_of(sentence)] for sentence in decoded.sentences], decoded.facts)

    return latents, ask


def sample(client: Client, items: Sequence[Item], flags: argparse.Namespace) -> Part:
    """Ask for draws of a prior: a row per draw."""
    sampled = client.sample(
        len(items),
        prior=flags.prior,
        scale=flags.scale,
        options=options_of(flags),
        seed=flags.seed,
        first_index=items[0].order,
    )
    rows = [[row_of(sentence) | {"prior": sampled.prior}] for sentence in sampled.sentences]
    return Part(rows, sampled.facts)


def score(client: Client, items: Sequence[Item], flags: argparse.Namespace) -> Part:
    """Ask for scores: a row per sentence."""
    sentences = [item.value for item in items]
    samples, first = flags.importance_samples, items[0].order
    scored = client.score(sentences, importance_samples=samples, seed=flags.seed, first_index=first)
    columns = scored._asdict()
    del columns["facts"]
    rows = [
        [{"sentence": sentence} | {name: values[number].item() for name, values in columns.items()}]
        for number, sentence in enumerate(sentences)
    ]
    return Part(rows, scored.facts)


def paraphrase(client: Client, items: Sequence[Item], flags: argparse.Namespace) -> Part:
    """Ask for variations: a row each, and one with what is missing where there are too few."""
    varied = client.paraphrase(
        [item.value for item in items],
        flags.count,
        radius=flags.radius,
        distinct=flags.distinct,
        options=options_of(flags),
        method=flags.method,
        candidates=flags.candidates,
        closeness=flags.closeness,
        adequacy_min=flags.adequacy_min,
        fluency_max=flags.fluency_max,
        novelty_min=flags.novelty_min,
        constraints=_constraints(flags),
        search_steps=flags.search_steps,
        seed=flags.seed,
        first_index=items[0].order,
    )
    rows = [
        _variation_rows(item.value, each, flags.count)
        for item, each in zip(items, varied.variations, strict=True)
    ]
    return Part(rows, varied.facts)


def _variation_rows(sentence: str, variations: Variations, count: int) -> list[Row]:
    """Return a row per variation, with its axes where it was judged, and one of the missing."""
    judged: list[Row] = [axes._asdict() for axes in variations.axes]
    columns = zip(
        variations.sentences,
        judged or [{}] * len(variations.sentences),
        variations.distances,
        strict=True,
    )
    rows: list[Row] = [
        {"sentence": sentence, "distance": distance} | row_of(variation) | axes
        for variation, axes, distance in columns
    ]
    for row, locks in zip(rows, variations.locks, strict=True):
        if locks:
            row["locks"] = [lock._asdict() for lock in locks]
    # Where nothing is judged, only --distinct leaves any out, and the server names no reason.
    unnamed = count - len(rows) - len(variations.missing)
    missing = [*variations.missing, *[DISTINCT] * unnamed]
    return [*rows, {"sentence": sentence, "missing": missing}] if missing else rows


def _constraints(flags: argparse.Namespace) -> Constraints:
    """Return what every variation must hold."""
    return Constraints(
        words=tuple(flags.lock),
        patterns=tuple(flags.lock_pattern),
        slots=not flags.free_slots,
        numbers=flags.lock_numbers,
        capitalised=flags.lock_capitalised,
        banned=tuple(flags.ban),
        characters_min=flags.characters_min,
        characters_max=flags.characters_max,
        keep_case=flags.keep_case,
        keep_final_punctuation=flags.keep_final_punctuation,
    )


def row_of(sentence: GeneratedSentence) -> Row:
    """Return a generated sentence as columns."""
    row = sentence._asdict()
    others = [row_of(other) for other in row.pop("alternatives")]
    return {**row, "alternatives": others} if others else row


def options_of(flags: argparse.Namespace) -> Options:
    """Return the sampling options of the flags."""
    return Options(**{name: getattr(flags, name) for name in Options._fields})


def _variation_cost(flags: argparse.Namespace) -> int:
    """Return the rows for the variations of a sentence; each step of a search takes as many."""
    rows = rows_a_sentence(flags.count, options_of(flags), flags.method, flags.candidates)
    return rows * ((flags.search_steps or SEARCH_STEPS) if flags.method == "search" else 1)


def _generation_cost(flags: argparse.Namespace) -> int:
    """Return the rows for one generated sentence."""
    return options_of(flags).slots


ENCODE = Verb(encode, lambda flags: max(flags.samples, 1))
SAMPLE = Verb(sample, _generation_cost)
SCORE = Verb(score, lambda flags: max(flags.importance_samples, 1))
PARAPHRASE = Verb(paraphrase, _variation_cost)


def decode_verb(ask: Ask) -> Verb:
    """Return the command that asks so for latents."""
    return Verb(ask, _generation_cost)
