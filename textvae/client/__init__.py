"""The client: sentences in, NumPy arrays out, over gRPC; it needs neither torch nor the engine.

    with Client("127.0.0.1:50061") as client:
        encoded = client.encode(["the cat sleeps", "the dog runs"])
        print(client.decode(encoded.mean).sentences)

Larger inputs than the server takes in one call are sent in chunks, with the result of one large
call. The errors are those of `textvae.errors`.
"""

from textvae import v1  # noqa: F401 - first, for it says what to install where that is missing
from textvae.client.clients import AsyncClient, Client
from textvae.client.results import Latents
from textvae.options import Constraints, Options, SentenceSpan

__all__ = ["AsyncClient", "Client", "Constraints", "Latents", "Options", "SentenceSpan"]
