"""TextVaeService: each method parses its message, submits to the engine, builds the response."""

# ruff: noqa: N802 - the methods have the names of the proto

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import grpc

from textvae.config.serve import ServeConfig
from textvae.engine.answers import Reply
from textvae.engine.request import Request
from textvae.serve import requests, responses
from textvae.serve.calls import caller_of, deadline_s_of, version_of
from textvae.serve.champion import Champion
from textvae.serve.record import current_record
from textvae.v1 import textvae_pb2 as pb
from textvae.v1 import textvae_pb2_grpc

Context = grpc.aio.ServicerContext[Any, Any]
Message = TypeVar("Message")
Response = TypeVar("Response")


class TextVaeService(textvae_pb2_grpc.TextVaeServiceServicer):
    """Sentences and latents; no method computes, all wait for the engine's thread."""

    def __init__(self, champion: Champion, config: ServeConfig) -> None:
        self._champion = champion
        self._config = config
        self._weights = config.weights

    async def Encode(self, request: pb.EncodeRequest, context: Context) -> pb.EncodeResponse:
        """Answer with the posteriors of sentences."""
        return await self._answer(request, context, requests.encode, responses.encode)

    async def Decode(self, request: pb.DecodeRequest, context: Context) -> pb.DecodeResponse:
        """Answer with the sentences of latents."""
        return await self._answer(request, context, requests.decode, responses.decode)

    async def Sample(self, request: pb.SampleRequest, context: Context) -> pb.SampleResponse:
        """Answer with sentences decoded from draws of a prior."""
        return await self._answer(request, context, requests.sample, responses.sample)

    async def Interpolate(
        self, request: pb.InterpolateRequest, context: Context
    ) -> pb.InterpolateResponse:
        """Answer with sentences along a path."""
        return await self._answer(request, context, requests.interpolate, responses.interpolate)

    async def Paraphrase(
        self, request: pb.ParaphraseRequest, context: Context
    ) -> pb.ParaphraseResponse:
        """Answer with variations of sentences."""
        return await self._answer(request, context, requests.paraphrase, responses.paraphrase)

    async def Score(self, request: pb.ScoreRequest, context: Context) -> pb.ScoreResponse:
        """Answer with the scores of sentences, in nats."""
        return await self._answer(request, context, requests.score, responses.score)

    async def _answer(
        self,
        message: Message,
        context: Context,
        parse: Callable[[Message, requests.Space], Request[Any]],
        build: Callable[[Reply, Message, str], Response],
    ) -> Response:
        """Return the response; a cancelled call cancels its rows in the engine."""
        record = current_record()
        caller = caller_of(context, self._weights)
        record.caller, record.priority = caller.name, "bulk" if caller.is_bulk else "interactive"
        engine = self._champion.engine_of(version_of(message))
        space = requests.Space(engine.version.name, engine.latent)
        deadline_s = deadline_s_of(context, self._config)
        request = parse(message, space)
        record.rows, record.version = request.work.rows, space.version
        reply = await asyncio.wrap_future(engine.submit(request, caller, deadline_s))
        record.tokens = reply.tokens
        record.queue_us, record.compute_us = reply.queue_us, reply.compute_us
        return build(reply, message, space.version)
