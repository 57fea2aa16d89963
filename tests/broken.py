"""Candidates that must never serve, each sealed as a whole version, and what is said of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors.torch import load, save

from tests import toys
from tests.serving import another_version
from textvae.config.data import TokenizerConfig
from textvae.corpus.toy_grammar import sample
from textvae.store.promotions import promotion_history
from textvae.store.versions import Version, open_version
from textvae.text.tokenizer import train_tokenizer
from textvae.version_files import tokenizer_of


class Broken(NamedTuple):
    """A candidate and a part of the reason that must be given."""

    version: Version
    reason: str
    kinds: tuple[str, ...] = ("fault",)
    """Any of these may be the kind of the decision."""


def broken(registry: Path) -> dict[str, Broken]:
    """By name, made of the first champion; published, and left to be judged."""
    first = open_version(registry, toys.MODEL, promotion_history(registry, toys.MODEL)[0].version)
    model = (first.folder / "model.safetensors").read_bytes()
    language_model = (first.folder / "language_model.safetensors").read_bytes()
    size = tokenizer_of(first.folder).vocab
    deaf = {f"encoder.{part}.{kind}": 0.0 for part in ("mean", "logvar") for kind in _KINDS}
    made = {
        "collapsed": ({"model": filled(model, deaf)}, "the posterior has collapsed to the prior"),
        "nan": (
            {"model": filled(model, {"decoder.output.weight": torch.nan}, 1)},
            "model.safetensors: decoder.output.weight has values that are not finite",
        ),
        "infinite": (
            {"language_model": filled(language_model, {"decoder.output.bias": torch.inf}, 1)},
            "language_model.safetensors: decoder.output.bias has values that are not finite",
        ),
        "truncated": ({"model": model[:-100]}, "model.safetensors: is no whole file of tensors"),
        "smaller-tokenizer": (
            {"tokenizer": tokenizer(size - 100)},
            "model.safetensors: is not the weights of this manifest's model_config",
        ),
    }
    candidates = {
        name: Broken(another_version(registry, **parts), reason)
        for name, (parts, reason) in made.items()
    }
    # Every token means something else, and nothing in the folder says so.
    swapped = another_version(registry, tokenizer=tokenizer(size))
    return {**candidates, "swapped-tokenizer": Broken(swapped, "", ("fault", "floor", "worse"))}


_KINDS = ("weight", "bias")


def filled(weights: bytes, values: Mapping[str, float], count: int | None = None) -> bytes:
    """Weights with a value in place of the first `count` numbers of each of these tensors."""
    tensors = load(weights)
    for name, value in values.items():
        tensors[name].view(-1)[:count] = value
    return save(tensors)


def tokenizer(vocab: int) -> bytes:
    """One of this size that was learned from the toy's sentences written backwards."""
    texts = [row.text[::-1] for row in sample(4000, seed=0)]
    return train_tokenizer(texts, TokenizerConfig(vocab=vocab, kind="bpe"))
