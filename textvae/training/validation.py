"""The look at the held-out side during a run, and the watchdog for a collapsed posterior."""

import logging
from collections.abc import Mapping

import numpy as np
import torch

from textvae.config import TrainingConfig
from textvae.errors import CollapsedError
from textvae.model.bounds import bounds, shuffled_nats
from textvae.model.network import SentenceVae
from textvae.text.batches import TokenStore, gather

log = logging.getLogger(__name__)

SENTENCES = 512
ROWS = 128
# Taking away a latent that is used costs several nats; half a nat is noise of 512 sentences.
COLLAPSED_NATS = 0.5


def look(model: SentenceVae, store: TokenStore, seed: int) -> Mapping[str, float]:
    """Means over the first held-out sentences, in nats per sentence, at KL weight 1."""
    generator = torch.Generator().manual_seed(seed)
    rows = np.arange(min(SENTENCES, len(store.offsets) - 1))
    sums = {"reconstruction_nats": 0.0, "kl_nats": 0.0, "shuffle_nats": 0.0}
    for part in np.array_split(rows, -(-len(rows) // ROWS)):
        batch = gather(store, part)
        tokens, lengths = torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)
        found = bounds(model, tokens, lengths, 1, generator)
        shuffled = shuffled_nats(model, tokens, lengths, generator)
        sums["reconstruction_nats"] += float(found.reconstruction.sum())
        sums["kl_nats"] += float(found.kl.sum())
        sums["shuffle_nats"] += float((shuffled - found.reconstruction).sum())
    return {f"valid_{name}": value / len(rows) for name, value in sums.items()}


def watch(figures: Mapping[str, float], step: int, config: TrainingConfig) -> None:
    """Say, or raise CollapsedError, when the decoder ignores the latent after the annealing."""
    if step < min(config.kl_steps, config.steps) or figures["valid_shuffle_nats"] >= COLLAPSED_NATS:
        return
    message = (
        f"step {step}: the posterior has collapsed: shuffling latents among sentences costs "
        f"{figures['valid_shuffle_nats']:.2f} nats, at least {COLLAPSED_NATS} are expected "
        f"(KL {figures['valid_kl_nats']:.2f} nats); set training.target_kl_nats, raise "
        "training.free_bits or training.word_dropout, or anneal longer (training.kl_steps)"
    )
    if config.collapse_stops:
        raise CollapsedError(message)
    log.warning("%s", message)
