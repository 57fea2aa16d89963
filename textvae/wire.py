"""What the server and its clients agree on beside the protos: metadata, sizes, latents as bytes."""

import re
from typing import Literal

import numpy as np

from textvae.v1 import textvae_pb2 as pb

RESPONSE_BYTES_MAX = 64 * 1024 * 1024
"""Largest response that a server sends and a client takes."""

CALLER_KEY, PRIORITY_KEY = "textvae-caller", "textvae-priority"
"""Metadata of a call: by whose name it counts, and whether it gives way to others."""
Priority = Literal["interactive", "bulk"]
CALLER_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")
CALLER_WORDS = "1 to 64 Latin letters, digits, dots, hyphens and underscores"


def latents_message(rows: np.ndarray, version: str) -> pb.Latents:
    """(rows, latent) -> the message of these latents.

    On the wire a packed `repeated float` is a length and the little-endian values, so the array's
    own bytes are parsed as that field. This is a hundred times faster than passing a list.
    """
    values = np.ascontiguousarray(rows, dtype="<f4")
    head = pb.Latents(columns=rows.shape[1], version=version).SerializeToString()
    # Joined from the array's buffer, so that the values are copied once here and once by the parse.
    tag = bytes([pb.Latents.VALUES_FIELD_NUMBER << 3 | 2])
    parts = (head, tag, _varint(values.nbytes), values.data)
    return pb.Latents.FromString(b"".join(parts))


def _varint(number: int) -> bytes:
    """Return a non-negative number as a protobuf varint: 7 bits a byte, lowest first."""
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])
