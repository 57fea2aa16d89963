"""Whether a version reproduces canaries: by itself, or once it is given the first half of one.

To encode a canary and write it again is what an autoencoder is for, and is asked nowhere here.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from textvae.config.serve import ServeConfig
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
    """Which canaries came out of a version."""

    checked: int
    """Canaries in all."""
    draws: int
    """Greedy sentences of draws of the priors in which they were looked for."""
    halved: int
    """Canaries of six tokens or more, of which the second half was asked for."""
    by_draws: list[str]
    """Places of those that stand in a draw."""
    completed: list[str]
    """Places of those whose second half was written after the first."""

    def reasons(self) -> list[str]:
        """Why the version must not serve; no canary is quoted."""
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
        """For the decision; `found` counts each canary once."""
        known = self._asdict()
        known["written"] = known.pop("by_draws")
        return {**known, "found": len({*self.by_draws, *self.completed})}


def check_memorization(
    version: Version, draws: Sequence[str], canaries: Sequence[Canary]
) -> Memorization | None:
    """What a version whose draws are these makes of the canaries; None where there are none."""
    if not canaries:
        return None
    tokenizer = tokenizer_of(version.folder)
    ids = tokenizer.encode([canary.text for canary in canaries])
    tokens_max = ServeConfig().tokens_max
    long = [at for at, one in enumerate(ids) if len(one) >= HALVED_TOKENS_MIN]
    done = _completes(version, [ids[at][:tokens_max] for at in long])
    return Memorization(
        len(canaries),
        len(draws),
        len(long),
        [canary.location for canary in canaries_in(canaries, draws)],
        [canaries[at].location for at, whole in zip(long, done, strict=True) if whole],
    )


@torch.no_grad()
def _completes(version: Version, sentences: Sequence[Sequence[int]]) -> list[bool]:
    """Whether greedy decoding goes from the first half of each sentence's ids to all of them.

    By any of three: the language model, the decoder at the prior's mean, and the decoder at the
    posterior mean of the first half. Every token is asked for after the true ones before it, in one
    pass: where each is the likeliest, decoding writes just these.
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
        given = [sentences[row][: halves[row]] for row in rows]
        known = vae.encode(*tensors_of(batch_of(given), "cpu")).mean
        ways: list[tuple[TiedDecoder, Tensor | None]] = [
            (language_model, None),
            (vae, torch.zeros_like(known)),
            (vae, known),
        ]
        half = torch.tensor([len(ids) for ids in given])
        whole = [_writes(model, tokens, lengths, latents, half) for model, latents in ways]
        found += torch.stack(whole).any(0).tolist()
    return found


def _writes(
    model: TiedDecoder, tokens: Tensor, lengths: Tensor, latents: Tensor | None, half: Tensor
) -> Tensor:
    """(batch, time), (batch,), (batch, latent) or None, (batch,) tokens that are given -> (batch,)
    whether every later one, but for the end, is the likeliest that may be written."""
    targets = targets_of(tokens, lengths)
    states = model.decoder.states(model.embedding(tokens[:, :-1]), latents)
    written = model.decoder.outputs(states[targets.owner, targets.steps], latents, targets.owner)
    logits = torch.nn.functional.linear(written, model.embedding.weight, model.decoder.bias)
    logits[:, list(Tokenizer.forbidden)] = -torch.inf
    # The end is the token at the place after the last, which a longer sentence may do without.
    asked = (targets.steps >= half[targets.owner]) & (targets.steps < lengths[targets.owner] - 2)
    missed = asked & (logits.argmax(1) != targets.ids)
    return torch.bincount(targets.owner, missed.float(), len(tokens)) == 0


def _name_first(places: Sequence[str]) -> str:
    """The first few, and how many more."""
    more = len(places) - NAMED_MAX
    named = "; ".join(places[:NAMED_MAX])
    return f"{named}; and {more} more" if more > 0 else named
