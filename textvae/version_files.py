"""The files of a version: their names, and the tokenizer among them."""

from pathlib import Path

from textvae.text.tokenizer import Tokenizer

VAE_FILE = "model.safetensors"
LANGUAGE_MODEL_FILE = "language_model.safetensors"
TOKENIZER_FILE = "tokenizer.model"
CONFIG_FILE = "config.toml"
"""The settings that the version was trained with."""


def tokenizer_of(folder: Path) -> Tokenizer:
    """Return the tokenizer of the verified version in `folder`."""
    return Tokenizer((folder / TOKENIZER_FILE).read_bytes())
