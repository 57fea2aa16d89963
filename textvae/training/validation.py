"""The look at the held-out side during a run, and the watchdog for a collapsed posterior."""

import logging
from collections.abc import Mapping

import numpy as np
import torch

from textvae.config.evaluation import SHUFFLE_NATS_MIN
from textvae.config.training import TrainingConfig
from textvae.errors import CollapsedError
from textvae.model.bounds import bounds, shuffled_nats
from textvae.model.collapse import is_ignored
from textvae.model.network import LanguageModel, SentenceVae
from textvae.model.tensors import tensors_of
from textvae.text.batches import TokenSource, gather

log = logging.getLogger(__name__)

SENTENCES = 512
ROWS = 128
# Enough to rank the checkpoints of one run, which are all asked with the same draws.
IMPORTANCE_SAMPLES = 16
# Where in the annealing the watchdog looks: before half of it no latent need be of use yet, nor
# before a decoder can say more than frequent words; every healthy run seen began to listen in
# steps 60 to 250.
WATCHED_SHARES = (0.5, 0.625, 0.75, 0.875, 1.0)
WAKING_STEPS = 300


def validate_vae(
    model: SentenceVae, source: TokenSource, config: TrainingConfig
) -> Mapping[str, float]:
    """Means over some held-out sentences, in nats per sentence, at KL weight 1.

    Without dropout and noise, whatever the run trains with.
    """
    generator = torch.Generator().manual_seed(config.seed)
    samples = IMPORTANCE_SAMPLES if config.select == "iw-nll" else 1
    sums = {"reconstruction_nats": 0.0, "kl_nats": 0.0, "shuffle_nats": 0.0, "iw_nll_nats": 0.0}
    count = 0
    for tokens, lengths in _batches(source, config.device):
        found = bounds(model, tokens, lengths, samples, generator)
        shuffled = shuffled_nats(model, tokens, lengths, generator)
        sums["reconstruction_nats"] += float(found.reconstruction.sum())
        sums["kl_nats"] += float(found.kl.sum())
        sums["shuffle_nats"] += float((shuffled - found.reconstruction).sum())
        sums["iw_nll_nats"] += float(found.iw_nll.sum())
        count += len(tokens)
    return {f"valid_{name}": value / count for name, value in sums.items()}


@torch.no_grad()
def held_out_kl_nats(model: SentenceVae, source: TokenSource, config: TrainingConfig) -> float:
    """Mean KL over some held-out sentences, in nats per sentence.

    At most four batches of them, whose encoding costs about 3 % of the ten steps between two looks.
    """
    batches = _batches(source, config.device, min(SENTENCES, 4 * config.batch))
    parts = [model.encode(*batch).kl().sum(1) for batch in batches]
    return float(torch.cat(parts).mean())


@torch.no_grad()
def validate_language_model(
    model: LanguageModel, source: TokenSource, config: TrainingConfig
) -> Mapping[str, float]:
    """The mean over the same sentences, in nats per sentence, without dropout."""
    nats = [model.nats(*batch, None) for batch in _batches(source, config.device)]
    return {"valid_nats": float(torch.cat(nats).mean())}


def _batches(
    source: TokenSource, device: str, sentences: int = SENTENCES
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Tokens (batch, time) and lengths (batch,) of held-out sentences, evenly from the whole side,
    whose neighbours may be alike."""
    count = source.sentences
    rows = np.linspace(0, count - 1, min(sentences, count)).round().astype(np.int64)
    store = source.take(rows)
    places = np.arange(len(rows))
    parts = [gather(store, part) for part in np.array_split(places, -(-len(rows) // ROWS))]
    return [tensors_of(part, device) for part in parts]


def watched_steps(config: TrainingConfig) -> frozenset[int]:
    """The steps of the annealing after which the watchdog looks."""
    steps = (round(share * config.kl_steps) for share in WATCHED_SHARES)
    return frozenset(step for step in steps if is_watched(step, config))


def is_watched(step: int, config: TrainingConfig) -> bool:
    """Whether a latent must be of use after `step`: from half of the annealing on, once the
    decoder is awake (step 300), so that a run that is lost is lost before it is paid for."""
    return step >= min(max(WATCHED_SHARES[0] * config.kl_steps, WAKING_STEPS), config.steps)


def check_collapse(figures: Mapping[str, float], step: int, config: TrainingConfig) -> None:
    """Say, or raise CollapsedError, when the decoder ignores the latent."""
    if not is_watched(step, config) or not is_ignored(figures["valid_shuffle_nats"]):
        return
    message = (
        f"step {step}: the posterior has collapsed: shuffling latents among sentences costs "
        f"{figures['valid_shuffle_nats']:.2f} nats, at least {SHUFFLE_NATS_MIN} are expected "
        f"(KL {figures['valid_kl_nats']:.2f} nats); set training.target_kl_nats, raise "
        "training.free_bits or training.word_dropout, or anneal longer (training.kl_steps)"
    )
    if config.collapse_stops:
        raise CollapsedError(message)
    log.warning("%s", message)
