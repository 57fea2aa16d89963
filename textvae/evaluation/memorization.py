"""Whether a version reproduces canaries: in draws of its priors, or from the first half of one.

To encode a canary and decode it again is what an autoencoder is for, and is not checked here.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from textvae.corpus.canaries import Canary, canaries_in
from textvae.engine.load import load_networks
from textvae.model.network import TiedDecoder, targets_of
from textvae.model.tensors import tensors_of
from textvae.store.versions import Version
from textvae.text.batches import batch_of, gather, store_tokens
from textvae.text.tokenizer import Tokenizer
from textvae.version_files import tokenizer_of

# Fewer leave a half that is hardly more than one word, which any model may guess.
HALVED_TOKENS_MIN = 6
ROWS = 32
NAMED_MAX = 5
"""Canaries that a reason names; the rest are counted, and are all in the decision."""


class Memorization(NamedTuple):
    """Which canaries a version reproduced."""

    checked: int
    """Canaries in all."""
    draws: int
    """Greedy sentences of draws of the priors that were searched for them."""
    halved: int
    """Canaries of six tokens or more, whose second half was asked for."""
    by_draws: list[str]
    """Locations of those that a draw contains."""
    completed: list[str]
    """Locations of those whose second half was decoded after the first."""

    def reasons(self) -> list[str]:
        """Return why the version must not serve, in sentences that quote no canary."""
        found = []
        if self.by_draws:
            found.append(
                f"it writes by itself what must never come out: {_name_first(self.by_draws)}"
            )
        if self.completed:
            found.append(
                "given the first half of what must never come out it writes the second: "
                f"{_name_first(self.completed)}; take out a line that anyone could complete"
            )
        return found

    def record(self) -> dict[str, Any]:
        """Return JSON values for the decision; `found` counts each canary once."""
        fields = self._asdict()
        fields["written"] = fields.pop("by_draws")
        return {**fields, "found": len({*self.by_draws, *self.completed})}


def check_memorization(
    version: Version, draws: Sequence[str], canaries: Sequence[Canary], tokens_max: int
) -> Memorization | None:
    """Return which canaries the version reproduces in `draws` of its priors, or from their first
    half; None without canaries. Of a long canary the first `tokens_max` tokens count."""
    if not canaries:
        return None
    tokenizer = tokenizer_of(version.folder)
    ids = tokenizer.encode([canary.text for canary in canaries])
    long = [index for index, one in enumerate(ids) if len(one) >= HALVED_TOKENS_MIN]
    completed = _check_completion(version, [ids[index][:tokens_max] for index in long])
    return Memorization(
        len(canaries),
        len(draws),
        len(long),
        [canary.location for canary in canaries_in(canaries, draws)],
        [canaries[index].location for index, leaks in zip(long, completed, strict=True) if leaks],
    )


@torch.no_grad()
def _check_completion(version: Version, sentences: Sequence[Sequence[int]]) -> list[bool]:
    """Return whether greedy decoding completes each sentence's ids from the first half of them.

    By any of three: the language model, the decoder at the prior's mean, and the decoder at the
    posterior mean of the first half. Every token is predicted after the true ones before it, in one
    pass: where each is the likeliest, greedy decoding gives exactly these.
    """
    if not sentences:
        return []
    vae, language_model = load_networks(version)
    store = store_tokens(sentences, max(map(len, sentences))).store
    halves = [len(ids) // 2 for ids in sentences]
    found: list[bool] = []
    for first in range(0, len(sentences), ROWS):
        rows = range(first, min(first + ROWS, len(sentences)))
        tokens, lengths = tensors_of(gather(store, np.array(rows)), "cpu")
        prefixes = [sentences[row][: halves[row]] for row in rows]
        means = vae.encode(*tensors_of(batch_of(prefixes), "cpu")).mean
        decoders: list[tuple[TiedDecoder, Tensor | None]] = [
            (language_model, None),
            (vae, torch.zeros_like(means)),
            (vae, means),
        ]
        half = torch.tensor([len(ids) for ids in prefixes])
        completed = [
            _completes(model, tokens, lengths, latents, half) for model, latents in decoders
        ]
        found += torch.stack(completed).any(0).tolist()
    return found


def _completes(
    model: TiedDecoder, tokens: Tensor, lengths: Tensor, latents: Tensor | None, half: Tensor
) -> Tensor:
    """Return whether every token after the first `half`, but for the end, is the likeliest one:
    (batch, time), (batch,), (batch, latent) or None, (batch,) -> (batch,)."""
    targets = targets_of(tokens, lengths)
    states = model.decoder.states(model.embedding(tokens[:, :-1]), latents)
    outputs = model.decoder.outputs(states[targets.owner, targets.steps], latents, targets.owner)
    logits = torch.nn.functional.linear(outputs, model.embedding.weight, model.decoder.bias)
    logits[:, list(Tokenizer.forbidden)] = -torch.inf
    # The end follows the last token, and a longer sentence that goes on leaks as much.
    checked = (targets.steps >= half[targets.owner]) & (targets.steps < lengths[targets.owner] - 2)
    missed = checked & (logits.argmax(1) != targets.ids)
    return torch.bincount(targets.owner, missed.float(), len(tokens)) == 0


def _name_first(locations: Sequence[str]) -> str:
    """Name the first few, and count the others."""
    more = len(locations) - NAMED_MAX
    named = "; ".join(locations[:NAMED_MAX])
    return f"{named}; and {more} more" if more > 0 else named
