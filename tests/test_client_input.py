"""What is wrong with an input of the client: the item, by the caller's own number."""

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.serving import Server
from textvae.client import AsyncClient, Client, Latents
from textvae.errors import InputError

TOO_LONG = "x" * 1001


@pytest.fixture(scope="module")
def client(toy_server: Server) -> Iterator[Client]:
    with Client(toy_server.address) as client:
        yield client


@pytest.mark.parametrize(
    ("call", "field"),
    [
        (lambda client, many, _: client.encode([*many, TOO_LONG]), "sentences[2500]"),
        (lambda client, many, _: client.encode([*many, TOO_LONG], samples=3), "sentences[2500]"),
        (lambda client, many, _: client.encode([*many, "\x07"]), "sentences[2500]"),
        (
            lambda client, many, _: client.paraphrase([*many, TOO_LONG], 8, method="draw"),
            "sentences[2500]",
        ),
        (
            lambda client, many, _: client.score([*many[:300], TOO_LONG], importance_samples=60),
            "sentences[300]",
        ),
        (lambda client, _, latents: client.decode(latents), "latents[1500]"),
        (
            lambda client, many, _: client.interpolate([*many[:9], TOO_LONG], 12),
            "points[9].sentence",
        ),
    ],
    ids=["encode", "samples", "control", "paraphrase", "score", "decode", "interpolate"],
)
def test_an_error_names_the_callers_own_number_also_beyond_the_first_chunk(
    call: Callable[[Client, list[str], Latents], Any],
    field: str,
    client: Client,
    toy_server: Server,
) -> None:
    mean = client.encode(["a"]).mean
    values = np.repeat(mean.values, 1600, axis=0)
    values[1500, 3] = np.nan
    with pytest.raises(InputError) as error:
        call(client, ["a"] * 2500, Latents(values, mean.version))
    assert error.value.field == field
    assert str(error.value).startswith(f"{field}: ")


def test_the_asynchronous_client_names_the_callers_own_number_too(toy_server: Server) -> None:
    async def ask() -> None:
        async with AsyncClient(toy_server.address) as client:
            await client.encode(["a"] * 1100 + [TOO_LONG])

    with pytest.raises(InputError) as error:
        asyncio.run(ask())
    assert error.value.field == "sentences[1100]"
