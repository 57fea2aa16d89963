"""A demonstration of a running server: its operations on a set of sentences, through a client."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from textvae.client import Client, Options
from textvae.client.results import Axes, GeneratedSentence
from textvae.config.evaluation import CANDIDATES, CANDIDATES_RADIUS, CANDIDATES_TEMPERATURE

SEED = 0
RECONSTRUCTIONS, SAMPLES, STEPS = 10, 10, 7
SOURCES, SOURCE_WORDS_MIN, VARIATIONS = 5, 6, 3
"""Sentences that are varied: the first that have as many words, since of three words little can be
said otherwise."""
CLOSENESS = 0.3
"""How faithful the chosen variations are; the candidates are drawn as those that are measured."""


class JudgedVariation(NamedTuple):
    """A variation and the axes that it was chosen by."""

    text: str
    adequacy: float
    """Nats a token by which it and its sentence make each other likelier."""
    fluency: float
    """Nats a token under the language model; lower is more fluent."""
    new_words: float
    """Share of its words that its sentence does not have."""


class Show(NamedTuple):
    """The sentences of a demonstration; the same seeds give the same."""

    reconstructions: list[tuple[str, str]]
    """(sentence, its reconstruction)"""
    samples: list[str]
    """Of the fitted prior."""
    homotopies: list[list[str]]
    variations: list[tuple[str, list[JudgedVariation]]]
    """(sentence, its variations, the best first)"""
    method: str
    """How the variations were made: rephrase, or draw where no sentence had a sibling."""
    homotopy_ends_are_reconstructions: bool
    distinct_share: float
    """Of the greedy decodes of `distinct_draws` samples of the fitted prior."""
    distinct_draws: int


def request_show(client: Client, sentences: Sequence[str], draws: int) -> Show:
    """Call the server with the first held-out `sentences`: 10 are reconstructed, 4 are ends of
    homotopies, and the first 5 of six words or more are varied."""
    chosen = list(sentences[:RECONSTRUCTIONS])
    encoded = client.encode(chosen)
    reconstructions = [one.text for one in client.decode(encoded.mean).sentences]
    pairs = list(zip(chosen[0:4:2], chosen[1:4:2], strict=False))
    paths = [
        [one.text for one in client.interpolate(pair, STEPS, seed=SEED).sentences] for pair in pairs
    ]
    # Stable, so that shorter sentences follow where there are not enough.
    sources = sorted(sentences, key=lambda one: len(one.split()) < SOURCE_WORDS_MIN)[:SOURCES]
    varied = client.paraphrase(
        sources,
        VARIATIONS,
        radius=CANDIDATES_RADIUS,
        options=Options(temperature=CANDIDATES_TEMPERATURE),
        candidates=CANDIDATES,
        closeness=CLOSENESS,
        seed=SEED,
    )
    samples = [one.text for one in client.sample(draws, prior="fitted", seed=SEED).sentences]
    ends = [
        path[0] == reconstructions[2 * number] and path[-1] == reconstructions[2 * number + 1]
        for number, path in enumerate(paths)
    ]
    return Show(
        list(zip(chosen, reconstructions, strict=True)),
        samples[:SAMPLES],
        paths,
        [
            (sentence, list(map(_judged, each.sentences, each.axes)))
            for sentence, each in zip(sources, varied.variations, strict=True)
        ],
        varied.method,
        all(ends),
        len(set(samples)) / len(samples),
        len(samples),
    )


def print_show(show: Show, console: Console) -> None:
    """Print the demonstration as tables."""
    table = _table("Reconstructions: encode, then decode", "sentence", "reconstruction")
    for pair in show.reconstructions:
        table.add_row(*pair)
    console.print(table)
    table = _table("Samples of the fitted prior", "")
    for sample in show.samples:
        table.add_row(sample)
    console.print(table)
    for path in show.homotopies:
        table = _table("Homotopy: from one sentence to another", "step", "sentence")
        for step, sentence in enumerate(path):
            table.add_row(f"{step}/{len(path) - 1}", sentence)
        console.print(table)
    console.print(_variation_table(show))


def _judged(sentence: GeneratedSentence, axes: Axes) -> JudgedVariation:
    """Return a variation with its axes."""
    return JudgedVariation(sentence.text, axes.adequacy, axes.fluency, axes.new_words)


def _variation_table(show: Show) -> Table:
    """Return the variations with their axes, in nats a token and shares."""
    title = f"Variations ({show.method}), judged in nats a token: the best of {CANDIDATES} each"
    table = _table(title, "sentence", "variation")
    for axis in ("adequacy", "fluency", "new words"):
        table.add_column(axis, justify="right", min_width=min(len(axis), 8))
    for sentence, variations in show.variations:
        for number, one in enumerate(variations):
            axes = (f"{one.adequacy:.2f}", f"{one.fluency:.2f}", f"{one.new_words:.0%}")
            table.add_row("" if number else sentence, one.text, *axes)
    return table


def report_of(show: Show, figures: dict[str, Any], data: dict[str, Any]) -> dict[str, Any]:
    """Return the contents of the demo's report.json."""
    return {"data": data, "figures": figures, "show": show._asdict()}


def _table(title: str, *columns: str) -> Table:
    """Return an empty table; text wraps and is never cut."""
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
