"""Every figure of a version on held-out sentences, at KL weight 1 and without dropout."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import sacrebleu
import torch

from textvae.config import EvaluationConfig
from textvae.engine.engine import Engine
from textvae.engine.loaded import load_networks
from textvae.engine.requests import DecodeRequest, EncodeRequest, SampleRequest
from textvae.latent.statistics import latent_statistics
from textvae.model.bounds import bounds
from textvae.model.network import LanguageModel, SentenceVae
from textvae.store.versions import Version
from textvae.text.batches import TokenStore, gather, store_tokens
from textvae.text.tokenizer import Tokenizer

ROWS = 128
EXAMPLES = 10

Tell = Callable[[str, int, int], None]
"""Called with what is measured, parts done and parts in all."""


class Nats(NamedTuple):
    """(n,) nats of each held-out sentence."""

    reconstruction: np.ndarray
    kl: np.ndarray
    iw_nll: np.ndarray
    shuffled: np.ndarray
    language_model: np.ndarray


class Evaluation(NamedTuple):
    """What was found."""

    figures: dict[str, Any]
    """Named with their units; JSON values."""
    elbo_nats: list[float]
    """Of each sentence, in the order given: what the gate pairs with the champion's."""


def evaluate(
    version: Version,
    engine: Engine,
    sentences: Sequence[str],
    config: EvaluationConfig,
    tell: Tell = lambda what, done, parts: None,
) -> Evaluation:
    """Figures of a version whose `engine` is running; `sentences` are held out and normalised."""
    vae, language_model = load_networks(version)
    tokenizer = Tokenizer((version.folder / "tokenizer.model").read_bytes())
    stored = store_tokens(tokenizer.encode(list(sentences)), engine.limits.tokens_max).store
    nats = measure_nats(vae, language_model, stored, config, tell)
    encoded = encode_all(engine, sentences, config.seed)
    space = latent_statistics(encoded.mean, encoded.logvar, encoded.samples)
    words = sum(len(sentence.split()) for sentence in sentences)
    reconstructions = decode_all(engine, encoded.mean)
    draws = _prior_figures(engine, config)
    kl = float(nats.kl.mean())
    informed = float((nats.language_model - nats.reconstruction).mean())
    figures = {
        "sentences": len(sentences),
        "words_per_sentence": words / len(sentences),
        "reconstruction_nats": float(nats.reconstruction.mean()),
        "kl_nats": kl,
        "elbo_nats": -float((nats.reconstruction + nats.kl).mean()),
        "iw_nll_nats": float(nats.iw_nll.mean()),
        "importance_samples": config.importance_samples,
        "language_model_nats": float(nats.language_model.mean()),
        "informed_nats": informed,
        "informed_share": informed / kl if kl > 0 else 0.0,
        "shuffle_nats": float((nats.shuffled - nats.reconstruction).mean()),
        "perplexity_per_word": _perplexity(nats.iw_nll, words),
        "language_model_perplexity_per_word": _perplexity(nats.language_model, words),
        "mutual_information_nats": space.mutual_information_nats,
        "mutual_information_nats_max": math.log(len(sentences)),
        "active_units": space.active_units,
        "latent": engine.latent,
        "kl_nats_by_dimension": [float(value) for value in space.kl_nats],
        "reconstruction_bleu": bleu(reconstructions, sentences),
        "reconstruction_exact": exact_share(reconstructions, sentences),
        **draws,
    }
    return Evaluation(figures, (-(nats.reconstruction + nats.kl)).tolist())


def measure_nats(
    vae: SentenceVae,
    language_model: LanguageModel,
    store: TokenStore,
    config: EvaluationConfig,
    tell: Tell,
) -> Nats:
    """The nats of every sentence of the store, in its order."""
    generator = torch.Generator().manual_seed(config.seed)
    count = len(store.offsets) - 1
    # Sorted by length, so that little is computed on padding.
    order = np.argsort(np.diff(store.offsets), kind="stable")
    parts = np.array_split(order, -(-count // ROWS))
    found = np.empty((len(Nats._fields), count))
    latents = torch.empty(count, vae.decoder.latent)
    for done, rows in enumerate(parts):
        tell("importance-weighted likelihood", done, len(parts))
        tokens, lengths = _tensors(store, rows)
        held = bounds(vae, tokens, lengths, config.importance_samples, generator)
        with torch.no_grad():
            known = language_model.nats(tokens, lengths, None)
            latents[rows] = vae.encode(tokens, lengths).sample(generator)
        found[[0, 1, 2, 4], rows[:, None]] = torch.stack([*held, known], 1).numpy()
    tell("importance-weighted likelihood", len(parts), len(parts))
    # Over the whole set: neighbours in the order above are of one length, and too much alike.
    strangers = np.random.default_rng(config.seed).permutation(count)
    for rows in parts:
        with torch.no_grad():
            swapped = vae.nats(*_tensors(store, rows), latents[strangers[rows]])
        found[3, rows] = swapped.numpy()
    return Nats(*found)


def _tensors(store: TokenStore, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens (batch, time) and lengths (batch,) of these rows."""
    batch = gather(store, rows)
    return torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)


class EncodedSet(NamedTuple):
    """(n, latent) each: posteriors and one draw of each."""

    mean: np.ndarray
    logvar: np.ndarray
    samples: np.ndarray


def encode_all(engine: Engine, sentences: Sequence[str], seed: int) -> EncodedSet:
    """The posteriors of any number of sentences."""
    step = engine.limits.sentences_max
    parts = [
        engine.encode(EncodeRequest(tuple(sentences[first : first + step]), 1, seed, first))
        for first in range(0, len(sentences), step)
    ]
    return EncodedSet(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def decode_all(engine: Engine, latents: np.ndarray) -> list[str]:
    """(n, latent) -> the greedy sentence of each."""
    step = engine.limits.sentences_max
    parts = [
        engine.decode(DecodeRequest(latents[first : first + step]))
        for first in range(0, len(latents), step)
    ]
    return [written.text for part in parts for written in part.written]


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Corpus BLEU-4 on words as they stand, 0 to 100 (sacrebleu, tokenize none)."""
    # Held-out text may be tokenised already; sacrebleu only warns of it.
    return float(sacrebleu.corpus_bleu(hypotheses, [references], tokenize="none", force=True).score)


def exact_share(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Share of hypotheses that are their reference to the character."""
    same = [one == other for one, other in zip(hypotheses, references, strict=True)]
    return sum(same) / len(same)


def _prior_figures(engine: Engine, config: EvaluationConfig) -> dict[str, Any]:
    """Distinct shares of greedy decodes of each prior's draws, and some of them."""
    found: dict[str, Any] = {"prior_draws": config.prior_draws}
    for prior in ("standard", "fitted") if engine.has_fitted_prior else ("standard",):
        drawn = engine.sample(SampleRequest(config.prior_draws, prior, seed=config.seed))
        texts = [written.text for written in drawn.written]
        found[f"distinct_share_{prior}"] = len(set(texts)) / len(texts)
        found[f"samples_{prior}"] = texts[:EXAMPLES]
    return found


def _perplexity(nats: np.ndarray, words: int) -> float:
    """Per word, the end of a sentence counted as one."""
    # Text without spaces has few words and much in each; float64 ends at 709 nats.
    return math.exp(min(700.0, float(nats.sum()) / (words + len(nats))))
