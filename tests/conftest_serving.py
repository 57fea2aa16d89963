"""Fixtures of the tests that call a server; conftest.py imports them."""

from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from tests.serving import Server, serving


@pytest.fixture(scope="session")
def toy_server(registry: Path) -> Iterator[Server]:
    """One server of the toy model for all tests that leave it as it is."""
    with serving(registry) as server:
        yield server


@pytest.fixture(scope="session")
def channel(toy_server: Server) -> Iterator[grpc.Channel]:
    """A channel to the server of the toy model."""
    with grpc.insecure_channel(toy_server.address) as channel:
        yield channel
