"""Habits of other tools: what they write into files, and how programs use a client."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.serving import Server
from tests.test_csv import kept, rows
from textvae.client import AsyncClient, Client, Latents
from textvae.config.data import DataConfig
from textvae.corpus.readers import read_file
from textvae.errors import InputError
from textvae.text.sentence import Sentence


@pytest.fixture(scope="module")
def client(toy_server: Server) -> Iterator[Client]:
    with Client(toy_server.address) as client:
        yield client


@pytest.mark.parametrize(
    "content",
    ["sep=;\r\ntext;label\r\nhello, you;a\r\n", "SEP=,\ntext,label\n\"hello, you\",a\n",
     "sep=\t\ntext\tlabel\nhello, you\ta\n", '"sep=|"\ntext|label\nhello, you|a\n'],
)  # fmt: skip
def test_a_first_line_of_excel_names_the_delimiter(content: str, tmp_path: Path) -> None:
    found = rows(tmp_path, content)
    assert [(line, row.text, row.label) for line, row in found] == [(3, "hello, you", "a")]
    assert kept(rows(tmp_path, "text\nsep=;\n")) == ["sep=;"]


def test_a_label_that_is_not_a_number_is_none(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"text": "hello", "label": NaN}\n{"text": "bye", "label": 1.5}\n')
    labels = [row.label for row in read_file(path, DataConfig()) if isinstance(row, Sentence)]
    assert labels == ["", "1.5"]


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "target",
    ["http://127.0.0.1:50061", "grpc://a:1", " a:1 ", "127.0.0.1", "a:port", "a:70000", ""],
)
def test_an_address_that_cannot_be_one_is_refused_before_any_call(
    target: str, kind: Callable[[str], Any]
) -> None:
    """Each would be no server that answers, which is another fault."""
    with pytest.raises(InputError, match="target: must be host:port") as error:
        kind(target)
    assert str(error.value).endswith("leave the scheme out") == ("://" in target)


def test_a_client_that_was_closed_says_so(toy_server: Server) -> None:
    async def ask() -> None:
        client = AsyncClient(toy_server.address)
        await client.sample(1)
        await client.close()
        await client.sample(1)

    with Client(toy_server.address) as client:
        client.sample(1)
    with pytest.raises(InputError, match="client: is closed; make a new one"):
        client.sample(1)
    with pytest.raises(InputError, match="client: is closed; make a new one"):
        asyncio.run(ask())


def test_a_client_of_another_event_loop_says_so(toy_server: Server) -> None:
    client = AsyncClient(toy_server.address)

    async def ask() -> int:
        return len((await client.sample(1)).sentences)

    assert asyncio.run(ask()) == 1
    with pytest.raises(InputError, match="client: belongs to the event loop of its first call"):
        asyncio.run(ask())


def test_latents_may_be_a_list_of_lists(client: Client) -> None:
    mean = client.encode(["the cat sees the dog", "a dog"]).mean
    rows = Latents(mean.values.tolist(), mean.version)
    assert client.decode(rows).sentences == client.decode(mean).sentences
