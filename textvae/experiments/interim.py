"""What a VAE can do while it still trains, from its newest checkpoint: the demo shows it.

The training is only read from. Its weights are those on the disk, the network around them is made
without first weights of its own, and the latents of the samples come from a seed of their own, so
the training draws the same numbers and ends with the same bits.
"""

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from safetensors.torch import load

from textvae.config.training import ModelConfig
from textvae.decode.counter import normals
from textvae.decode.rows import FinishedRow, Row
from textvae.decode.slots import Slots, SpecialIds
from textvae.engine.load import LoadedVersion
from textvae.errors import NotFoundError
from textvae.model.exact import BUCKETS, ExactDecoder, ExactEncoder
from textvae.model.network import SentenceVae, fold_batchnorm
from textvae.progress import ProgressCallback
from textvae.sealed import read_checkpoint_files
from textvae.text.tokenizer import EOS, Tokenizer

log = logging.getLogger(__name__)

SAMPLES = 3
SEED = 0
SECONDS_BETWEEN_CHECKS = 5.0


class InterimResult(NamedTuple):
    """Greedy outputs of a checkpoint."""

    step: int
    """Steps of the VAE done."""
    reconstructions: list[tuple[str, str]]
    """(sentence, what its posterior mean is decoded to)"""
    samples: list[str]
    """Decoded draws of the standard normal prior."""


def show_interim_results(
    run: Path, config: ModelConfig, sentences: Sequence[str], tokens_max: int, console: Console
) -> ProgressCallback:
    """Return a callback that prints the outputs of each new checkpoint of the run's VAE.

    `config` is the model's, as the recipe resolves it; sentences are cut at `tokens_max`. It takes
    a second of the training at each checkpoint. What cannot be shown is a warning in the log.
    """
    newest, checked_s = "", time.monotonic() - SECONDS_BETWEEN_CHECKS

    def on_progress(
        what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        nonlocal newest, checked_s
        if time.monotonic() - checked_s < SECONDS_BETWEEN_CHECKS:
            return
        checked_s = time.monotonic()
        checkpoint = max(_checkpoints(run), default=None)
        if checkpoint is None or checkpoint.name == newest:
            return
        newest = checkpoint.name
        try:
            result = interim_result(
                checkpoint, run / "tokenizer.model", config, sentences, tokens_max
            )
        except Exception as error:  # the training goes on, whatever is wrong with its demonstration
            log.warning("the outputs of %s cannot be shown: %r", checkpoint, error)
            return
        print_interim_result(result, console)

    return on_progress


def interim_result(
    checkpoint: Path,
    tokenizer_file: Path,
    config: ModelConfig,
    sentences: Sequence[str],
    tokens_max: int,
) -> InterimResult:
    """Return greedy outputs of a checkpoint; NotFoundError where it is damaged or removed."""
    parts = read_checkpoint_files(checkpoint)
    if parts is None:
        raise NotFoundError(f"{checkpoint}: is damaged or was removed")
    tokenizer = Tokenizer(tokenizer_file.read_bytes())
    with torch.device("meta"):  # draws no first weights
        model = SentenceVae(config, tokenizer.vocab)
    model.load_state_dict(load(parts["model.safetensors"]), assign=True)
    with torch.inference_mode():
        fold_batchnorm(model)
        encoder, decoder = ExactEncoder(model), ExactDecoder(model)
        loaded = LoadedVersion(tokenizer, encoder, decoder, config.latent, None)
        encoded = [ids[:tokens_max] for ids in tokenizer.encode(sentences)]
        means = loaded.posteriors(encoded).mean
        items = np.arange(SAMPLES, dtype=np.uint64)
        draws = normals(SEED, items, np.zeros_like(items), config.latent).astype(np.float32)
        # A model that has learned little repeats a word without end; half of that is enough.
        most = min(tokens_max, 2 * max(map(len, encoded)))
        texts = _decode_greedily(loaded, np.concatenate([means, draws]), most)
    count = len(sentences)
    pairs = list(zip(sentences, texts[:count], strict=True))
    return InterimResult(int(checkpoint.name), pairs, texts[count:])


def print_interim_result(result: InterimResult, console: Console) -> None:
    """Print the outputs as one table."""
    title = f"After {result.step} steps of the VAE"
    table = Table("sentence", "comes back as", title=title, title_justify="left")
    for pair in result.reconstructions:
        table.add_row(*pair)
    for sample in result.samples:
        table.add_row("(a sample)", sample)
    console.print(table)


def _checkpoints(run: Path) -> list[Path]:
    """Return the folders of the VAE's checkpoints, in any order."""
    return list((run / "checkpoints" / "vae").glob("[0-9]*"))


def _decode_greedily(loaded: LoadedVersion, latents: np.ndarray, tokens_max: int) -> list[str]:
    """(n, latent) -> n sentences, one row of the decoder's batch each."""
    assert len(latents) <= BUCKETS[-1], f"at most {BUCKETS[-1]} latents, got {len(latents)}"
    slots = Slots(loaded.decoder, SpecialIds(EOS, Tokenizer.forbidden), BUCKETS)
    slots.admit([Row(None, number, latent, tokens_max) for number, latent in enumerate(latents)])
    finished: list[FinishedRow] = []
    while slots.running:
        finished += slots.step()
    finished.sort(key=lambda each: each.row.number)
    return loaded.tokenizer.decode([each.tokens for each in finished])
