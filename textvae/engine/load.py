"""A version in memory: its tokenizer, networks and fitted prior."""

import time
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from textvae.config.training import ModelConfig
from textvae.decode.lexicon import Lexicon
from textvae.decode.native import DecodeFunctions
from textvae.decode.pick import log_sums
from textvae.engine.constraint import lexicon_of
from textvae.engine.reading import Network, Reading, by_length
from textvae.errors import CorruptError, InputError
from textvae.latent.prior import FittedPrior, prior_of
from textvae.model.exact import BUCKETS, ExactDecoder, ExactEncoder, bucket_of, pad_rows
from textvae.model.network import LanguageModel, SentenceVae, reverse
from textvae.settings import from_mapping
from textvae.store.attachments import read_attachment
from textvae.store.versions import Version
from textvae.text.batches import Batch, batch_of
from textvae.text.sentence import normalise
from textvae.text.tokenizer import Tokenizer
from textvae.version_files import LANGUAGE_MODEL_FILE, VAE_FILE, tokenizer_of

PRIOR_ATTACHMENT = "prior"
PRIOR_FILE = "prior.safetensors"

TURN_S = 0.002
"""Seconds of normalising and tokenising after which the sentences of others have their turn."""

Value = TypeVar("Value")


class Posteriors(NamedTuple):
    """Means and log-variances of posteriors, (n, latent) float32 each."""

    mean: np.ndarray
    logvar: np.ndarray


class LoadedVersion(NamedTuple):
    """The parts of one version that the engine computes with."""

    tokenizer: Tokenizer
    encoder: ExactEncoder
    decoder: ExactDecoder
    latent: int
    prior: FittedPrior | None
    buckets: tuple[int, ...] = BUCKETS
    library: DecodeFunctions | None = None
    """From `native`: the functions that pick tokens in C; None for torch and NumPy."""
    language_model: ExactDecoder | None = None
    """None for a network that is not from a version."""
    rephrases: bool = False
    """Whether it learned from groups of sentences that say the same."""
    lexicon: Lexicon | None = None
    """What its tokens spell; None for a network that is not from a version."""

    def tokens(
        self, sentences: Mapping[str, str], tokens_max: int
    ) -> Generator[None, None, list[list[int]]]:
        """Compute the token ids of sentences, which are named by their fields.

        It yields where it has taken TURN_S. Raise InputError naming the field of a sentence without
        tokens or with too many.
        """
        encoded: list[list[int]] = []
        began = time.perf_counter()
        for field, sentence in sentences.items():
            if time.perf_counter() - began > TURN_S:
                yield
                began = time.perf_counter()
            ids = self.tokenizer.encode([normalise(sentence)])[0]
            if not ids:
                raise InputError(field, "holds control characters only; send text that can be read")
            if len(ids) > tokens_max:
                limit = f"must be at most {tokens_max} tokens, got {len(ids)}"
                raise InputError(field, f"{limit}; shorten or split it")
            encoded.append(ids)
        return encoded

    def posteriors(self, encoded: list[list[int]]) -> Posteriors:
        """Return the posteriors of n sentences, given as token ids, in the caller's order."""
        return self.read_alone(self.encoding(encoded))

    def encoding(self, encoded: list[list[int]]) -> Generator[Reading, np.ndarray, Posteriors]:
        """Ask for the reading of sentences -> their posteriors, in the caller's order."""
        found = yield Reading("encoder", encoded)
        return Posteriors(*np.ascontiguousarray(found.transpose(1, 0, 2)))

    def language_model_nats(
        self, encoded: list[list[int]]
    ) -> Generator[Reading, np.ndarray, np.ndarray]:
        """Ask for the reading of sentences -> (n,) float64 of -log p(x), ends included, under the
        version's language model."""
        assert self.language_model is not None, "a network without a language model has no nats"
        return (yield Reading("language_model", encoded))

    def read_alone(self, computation: Generator[Reading, np.ndarray, Value]) -> Value:
        """Return what `encoding` or `language_model_nats` returns, computed here and now."""
        try:
            reading = next(computation)
            while True:
                reading = computation.send(self.read_all(reading))
        except StopIteration as end:
            value: Value = end.value
            return value

    def read_all(self, reading: Reading) -> np.ndarray:
        """Return the results of `read` for all sentences, bucket by bucket."""
        found = self.blank(reading)
        for bucket in self.buckets_of(reading.ids):
            part = [reading.ids[number] for number in bucket]
            found[bucket] = self.read(reading.network, part)
        return found

    def blank(self, reading: Reading) -> np.ndarray:
        """Return where the results of `read` for all its sentences go."""
        count = len(reading.ids)
        if reading.network == "encoder":
            return np.empty((count, 2, self.latent), np.float32)
        return np.empty(count)

    def read(self, network: Network, ids: list[list[int]]) -> np.ndarray:
        """Read one bucket of n sentences -> (n, 2, latent) means and log-variances, or (n,) nats.

        What else is in the bucket changes no number.
        """
        batch = batch_of(ids)
        with torch.inference_mode():
            if network == "language_model":
                assert self.language_model is not None, "it has none"
                return sentence_nats(self.language_model, batch, self.buckets, self.library)
            tokens, lengths = torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)
            back = reverse(tokens, lengths)
            posterior = self.encoder.encode(tokens, back, lengths, self.buckets)
        return np.stack([posterior.mean.numpy(), posterior.logvar.numpy()], 1)

    def buckets_of(self, encoded: list[list[int]]) -> list[list[int]]:
        """Return the numbers of the sentences by buckets, those of similar length in one."""
        order = by_length(encoded)
        size = self.buckets[-1]
        return [order[first : first + size] for first in range(0, len(order), size)]


def sentence_nats(
    decoder: ExactDecoder,
    batch: Batch,
    buckets: tuple[int, ...],
    library: DecodeFunctions | None = None,
) -> np.ndarray:
    """(rows, time), (rows,) -> (rows,) float64 nats of sentences and their ends, -log p(x).

    At most as many rows as the largest bucket. The longest come first: as rows end, a step has
    fewer.
    """
    order = np.argsort(-batch.lengths, kind="stable")
    tokens, lengths = batch.tokens[order], batch.lengths[order]
    size = bucket_of(len(tokens), buckets)
    inputs = pad_rows(torch.from_numpy(tokens), size)
    state = decoder.start(torch.zeros(size, 0))
    nats = np.zeros(len(tokens))
    # The token of step t is predicted of rows that have another one after it.
    lives = (lengths[:, None] > np.arange(1, tokens.shape[1])).sum(0)
    for step, live in enumerate(lives.tolist()):
        rows = slice(bucket_of(live, buckets))
        logits, state = decoder.step(inputs[rows, step], state.select(rows))
        logits = logits[:live]
        targets = logits.numpy()[np.arange(live), tokens[:live, step + 1]]
        nats[:live] += log_sums(logits, library) - targets
    return nats[np.argsort(order)]


def load_version(registry: Path, version: Version) -> LoadedVersion:
    """Load the parts of a verified version, with its fitted prior where one is attached."""
    tokenizer = tokenizer_of(version.folder)
    vae, language_model = _read_networks(version, tokenizer.vocab)
    latent = vae.decoder.latent
    attached = read_attachment(registry, version, PRIOR_ATTACHMENT)
    prior = prior_of(attached[PRIOR_FILE], latent) if attached else None
    with torch.inference_mode():
        return LoadedVersion(
            tokenizer,
            ExactEncoder(vae),
            ExactDecoder(vae),
            latent,
            prior,
            language_model=ExactDecoder(language_model),
            rephrases=bool(version.manifest.get("siblings")),
            lexicon=lexicon_of(tokenizer),
        )


def load_networks(version: Version) -> tuple[SentenceVae, LanguageModel]:
    """Load the trained networks of a verified version, for evaluation."""
    return _read_networks(version, tokenizer_of(version.folder).vocab)


def _read_networks(version: Version, vocab: int) -> tuple[SentenceVae, LanguageModel]:
    """Read the networks of a verified version, whose tokenizer has so many ids."""
    config = from_mapping(ModelConfig, version.manifest["model_config"], "manifest.model_config")
    vae, language_model = SentenceVae(config, vocab), LanguageModel(config, vocab)
    _fill(vae, version.folder / VAE_FILE)
    _fill(language_model, version.folder / LANGUAGE_MODEL_FILE)
    return vae.eval(), language_model.eval()


def _fill(model: torch.nn.Module, path: Path) -> None:
    """Read weights into a network; raise CorruptError unless they fit it and are finite."""
    try:
        tensors = load(path.read_bytes())
    except SafetensorError as error:
        raise CorruptError(f"{path}: is no whole file of tensors ({error}); train again") from None
    try:
        model.load_state_dict(tensors)
    except RuntimeError:
        raise CorruptError(f"{path}: is not the weights of this manifest's model_config") from None
    broken = [name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise CorruptError(f"{path}: {broken[0]} has values that are not finite; train again")
