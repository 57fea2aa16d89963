"""A version in memory: its tokenizer, networks and fitted prior."""

from collections.abc import Generator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load

from textvae.config.training import ModelConfig
from textvae.decode.native import DecodeFunctions
from textvae.errors import CorruptError, InputError
from textvae.latent.prior import FittedPrior, prior_of
from textvae.model.exact import BUCKETS, ExactDecoder, ExactEncoder
from textvae.model.network import LanguageModel, SentenceVae, reverse
from textvae.settings import from_mapping
from textvae.store.attachments import read_attachment
from textvae.store.versions import Version
from textvae.text.batches import batch_of
from textvae.text.sentence import normalise
from textvae.text.tokenizer import Tokenizer
from textvae.version_files import LANGUAGE_MODEL_FILE, VAE_FILE, tokenizer_of

PRIOR_ATTACHMENT = "prior"
PRIOR_FILE = "prior.safetensors"


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

    def tokens(self, sentences: Mapping[str, str], tokens_max: int) -> list[list[int]]:
        """Return the token ids of the sentences, which are named by their fields.

        Raise InputError naming the field of a sentence without tokens or with too many.
        """
        encoded = self.tokenizer.encode([normalise(sentence) for sentence in sentences.values()])
        for field, ids in zip(sentences, encoded, strict=True):
            if not ids:
                raise InputError(field, "holds control characters only; send text that can be read")
            if len(ids) > tokens_max:
                limit = f"must be at most {tokens_max} tokens, got {len(ids)}"
                raise InputError(field, f"{limit}; shorten or split it")
        return encoded

    def posteriors(self, encoded: list[list[int]]) -> Posteriors:
        """Return the posteriors of n sentences, given as token ids, in the caller's order."""
        encoding = self.encoding(encoded)
        while True:
            try:
                next(encoding)
            except StopIteration as end:
                posteriors: Posteriors = end.value
                return posteriors

    def encoding(self, encoded: list[list[int]]) -> Generator[None, None, Posteriors]:
        """Compute `posteriors` bucket by bucket: yield before each bucket, return them all.

        Sentences of similar length share a bucket, which changes no number.
        """
        order = sorted(range(len(encoded)), key=lambda number: len(encoded[number]))
        mean = np.empty((len(encoded), self.latent), np.float32)
        logvar = np.empty_like(mean)
        for first in range(0, len(order), self.buckets[-1]):
            yield
            bucket = order[first : first + self.buckets[-1]]
            batch = batch_of([encoded[number] for number in bucket])
            with torch.inference_mode():
                tokens, lengths = torch.from_numpy(batch.tokens), torch.from_numpy(batch.lengths)
                back = reverse(tokens, lengths)
                posterior = self.encoder.encode(tokens, back, lengths, self.buckets)
            mean[bucket], logvar[bucket] = posterior.mean.numpy(), posterior.logvar.numpy()
        return Posteriors(mean, logvar)


def load_version(registry: Path, version: Version) -> LoadedVersion:
    """Load the parts of a verified version, with its fitted prior where one is attached."""
    config = from_mapping(ModelConfig, version.manifest["model_config"], "manifest.model_config")
    tokenizer = tokenizer_of(version.folder)
    model = SentenceVae(config, tokenizer.vocab)
    _fill(model, version.folder / VAE_FILE)
    attached = read_attachment(registry, version, PRIOR_ATTACHMENT)
    prior = prior_of(attached[PRIOR_FILE], config.latent) if attached else None
    with torch.inference_mode():
        return LoadedVersion(
            tokenizer, ExactEncoder(model), ExactDecoder(model), config.latent, prior
        )


def load_networks(version: Version) -> tuple[SentenceVae, LanguageModel]:
    """Load the trained networks of a verified version, for evaluation."""
    config = from_mapping(ModelConfig, version.manifest["model_config"], "manifest.model_config")
    vocab = tokenizer_of(version.folder).vocab
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
