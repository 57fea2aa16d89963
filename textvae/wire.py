"""Latents on the wire, for the server and its clients."""

import numpy as np

from textvae.v1 import textvae_pb2 as pb


def latents_message(rows: np.ndarray, version: str) -> pb.Latents:
    """A (rows, latent) array as a message.

    On the wire a packed `repeated float` is a length and the little-endian values, so the array's
    own bytes are parsed as that field. This is a hundred times faster than handing over a list.
    """
    values = np.ascontiguousarray(rows, dtype="<f4")
    head = pb.Latents(columns=rows.shape[1], version=version).SerializeToString()
    # Joined from the array's buffer, so that the values are copied once here and once by the parse.
    tag = bytes([pb.Latents.VALUES_FIELD_NUMBER << 3 | 2])
    parts = (head, tag, _varint(values.nbytes), values.data)
    return pb.Latents.FromString(b"".join(parts))


def _varint(number: int) -> bytes:
    """A non-negative number as protobuf writes it: 7 bits a byte, lowest first."""
    groups = [number >> shift & 0x7F for shift in range(0, max(number.bit_length(), 1), 7)]
    return bytes([group | 0x80 for group in groups[:-1]] + groups[-1:])
