"""The self-test at load: does a row's arithmetic on this machine depend on the rows beside it?

Library, processor and number of threads decide that, so it is tried where the model will run, with
the model that will run.
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
# Of all numbers of rows, those that a whole step is tried in; each product alone is tried in all.
PROBED = (1, 2, 3, 8, 21, 64)


class BatchInvariance(NamedTuple):
    """What the self-test found."""

    loaded: LoadedVersion
    """The version in the arithmetic that holds, with the numbers of rows that it may run in."""
    exact: bool
    """Whether rows are the same to the bit beside any neighbours."""
    words: str
    """For GetServerInfo."""
    precision: str = "fp32"
    """Of the weights in the decoder's steps: that or `int8`."""


def check_batch_invariance(loaded: LoadedVersion, int8: bool = False) -> BatchInvariance:
    """Choose an arithmetic in which rows do not depend on their neighbours.

    Products by our own C, or with weights that oneDNN has laid out, in any number of rows; else
    torch's own in buckets of all sizes if they agree; else in the largest alone, if a row's place
    in it does not matter; else all buckets with `exact` false, said in the log and to every client
    that asks. With `int8` the weights in the decoder's steps have 8 bits, where C can do that.
    """
    with torch.inference_mode():
        library, picks = native(), native_picks()
        loaded = loaded._replace(
            encoder=loaded.encoder.with_gates(library),
            decoder=loaded.decoder.with_gates(library),
            library=picks,
        )
        rest = f"gates {_by(library)}, tokens picked {_by(picks)}"
        for way, made in _in_any_number(loaded, library, int8):
            if _products_agree(made) and _agree(made, PROBED):
                words = f"{way.precision}, rows exact in any number; products {way.name}, {rest}"
                return BatchInvariance(made, True, words, way.precision)
            log.warning("rows depend on their neighbours here with products %s", way.name)
        if _agree(loaded, loaded.buckets):
            sizes = ", ".join(map(str, loaded.buckets))
            return BatchInvariance(loaded, True, f"fp32, rows exact in buckets of {sizes}; {rest}")
        largest = loaded._replace(buckets=loaded.buckets[-1:])
        if _agree(largest, largest.buckets):
            words = f"fp32, rows exact in one bucket of {largest.buckets[0]}; {rest}"
            return BatchInvariance(largest, True, words)
    log.warning(
        "rows depend on their neighbours on this machine; equal requests may differ in bits"
    )
    return BatchInvariance(loaded, False, f"fp32, rows may differ in their last bits; {rest}")


def _by(library: ModelFunctions | DecodeFunctions | None) -> str:
    """Who does what the library is for."""
    return "by torch" if library is None else "in C"


class _ProductVariant(NamedTuple):
    """One way to compute products in any number of rows."""

    precision: str
    name: str
    pack: PackLayer
    pack_steps: PackLayer


def _in_any_number(
    loaded: LoadedVersion, library: ModelFunctions | None, int8: bool
) -> Iterator[tuple[_ProductVariant, LoadedVersion]]:
    """The version in each such way that there is here, the fastest first."""
    largest = loaded.buckets[-1]

    def by_onednn(layer: Linear) -> Product:
        return pack_onednn(layer, largest)

    ways = [_ProductVariant("fp32", "by oneDNN", by_onednn, by_onednn)]
    if library is not None and library.lanes_best() >= LANES_MIN:
        in_c = functools.partial(pack_panels, library=library)
        in_8_bits = functools.partial(quantize_int8, library=library)
        ways.insert(0, _ProductVariant("fp32", "in C", in_c, in_c))
        if int8:
            ways.insert(0, _ProductVariant("int8", "in C", in_c, in_8_bits))
    for way in ways:
        try:
            made = loaded._replace(
                encoder=loaded.encoder.with_products(way.pack),
                decoder=loaded.decoder.with_products(way.pack, way.pack_steps),
                buckets=tuple(range(1, largest + 1)),
            )
        except (AttributeError, NotImplementedError, RuntimeError) as error:
            log.info("no products %s in %s here: %s", way.name, way.precision, error)
        else:
            yield way, made


def _products_agree(loaded: LoadedVersion) -> bool:
    """Whether every product gives a row the same bits in any number of rows, and at any place."""
    largest = loaded.buckets[-1]
    generator = torch.Generator().manual_seed(1)
    for product in (*loaded.encoder.products(), *loaded.decoder.products()):
        rows = torch.randn(largest, product.inputs, generator=generator)
        wanted = product(rows)
        for count in loaded.buckets:
            if not torch.equal(product(rows[:count]), wanted[:count]):
                return False
        for count in PROBED:
            if not torch.equal(product(rows[-count:]), wanted[-count:]):
                return False
    return True


def _agree(loaded: LoadedVersion, buckets: tuple[int, ...]) -> bool:
    """Whether probe rows give the same bits in every bucket, in any place."""
    largest = loaded.buckets[-1]
    buckets = tuple(size for size in buckets if size <= largest)
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(largest, loaded.latent, generator=generator)
    vocab = loaded.decoder.vocab
    tokens = torch.randint(4, vocab, (largest, STEPS), generator=generator)
    lengths = torch.randint(1, STEPS + 1, (largest,), generator=generator)
    wanted = _traces(loaded, latents, tokens, lengths, largest)
    for size in buckets:
        for rows in {1, size // 2 + 1, size}:
            part = _traces(loaded, latents[:rows], tokens[:rows], lengths[:rows], size)
            if not torch.equal(part, wanted[:rows]):
                return False
        order = torch.randperm(largest, generator=generator)[:size]
        turned = _traces(loaded, latents[order], tokens[order], lengths[order], size)
        if not torch.equal(turned, wanted[order]):
            return False
    return True


def _traces(
    loaded: LoadedVersion,
    latents: torch.Tensor,
    tokens: torch.Tensor,
    lengths: torch.Tensor,
    size: int,
) -> torch.Tensor:
    """(rows, latent), (rows, steps), (rows,) -> (rows, all numbers that a client could see)."""
    rows = len(latents)
    posterior = loaded.encoder.encode(tokens, tokens.flip(1), lengths, (size,))
    return torch.cat(
        [posterior.mean, posterior.logvar, _logits(loaded.decoder, latents, tokens, size)[:rows]], 1
    )


def _logits(
    decoder: ExactDecoder, latents: torch.Tensor, tokens: torch.Tensor, size: int
) -> torch.Tensor:
    """(rows, latent), (rows, steps) -> (size, vocab) after the steps."""
    carried = decoder.start(pad_rows(latents, size))
    fed = pad_rows(tokens, size)
    logits = torch.empty(0)
    for step in range(tokens.shape[1]):
        logits, carried = decoder.step(fed[:, step], carried)
    return logits
