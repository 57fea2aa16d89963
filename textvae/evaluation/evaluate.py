"""All figures of a version on held-out sentences, at KL weight 1 and without dropout."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import sacrebleu
import torch
from torch import Tensor

from textvae.config.evaluation import EvaluationConfig
from textvae.engine.engine import Engine
from textvae.engine.load import load_networks
from textvae.engine.operations.decode import decode_all
from textvae.engine.operations.encode import EncodeResult, encode_all
from textvae.evaluation.held_out_groups import group_figures
from textvae.evaluation.scorers import perplexity_per_word
from textvae.evaluation.validity import (
    FluencyReference,
    draw_figures,
    fluency,
    fluency_reference,
    segment_figures,
)
from textvae.evaluation.variations import HeldOutGroup
from textvae.evaluation.vectors import vector_figures
from textvae.latent.prior import FittedPrior
from textvae.latent.statistics import latent_statistics
from textvae.model.bounds import bounds
from textvae.model.network import LanguageModel, SentenceVae
from textvae.model.posterior import Mixture
from textvae.model.tensors import tensors_of
from textvae.progress import ProgressCallback, no_progress
from textvae.store.versions import Version
from textvae.text.batches import TokenStore, gather, store_tokens
from textvae.text.sentence import Sentence
from textvae.version_files import tokenizer_of

ROWS = 128


class Nats(NamedTuple):
    """(n,) nats of each held-out sentence."""

    reconstruction: np.ndarray
    kl: np.ndarray
    iw_nll: np.ndarray
    fitted_kl: np.ndarray
    """Under the fitted prior; under the standard one where there is none."""
    fitted_iw_nll: np.ndarray
    language_model: np.ndarray
    shuffled: np.ndarray


class Evaluation(NamedTuple):
    """Figures, and nats of each sentence in the caller's order, for comparisons of versions pair by
    pair."""

    figures: dict[str, Any]
    """Named with their units; JSON values, but for floats that JSON lacks."""
    elbo_nats: list[float]
    """Evidence lower bound of each sentence."""
    iw_nll_nats: list[float]
    fitted_iw_nll_nats: list[float]
    """Under the fitted prior; under the standard one where there is none."""
    language_model_nats: list[float]
    draws: list[str]
    """The greedy sentences of all draws of the priors."""


def evaluate(
    version: Version,
    engine: Engine,
    sentences: Sequence[str],
    config: EvaluationConfig,
    on_progress: ProgressCallback = no_progress,
    groups: Sequence[HeldOutGroup] = (),
    labelled: Sequence[Sentence] = (),
) -> Evaluation:
    """Return the figures of a version whose `engine` is running; `sentences`, `groups` and
    `labelled` are held out and normalised. Raises DataError unless two of the sentences differ.
    """
    vae, language_model = load_networks(version)
    tokenizer = tokenizer_of(version.folder)
    tokens_max = engine.limits.tokens_max
    stored = store_tokens(tokenizer.encode(list(sentences)), tokens_max).store
    nats = measure_nats(vae, language_model, engine.fitted_prior, stored, config, on_progress)
    encoded = encode_all(engine.answer, engine.limits, sentences, config.seed)
    reference = fluency_reference(
        language_model, tokenizer, tokens_max, sentences, nats.language_model
    )
    draws = draw_figures(engine, reference, config)
    figures = {
        "sentences": len(sentences),
        "words_per_sentence": sum(len(text.split()) for text in sentences) / len(sentences),
        "importance_samples": config.importance_samples,
        **_likelihood_figures(nats, sentences),
        **_latent_figures(encoded),
        **_reconstruction_figures(engine, encoded.mean, sentences, reference),
        **segment_figures(engine, sentences, encoded.mean, reference, config),
        **draws.figures,
        **group_figures(version, engine, groups, config, on_progress),
        **vector_figures(engine, labelled, config, on_progress),
    }
    return Evaluation(
        figures,
        (-(nats.reconstruction + nats.kl)).tolist(),
        nats.iw_nll.tolist(),
        nats.fitted_iw_nll.tolist(),
        nats.language_model.tolist(),
        draws.texts,
    )


def _likelihood_figures(nats: Nats, sentences: Sequence[str]) -> dict[str, float]:
    """Return means over the sentences, in nats per sentence, and perplexities per word."""
    kl = float(nats.kl.mean())
    informed = float((nats.language_model - nats.reconstruction).mean())
    return {
        "reconstruction_nats": float(nats.reconstruction.mean()),
        "kl_nats": kl,
        "elbo_nats": -float((nats.reconstruction + nats.kl).mean()),
        "iw_nll_nats": float(nats.iw_nll.mean()),
        "fitted_kl_nats": float(nats.fitted_kl.mean()),
        "fitted_iw_nll_nats": float(nats.fitted_iw_nll.mean()),
        "language_model_nats": float(nats.language_model.mean()),
        "informed_nats": informed,
        "informed_share": informed / kl if kl > 0 else 0.0,
        "shuffle_nats": float((nats.shuffled - nats.reconstruction).mean()),
        "perplexity_per_word": perplexity_per_word(nats.iw_nll, sentences),
        "language_model_perplexity_per_word": perplexity_per_word(nats.language_model, sentences),
    }


def _latent_figures(encoded: EncodeResult) -> dict[str, Any]:
    """Return statistics of the posteriors: counts of dimensions, and nats."""
    space = latent_statistics(encoded.mean, encoded.logvar, encoded.samples)
    sentences, latent = encoded.mean.shape
    return {
        "latent": latent,
        "active_units": space.active_units,
        "active_units_02": space.active_units_02,
        "mutual_information_nats": space.mutual_information_nats,
        "mutual_information_nats_max": math.log(sentences),
        "aggregate_kl_nats": space.aggregate_kl_nats,
        "kl_nats_by_dimension": space.kl_nats.tolist(),
        "marginal_kl_nats_by_dimension": space.marginal_kl_nats.tolist(),
    }


def _reconstruction_figures(
    engine: Engine, means: np.ndarray, sentences: Sequence[str], reference: FluencyReference
) -> dict[str, float]:
    """Compare the greedy sentences at the posterior means, (n, latent), with the original ones."""
    decoded = decode_all(engine.answer, engine.limits, means)
    texts = [one.text for one in decoded]
    quality = fluency(decoded, reference)
    return {
        "reconstruction_bleu": bleu(texts, sentences),
        "reconstruction_exact": exact_share(texts, sentences),
        "reconstruction_valid_share": quality.valid_share,
        "reconstruction_perplexity_ratio": quality.perplexity_ratio,
    }


def measure_nats(
    vae: SentenceVae,
    language_model: LanguageModel,
    prior: FittedPrior | None,
    store: TokenStore,
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> Nats:
    """Return the nats of every sentence of the store, in its order.

    Bounds are in nats per sentence, with KL(q(z|x) || N(0, I)) =
    1/2 * sum_d (mu_d^2 + sigma_d^2 - 1 - log sigma_d^2) (Kingma & Welling 2014, appendix B).
    """
    fitted = mixture_of(prior, config.device) if prior else None
    vae.to(config.device)
    language_model.to(config.device)
    generator = torch.Generator().manual_seed(config.seed)
    count = len(store.offsets) - 1
    # Sorted by length, so that little is computed on padding.
    order = np.argsort(np.diff(store.offsets), kind="stable")
    parts = np.array_split(order, -(-count // ROWS))
    found = np.empty((len(Nats._fields), count))
    latents = torch.empty(count, vae.decoder.latent, device=config.device)
    for done, rows in enumerate(parts):
        on_progress("importance-weighted likelihood", done, len(parts))
        tokens, lengths = _tensors(store, rows, config.device)
        bound = bounds(vae, tokens, lengths, config.importance_samples, generator, fitted)
        with torch.no_grad():
            unconditional = language_model.nats(tokens, lengths, None)
            latents[rows] = vae.encode(tokens, lengths).sample(generator)
        found[:-1, rows] = torch.stack([*bound, unconditional]).cpu().numpy()
    on_progress("importance-weighted likelihood", len(parts), len(parts))
    # Over the whole set: neighbours in the order above are of one length, and too much alike.
    shuffled = np.random.default_rng(config.seed).permutation(count)
    for rows in parts:
        with torch.no_grad():
            nats = vae.nats(*_tensors(store, rows, config.device), latents[shuffled[rows]])
        found[-1, rows] = nats.cpu().numpy()
    return Nats(*found)


def measure_elbo_nats(
    version: Version,
    sentences: Sequence[str],
    draws: int,
    tokens_max: int,
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> list[float]:
    """Return the ELBO of each sentence in nats, from `draws` draws of its posterior.

    A sentence of more than `tokens_max` tokens is truncated.
    """
    vae = load_networks(version)[0].to(config.device)
    tokenizer = tokenizer_of(version.folder)
    store = store_tokens(tokenizer.encode(list(sentences)), tokens_max).store
    generator = torch.Generator().manual_seed(config.seed)
    order = np.argsort(np.diff(store.offsets), kind="stable")
    parts = np.array_split(order, -(-len(sentences) // ROWS)) if len(sentences) else []
    found = np.empty(len(sentences))
    for done, rows in enumerate(parts):
        on_progress("evidence lower bound", done, len(parts))
        bound = bounds(vae, *_tensors(store, rows, config.device), draws, generator)
        found[rows] = -(bound.reconstruction + bound.kl).cpu().numpy()
    on_progress("evidence lower bound", len(parts), len(parts))
    nats: list[float] = found.tolist()
    return nats


def mixture_of(prior: FittedPrior, device: str) -> Mixture:
    """Return the fitted prior as a density of tensors on a device."""
    inverses = np.linalg.inv(prior.factors)
    parts = np.log(prior.weights), prior.means, np.tril(inverses)
    return Mixture(*(torch.from_numpy(part).float().to(device) for part in parts))


def _tensors(store: TokenStore, rows: np.ndarray, device: str) -> tuple[Tensor, Tensor]:
    """Return tokens (batch, time) and lengths (batch,) of these rows."""
    return tensors_of(gather(store, rows), device)


def bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Return corpus BLEU-4 on words split at white space, 0 to 100 (sacrebleu, tokenize none)."""
    # Held-out text may be tokenised already, of which sacrebleu warns unless forced.
    return float(sacrebleu.corpus_bleu(hypotheses, [references], tokenize="none", force=True).score)


def exact_share(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """Return the share of hypotheses that equal their reference to the character."""
    same = [one == other for one, other in zip(hypotheses, references, strict=True)]
    return sum(same) / len(same)
