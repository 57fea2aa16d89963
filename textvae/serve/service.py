"""TextVaeService: each method reads its message, asks the engine, and writes the answer."""

# ruff: noqa: N802 - the methods have the names that the proto gives them

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from textvae.engine.answers import Reply
from textvae.engine.engine import Request
from textvae.serve import requests, responses
from textvae.serve.champion import Champion
from textvae.v1 import textvae_pb2 as pb
from textvae.v1 import textvae_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
Message = TypeVar("Message")
Response = TypeVar("Response")


class TextVaeService(textvae_pb2_grpc.TextVaeServiceServicer):
    """Sentences and latents; no method computes, all wait for the engine's thread."""

    def __init__(self, champion: Champion) -> None:
        self._champion = champion

    async def Encode(self, request: pb.EncodeRequest, context: Context) -> pb.EncodeResponse:
        """Sentences to posteriors."""
        return await self._answer(request, requests.encode, responses.encode)

    async def Decode(self, request: pb.DecodeRequest, context: Context) -> pb.DecodeResponse:
        """Latents to sentences."""
        return await self._answer(request, requests.decode, responses.decode)

    async def Sample(self, request: pb.SampleRequest, context: Context) -> pb.SampleResponse:
        """Draws of a prior to sentences."""
        return await self._answer(request, requests.sample, responses.sample)

    async def Interpolate(
        self, request: pb.InterpolateRequest, context: Context
    ) -> pb.InterpolateResponse:
        """Sentences along a path."""
        return await self._answer(request, requests.interpolate, responses.interpolate)

    async def Paraphrase(
        self, request: pb.ParaphraseRequest, context: Context
    ) -> pb.ParaphraseResponse:
        """Variations of sentences."""
        return await self._answer(request, requests.paraphrase, responses.paraphrase)

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        """Nats of sentences."""
        return await self._answer(request, requests.score, responses.score)

    async def _answer(
        self,
        message: Message,
        read: Callable[[Message, requests.Space], Request[Any]],
        write: Callable[[Reply, Message, str], Response],
    ) -> Response:
        """The response; a caller who leaves takes the rows out of the engine with the call."""
        engine = self._champion.engine
        space = requests.Space(engine.version.name, engine.latent)
        done = await asyncio.wrap_future(engine.submit(read(message, space)))
        return write(done, message, space.version)
