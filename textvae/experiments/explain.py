"""The article's three models: one recipe without the KL, with the KL alone, and with both.

They learn the toy grammar, whose parser decides whether a sentence is valid, in a latent of two
dimensions, so that a map shows all of it. The label of a sentence is its polarity: with any seed a
latent that is used at all separates it. Which other factors it encodes differs from seed to seed,
and four or five nats are not enough for all of them.
"""

import dataclasses
import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch

from textvae.corpus import toy_grammar as grammar
from textvae.corpus.spans import Corpus
from textvae.decode.rows import Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine.load import LoadedVersion
from textvae.errors import InputError
from textvae.latent.statistics import latent_statistics
from textvae.model.exact import BUCKETS, ExactDecoder, ExactEncoder
from textvae.model.network import SentenceVae
from textvae.progress import ProgressCallback
from textvae.reporting.plots import Panel
from textvae.text.sentence import Sentence
from textvae.text.tokenizer import EOS, Tokenizer
from textvae.training.recipe import Recipe
from textvae.training.run import run_name, train_vae
from textvae.training.tokenized_corpus import TokenizedCorpus, tokenize_corpus

log = logging.getLogger(__name__)

Objective = Literal["autoencoder", "kl-only", "vae"]
TITLES: dict[Objective, str] = {
    "autoencoder": "Reconstruction only",
    "kl-only": "KL only",
    "vae": "Both",
}

# The labels in the figure; "positive" is the grammatical polarity.
POLARITIES = {"positive": "positive (wrote)", "negative": "negative (did not write)"}

NOTE = "A point is a held-out sentence as its latent reaches the decoder."

# Enough for the KL controller and for a map; the other 18,236 are for training.
VALID_SENTENCES, MAP_SENTENCES = 500, 2000

NEIGHBOURS = 10
PRIOR_DRAWS = 1000


class MapFigures(NamedTuple):
    """The figures of a map, over the held-out sentences that it shows."""

    means_rms: float
    """Root mean square of the posterior means, over sentences and dimensions; the prior's is 1."""
    sigma_mean: float
    """Standard deviation of the posteriors, over the same; an autoencoder does not learn it."""
    purity_share: float
    """Share of each point's ten nearest neighbours that have its label."""
    chance_share: float
    """The share that is expected where the latent is independent of the label."""
    valid_share: float
    """Share of the greedy decodes of standard normal samples that the grammar parses."""
    kl_nats: float
    """KL to the standard normal, in nats per sentence."""


class LatentMap(NamedTuple):
    """The latent space of one model."""

    latents: np.ndarray
    """(sentences, 2) as the decoder reads them: a sample of each posterior, or its mean where there
    is no noise. Means alone would show order under KL alone, a thousandth of a sigma wide."""
    labels: list[str]
    """Of each sentence."""
    figures: MapFigures


def explain(
    recipe: Recipe, runs: Path, on_progress: ProgressCallback
) -> dict[Objective, LatentMap]:
    """Train the recipe with each of the three objectives and nothing else changed; map each latent.

    Resumes from the checkpoints under `runs`. Raises InputError where the latent is not 2 wide,
    and what training raises.
    """
    if recipe.model.latent != 2:
        raise InputError("model.latent", f"must be 2 for a map, got {recipe.model.latent}")
    if recipe.training.objective != "vae":
        log.warning("training.objective has no effect: all three are trained")
    corpus = article_corpus(recipe.training.seed)
    run = runs / run_name(recipe, corpus, "")
    recipe = recipe.in_steps(len(corpus.train))
    tokenized = tokenize_corpus(recipe, corpus, run)
    return {
        objective: _latent_map(recipe_of(recipe, objective), corpus, tokenized, run, on_progress)
        for objective in TITLES
    }


def article_corpus(seed: int) -> Corpus:
    """Return all 20,736 sentences of the toy grammar, split by the seed; label = polarity."""
    rows = [
        Sentence(grammar.sentence(factors), factors.polarity) for factors in grammar.all_factors()
    ]
    order = np.random.default_rng(seed).permutation(len(rows))
    shuffled = [rows[index] for index in order]
    valid, rest = shuffled[:VALID_SENTENCES], shuffled[VALID_SENTENCES:]
    text = "\n".join(row.text for row in shuffled)
    return Corpus(
        rest[MAP_SENTENCES:],
        valid,
        rest[:MAP_SENTENCES],
        ("grammar",),
        (hashlib.sha256(text.encode()).hexdigest(),),
    )


def recipe_of(recipe: Recipe, objective: Objective) -> Recipe:
    """Return the recipe with this objective."""
    # Without reconstruction the posterior must collapse, and this model shows just that.
    stops = recipe.training.collapse_stops and objective != "kl-only"
    training = dataclasses.replace(recipe.training, objective=objective, collapse_stops=stops)
    return recipe._replace(training=training).resolve()


def panels(maps: Mapping[Objective, LatentMap]) -> list[Panel]:
    """Return the panels of a figure of the maps."""
    return [
        Panel(
            TITLES[objective],
            found.latents,
            [POLARITIES[label] for label in found.labels],
            _panel_figures(objective, found.figures),
        )
        for objective, found in maps.items()
    ]


def means_rms(means: np.ndarray) -> float:
    """(n, latent) -> root mean square of all values."""
    return float(np.sqrt(np.mean(np.square(means, dtype=np.float64))))


def neighbour_purity(latents: np.ndarray, labels: Sequence[str], neighbours: int) -> float:
    """(n, latent), n labels -> mean share of a point's nearest others that have its label, 0 to 1.

    By Euclidean distance; `neighbours` is at most n - 1.
    """
    from sklearn.neighbors import NearestNeighbors

    # Without an argument, kneighbors never counts a point among its own neighbours.
    nearest = (
        NearestNeighbors(n_neighbors=neighbours).fit(latents).kneighbors(return_distance=False)
    )
    kinds = np.unique(np.asarray(labels), return_inverse=True)[1]
    return float(np.mean(kinds[nearest] == kinds[:, None]))


def chance_purity(labels: Sequence[str]) -> float:
    """Return the purity expected of points without order: the sum of the squared label shares."""
    counts = np.unique(np.asarray(labels), return_counts=True)[1]
    return float(np.sum((counts / len(labels)) ** 2))


def valid_share(texts: Sequence[str]) -> float:
    """Return the share of the texts that are sentences of the toy grammar, 0 to 1."""
    return sum(grammar.parse(text) is not None for text in texts) / len(texts)


def _latent_map(
    recipe: Recipe,
    corpus: Corpus,
    tokenized: TokenizedCorpus,
    run: Path,
    on_progress: ProgressCallback,
) -> LatentMap:
    """Train one of the three models and map the latents of its held-out sentences."""
    objective, seed = recipe.training.objective, recipe.training.seed

    def on_step(
        _: str, done: int, steps: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        on_progress(objective, done, steps, figures)

    if objective == "kl-only":
        log.info("kl-only: the posterior is expected to collapse, and warnings below say so")
    vae = train_vae(recipe, tokenized, run / objective, on_step)
    loaded = _load_network(vae, Tokenizer(tokenized.tokenizer))
    encoded = loaded.tokenizer.encode([row.text for row in corpus.test])
    mean, logvar = loaded.posteriors(encoded)
    labels = [row.label for row in corpus.test]
    # A decode that is cut at twice the longest sentence is not valid.
    tokens_max = 2 * max(map(len, encoded))
    # The same for all three, so that only the networks differ.
    generator = np.random.default_rng(seed)
    prior = generator.standard_normal((PRIOR_DRAWS, 2), np.float32)
    noise = generator.standard_normal(mean.shape, np.float32)
    latents = mean if objective == "autoencoder" else mean + np.exp(0.5 * logvar) * noise
    figures = MapFigures(
        means_rms(mean),
        float(np.exp(0.5 * logvar).mean()),
        neighbour_purity(latents, labels, NEIGHBOURS),
        chance_purity(labels),
        valid_share(_decode_greedily(loaded, prior, tokens_max)),
        float(latent_statistics(mean, logvar, mean).kl_nats.sum()),
    )
    return LatentMap(latents, labels, figures)


def _load_network(vae: SentenceVae, tokenizer: Tokenizer) -> LoadedVersion:
    """Return a trained network as the engine computes it."""
    with torch.inference_mode():
        return LoadedVersion(
            tokenizer, ExactEncoder(vae), ExactDecoder(vae), vae.decoder.latent, None
        )


def _decode_greedily(loaded: LoadedVersion, latents: np.ndarray, tokens_max: int) -> list[str]:
    """(n, latent) -> the greedy sentence of each, of at most so many tokens.

    Greedy, so that an invalid sentence is due to the latent alone.
    """
    slots = Slots(loaded.decoder, SpecialIds(EOS, Tokenizer.forbidden), BUCKETS)
    tokens: list[list[int]] = [[] for _ in latents]
    with torch.inference_mode():
        for first in range(0, len(latents), slots.capacity):
            part = latents[first : first + slots.capacity]
            slots.admit(
                [Row(None, number, row, tokens_max) for number, row in enumerate(part, first)]
            )
            for _ in range(tokens_max):
                for finished in slots.step():
                    tokens[finished.row.number] = finished.tokens
    return loaded.tokenizer.decode(tokens)


def _panel_figures(objective: Objective, figures: MapFigures) -> list[tuple[str, str]]:
    """Return the names and values under a map, a pair a line."""
    sigma = f"{figures.sigma_mean:.2f}"
    purity, chance = figures.purity_share, figures.chance_share
    return [
        ("RMS of the means", f"{figures.means_rms:.2f}"),
        ("mean sigma", f"{sigma} (not learned)" if objective == "autoencoder" else sigma),
        ("neighbour purity", f"{purity:.0%} (chance {chance:.0%})"),
        ("valid draws of the prior", f"{figures.valid_share:.0%}"),
        ("KL to the prior", f"{figures.kl_nats:.2f} nats"),
    ]
