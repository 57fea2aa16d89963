"""The client: sentences in, numpy out, over gRPC; neither torch nor the engine is imported.

    with Client("127.0.0.1:50061") as client:
        encoded = client.encode(["the cat sleeps", "the dog runs"])
        print(client.decode(encoded.mean).sentences)

Larger inputs than the server takes in one call are sent in chunks, with the result of one large
call. Errors are those of `textvae.errors`.
"""

from textvae.client.clients import AsyncClient, Client
from textvae.client.results import Latents, Options

__all__ = ["AsyncClient", "Client", "Latents", "Options"]
