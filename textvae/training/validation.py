"""Validation on the held-out side during a run, and the watchdog for a collapsed posterior."""

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
from textvae.model.tensors import pair_tensors_of, tensors_of
from textvae.text.batches import TokenSource, gather, pair
from textvae.text.siblings import Rephrasing, Siblings

log = logging.getLogger(__name__)

SENTENCES = 512
ROWS = 128
# Enough to rank the checkpoints of one run, which all get the same draws.
IMPORTANCE_SAMPLES = 16
# Shares of the annealing after which the watchdog checks for a collapse. A latent need not be used
# before half of it, nor before the decoder writes more than frequent words: in all healthy runs
# measured, the decoder began to use the latent in steps 60 to 250.
WATCHED_SHARES = (0.5, 0.625, 0.75, 0.875, 1.0)
DECODER_STEPS = 300


def validate_vae(
    model: SentenceVae, source: TokenSource, config: TrainingConfig
) -> Mapping[str, float]:
    """Return means over some held-out sentences, in nats per sentence, at KL weight 1.

    The figures are valid_reconstruction_nats, valid_kl_nats, valid_shuffle_nats (what the
    reconstruction loses with the latents of other sentences) and valid_iw_nll_nats. Nothing is
    dropped and no noise is added, whatever the run trains with.
    """
    generator = torch.Generator().manual_seed(config.seed)
    samples = IMPORTANCE_SAMPLES if config.select == "iw-nll" else 1
    sums = {"reconstruction_nats": 0.0, "kl_nats": 0.0, "shuffle_nats": 0.0, "iw_nll_nats": 0.0}
    count = 0
    for tokens, lengths in _batches(source, config.device):
        parts = bounds(model, tokens, lengths, samples, generator)
        shuffled = shuffled_nats(model, tokens, lengths, generator)
        sums["reconstruction_nats"] += float(parts.reconstruction.sum())
        sums["kl_nats"] += float(parts.kl.sum())
        sums["shuffle_nats"] += float((shuffled - parts.reconstruction).sum())
        sums["iw_nll_nats"] += float(parts.iw_nll.sum())
        count += len(tokens)
    return {f"valid_{name}": value / count for name, value in sums.items()}


@torch.no_grad()
def validate_siblings(
    model: SentenceVae, source: TokenSource, siblings: Siblings, config: TrainingConfig
) -> Mapping[str, float]:
    """Return figures of held-out sentences that have siblings, in nats per sentence; none without.

    valid_sibling_nats is what a sentence costs under the posterior of a sibling, and
    valid_own_nats under its own, both as the decoder is told to rephrase or to rebuild.
    """
    paired = siblings.paired
    if not len(paired):
        return {}
    rows = paired[np.linspace(0, len(paired) - 1, min(SENTENCES, len(paired))).astype(np.int64)]
    generator = torch.Generator().manual_seed(config.seed)
    sums, always = np.zeros(2), Rephrasing(siblings, 1.0)
    for number, part in enumerate(np.array_split(rows, -(-len(rows) // ROWS))):
        own = gather(source.take(part), np.arange(len(part)))._replace(rows=part)
        both = pair(own, source, always, [config.seed, number]), own
        for column, batch in enumerate(both):
            tokens, lengths, read = pair_tensors_of(batch, config.device)
            latents = model.encode(*(read or (tokens, lengths))).sample(generator)
            sums[column] += float(model.nats(tokens, lengths, latents).sum())
    sibling, own_nats = (sums / len(rows)).tolist()
    return {"valid_sibling_nats": sibling, "valid_own_nats": own_nats}


@torch.no_grad()
def held_out_kl_nats(model: SentenceVae, source: TokenSource, config: TrainingConfig) -> float:
    """Return the mean KL(q(z|x) || N(0, I)) of some held-out sentences, in nats per sentence.

    They are at most four batches, whose encoding costs about 3 % of the ten steps between updates.
    """
    batches = _batches(source, config.device, min(SENTENCES, 4 * config.batch))
    parts = [model.encode(*batch).kl().sum(1) for batch in batches]
    return float(torch.cat(parts).mean())


@torch.no_grad()
def validate_language_model(
    model: LanguageModel, source: TokenSource, config: TrainingConfig
) -> Mapping[str, float]:
    """Return valid_nats, the mean over the same sentences in nats per sentence, without dropout."""
    nats = [model.nats(*batch, None) for batch in _batches(source, config.device)]
    return {"valid_nats": float(torch.cat(nats).mean())}


def _batches(
    source: TokenSource, device: str, sentences: int = SENTENCES
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return tokens (batch, time) and lengths (batch,) of held-out sentences in batches.

    They are spread evenly over the source, since neighbouring sentences of a file may be alike.
    """
    count = source.sentences
    rows = np.linspace(0, count - 1, min(sentences, count)).round().astype(np.int64)
    store = source.take(rows)
    parts = np.array_split(np.arange(len(rows)), -(-len(rows) // ROWS))
    return [tensors_of(gather(store, part), device) for part in parts]


def watched_steps(config: TrainingConfig) -> frozenset[int]:
    """Return the steps of the annealing after which the watchdog checks for a collapse."""
    steps = (round(share * config.kl_steps) for share in WATCHED_SHARES)
    return frozenset(step for step in steps if is_watched(step, config))


def is_watched(step: int, config: TrainingConfig) -> bool:
    """Return whether the latent must be in use after `step`, so that a collapsed run stops early:
    from half of the annealing on and from step 300 on, and after the last step."""
    return step >= min(max(WATCHED_SHARES[0] * config.kl_steps, DECODER_STEPS), config.steps)


def check_collapse(figures: Mapping[str, float], step: int, config: TrainingConfig) -> None:
    """Raise CollapsedError, or warn without `collapse_stops`, where the decoder ignores the latent
    after a step at which it must be in use."""
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
