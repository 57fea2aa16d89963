"""Latents in .npz files, NumPy's own format, with their version."""

import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from textvae import files
from textvae.client.results import EncodeResult, Latents
from textvae.errors import DataError, NotFoundError

PARTS = ("mean", "samples")


def save(path: Path, sentences: Sequence[str], encoded: EncodeResult) -> None:
    """Write the mean, the logvar and samples if present, the sentences, version and seed."""
    parts = {name: getattr(encoded, name) for name in ("mean", "logvar", "samples")}
    arrays = {name: latents.values for name, latents in parts.items() if latents is not None}
    stream = io.BytesIO()
    np.savez(
        stream,
        sentences=np.array(sentences, dtype=np.str_),
        version=np.array(encoded.facts.version),
        seed=np.array(encoded.facts.seed, dtype=np.uint64),
        **arrays,
    )
    files.write_bytes(path, stream.getvalue())


def load(path: Path, part: str = "mean") -> Latents:
    """Read the latents of `part`; raise DataError where the file is not of `save` or lacks it."""
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as arrays:
            return Latents(arrays[part].astype(np.float32), str(arrays["version"]))
    except FileNotFoundError:
        problem = "no such file; textvae encode --output writes one"
        raise NotFoundError(f"{path}: {problem}") from None
    except (ValueError, TypeError, AttributeError, EOFError, KeyError, zipfile.BadZipFile):
        problem = f"is no .npz file with {part} and version; textvae encode --output writes one"
        raise DataError(f"{path}: {problem}") from None
