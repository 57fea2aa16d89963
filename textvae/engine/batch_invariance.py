"""The self-test at load: does a row's result on this machine depend on the other rows of a batch?

Library, processor and number of threads decide that, so the model itself is tested where it runs.
"""

import functools
import logging
from collections.abc import Iterator
from typing import NamedTuple

import torch

from textvae.decode.native import DecodeFunctions
from textvae.decode.native import native as native_picks
from textvae.engine.load import LoadedVersion
from textvae.model.exact import ExactDecoder, PackLayer, pad_rows
from textvae.model.native import ModelFunctions, native
from textvae.model.products import (
    LANES_MIN,
    Linear,
    Product,
    pack_onednn,
    pack_panels,
    quantize_int8,
)

log = logging.getLogger(__name__)

STEPS = 4
# Numbers of rows that a whole step is tested with; each product alone is tested with all numbers.
PROBE_SIZES = (1, 2, 3, 8, 21, 64)


class BatchInvariance(NamedTuple):
    """The result of the self-test."""

    loaded: LoadedVersion
    """The version with the arithmetic that passed and the batch sizes that it may run in."""
    exact: bool
    """Whether a row is the same to the bit in every batch."""
    words: str
    """Description of the arithmetic, for GetServerInfo."""
    precision: str = "fp32"
    """Precision of the weights in the decoder's steps: `fp32` or `int8`."""


def check_batch_invariance(loaded: LoadedVersion, int8: bool = False) -> BatchInvariance:
    """Choose an arithmetic in which a row does not depend on the other rows of its batch.

    Products by our own C, or with weights in oneDNN's layout, in any number of rows; else torch's
    own in buckets of all sizes if they agree; else in the largest alone, if a row's index in it
    does not matter; else all buckets with `exact` false, which the log and GetServerInfo report.
    With `int8` the weights in the decoder's steps have 8 bits, where C can do that; those of the
    language model never have, so that its nats are the same in both precisions.
    """
    with torch.inference_mode():
        library, picks = native(), native_picks()
        language_model = loaded.language_model
        loaded = loaded._replace(
            encoder=loaded.encoder.with_gates(library),
            decoder=loaded.decoder.with_gates(library),
            language_model=language_model and language_model.with_gates(library),
            library=picks,
        )
        rest = f"gates {_implementation(library)}, tokens picked {_implementation(picks)}"
        for kind, variant in _variants(loaded, library, int8):
            if _products_agree(variant) and _steps_agree(variant, PROBE_SIZES):
                words = f"{kind.precision}, rows exact in any number; products {kind.name}, {rest}"
                return BatchInvariance(variant, True, words, kind.precision)
            log.warning("rows depend on their neighbours here with products %s", kind.name)
        if _steps_agree(loaded, loaded.buckets):
            sizes = ", ".join(map(str, loaded.buckets))
            return BatchInvariance(loaded, True, f"fp32, rows exact in buckets of {sizes}; {rest}")
        largest = loaded._replace(buckets=loaded.buckets[-1:])
        if _steps_agree(largest, largest.buckets):
            words = f"fp32, rows exact in one bucket of {largest.buckets[0]}; {rest}"
            return BatchInvariance(largest, True, words)
    log.warning(
        "rows depend on their neighbours on this machine; equal requests may differ in bits"
    )
    return BatchInvariance(loaded, False, f"fp32, rows may differ in their last bits; {rest}")


def _implementation(library: ModelFunctions | DecodeFunctions | None) -> str:
    """Describe what computes the functions of a library: C where it was loaded, else torch."""
    return "by torch" if library is None else "in C"


class _ProductKind(NamedTuple):
    """An implementation of products that takes any number of rows."""

    precision: str
    name: str
    pack: PackLayer
    pack_for_steps: PackLayer


def _variants(
    loaded: LoadedVersion, library: ModelFunctions | None, int8: bool
) -> Iterator[tuple[_ProductKind, LoadedVersion]]:
    """Yield the version with each kind of products that this machine has, the fastest first."""
    largest, language_model = loaded.buckets[-1], loaded.language_model

    def by_onednn(layer: Linear) -> Product:
        return pack_onednn(layer, largest)

    kinds = [_ProductKind("fp32", "by oneDNN", by_onednn, by_onednn)]
    if library is not None and library.lanes_best() >= LANES_MIN:
        by_c = functools.partial(pack_panels, library=library)
        by_c_in_int8 = functools.partial(quantize_int8, library=library)
        kinds.insert(0, _ProductKind("fp32", "in C", by_c, by_c))
        if int8:
            kinds.insert(0, _ProductKind("int8", "in C", by_c, by_c_in_int8))
    for kind in kinds:
        try:
            variant = loaded._replace(
                encoder=loaded.encoder.with_products(kind.pack),
                decoder=loaded.decoder.with_products(kind.pack, kind.pack_for_steps),
                language_model=language_model and language_model.with_products(kind.pack),
                buckets=tuple(range(1, largest + 1)),
            )
        except (AttributeError, NotImplementedError, RuntimeError) as error:
            log.info("no products %s in %s here: %s", kind.name, kind.precision, error)
        else:
            yield kind, variant


def _products_agree(loaded: LoadedVersion) -> bool:
    """Return whether every product gives a row the same bits in any batch, at any index."""
    largest = loaded.buckets[-1]
    generator = torch.Generator().manual_seed(1)
    products = [*loaded.encoder.products(), *loaded.decoder.products()]
    if loaded.language_model is not None:
        products += loaded.language_model.products()
    for product in products:
        rows = torch.randn(largest, product.inputs, generator=generator)
        expected = product(rows)
        for count in loaded.buckets:
            if not torch.equal(product(rows[:count]), expected[:count]):
                return False
        for count in PROBE_SIZES:
            if not torch.equal(product(rows[-count:]), expected[-count:]):
                return False
    return True


def _steps_agree(loaded: LoadedVersion, buckets: tuple[int, ...]) -> bool:
    """Return whether probe rows have the same bits in every bucket, at any index."""
    largest = loaded.buckets[-1]
    buckets = tuple(size for size in buckets if size <= largest)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(largest, loaded.latent, generator=generator)
    vocab = loaded.decoder.vocab
    tokens = torch.randint(4, vocab, (largest, STEPS), generator=generator)
    lengths = torch.randint(1, STEPS + 1, (largest,), generator=generator)
    expected = _traces(loaded, latents, tokens, lengths, largest)
    for size in buckets:
        for rows in {1, size // 2 + 1, size}:
            part = _traces(loaded, latents[:rows], tokens[:rows], lengths[:rows], size)
            if not torch.equal(part, expected[:rows]):
                return False
        order = torch.randperm(largest, generator=generator)[:size]
        permuted = _traces(loaded, latents[order], tokens[order], lengths[order], size)
        if not torch.equal(permuted, expected[order]):
            return False
    return True


def _traces(
    loaded: LoadedVersion,
    latents: torch.Tensor,
    tokens: torch.Tensor,
    lengths: torch.Tensor,
    size: int,
) -> torch.Tensor:
    """(rows, latent), (rows, steps), (rows,) -> (rows, 2 * latent + vocab), or + 2 * vocab.

    The columns are the numbers that a client can see, or that choose for it: mean, log-variance,
    and logits of the decoder and of the language model, where there is one.
    """
    rows = len(latents)
    posterior = loaded.encoder.encode(tokens, tokens.flip(1), lengths, (size,))
    columns = [*posterior, _logits(loaded.decoder, latents, tokens, size)[:rows]]
    if loaded.language_model is not None:
        columns.append(_logits(loaded.language_model, latents[:, :0], tokens, size)[:rows])
    return torch.cat(columns, 1)


def _logits(
    decoder: ExactDecoder, latents: torch.Tensor, tokens: torch.Tensor, size: int
) -> torch.Tensor:
    """(rows, latent), (rows, steps) -> (size, vocab), the logits after the last step."""
    state = decoder.start(pad_rows(latents, size))
    fed = pad_rows(tokens, size)
    logits = torch.empty(0)
    for step in range(tokens.shape[1]):
        logits, state = decoder.step(fed[:, step], state)
    return logits
