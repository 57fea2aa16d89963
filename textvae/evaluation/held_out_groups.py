"""How well a version rephrases held-out groups: its variations, and what siblings cost it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from textvae.config.evaluation import EvaluationConfig
from textvae.engine.engine import Engine
from textvae.engine.load import load_networks
from textvae.evaluation.variations import HeldOutGroup
from textvae.model.tensors import tensors_of
from textvae.progress import ProgressCallback
from textvae.store.versions import Version
from textvae.text.batches import gather, store_tokens
from textvae.text.tokenizer import REBUILD, REPHRASE
from textvae.version_files import tokenizer_of

GROUPS_MIN = 2
"""Fewest groups of figures: a random reference is of another group."""
ROWS = 128


def learned_siblings(version: Version) -> int:
    """Return how many sentences with a sibling the version learned from; 0: it cannot rephrase."""
    return int(version.manifest.get("siblings") or 0)


def group_figures(
    version: Version,
    engine: Engine,
    groups: Sequence[HeldOutGroup],
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> dict[str, Any]:
    """Return `siblings`, the sentences with a sibling that the version learned from, and figures of
    the variations of the first `config.groups` groups where there are some.

    A version that learned from no siblings has no more figures: groups may be documents, which say
    nothing twice.
    """
    figures: dict[str, Any] = {"siblings": learned_siblings(version)}
    measured = groups[: config.groups]
    if not figures["siblings"] or len(measured) < GROUPS_MIN:
        return figures
    from textvae.evaluation.paraphrase import CandidateDraws, measure_paraphrases

    found = measure_paraphrases(engine, measured, CandidateDraws(seed=config.seed), on_progress)
    chosen = found.systems["chosen"]
    return {
        **figures,
        "variation_groups": len(measured),
        "variation_adequacy": found.adequacy,
        **{f"variation_{name}": value for name, value in chosen._asdict().items()},
        "adequacy_auc": found.axes.adequacy_auc,
        "fluency_auc": found.axes.fluency_auc,
        "drawn_ibleu": found.systems["drawn"].ibleu,
        "drawn_retrieval_at_1": found.systems["drawn"].retrieval_at_1,
        "variation_systems": {name: one._asdict() for name, one in found.systems.items()},
    }


@torch.no_grad()
def measure_sibling_nats(
    version: Version,
    groups: Sequence[HeldOutGroup],
    draws: int,
    tokens_max: int,
    config: EvaluationConfig,
    on_progress: ProgressCallback,
) -> list[float]:
    """Return for each group the nats of a reference under the posterior of its source, the mean
    over the references and over `draws` draws.

    The decoder is told to rephrase where the version has learned that, else to rebuild.
    """
    vae = load_networks(version)[0].to(config.device)
    tokenizer = tokenizer_of(version.folder)
    sources, references = (
        store_tokens(tokenizer.encode(texts), tokens_max).store
        for texts in (
            [group.source for group in groups],
            [text for group in groups for text in group.references],
        )
    )
    source_of = np.repeat(np.arange(len(groups)), [len(group.references) for group in groups])
    begin = REPHRASE if learned_siblings(version) else REBUILD
    generator = torch.Generator().manual_seed(config.seed)
    order = np.argsort(np.diff(references.offsets), kind="stable")
    parts = np.array_split(order, -(-len(order) // ROWS)) if len(order) else []
    found = np.zeros(len(order))
    for done, rows in enumerate(parts):
        on_progress("nats of siblings", done, len(parts))
        posterior = vae.encode(*tensors_of(gather(sources, source_of[rows]), config.device))
        tokens, lengths = tensors_of(gather(references, rows), config.device)
        tokens[:, 0] = begin
        for _ in range(draws):
            nats = vae.nats(tokens, lengths, posterior.sample(generator))
            found[rows] += nats.cpu().numpy() / draws
    on_progress("nats of siblings", len(parts), len(parts))
    sums = np.bincount(source_of, found, len(groups))
    means: list[float] = (sums / np.bincount(source_of, minlength=len(groups))).tolist()
    return means
