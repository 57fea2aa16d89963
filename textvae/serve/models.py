"""ModelService: the versions in the registry, and the one that serves."""

# ruff: noqa: N802 - the methods have the names of the proto

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc

from textvae.errors import InputError, NotFoundError, quoted
from textvae.installation import release
from textvae.serve.champion import Champion
from textvae.serve.verified import VerifiedVersions
from textvae.store import versions
from textvae.v1 import model_pb2 as pb
from textvae.v1 import model_pb2_grpc

PAGE_SIZE = 50
PAGE_SIZE_MAX = 1000

_NAME = re.compile(r"models/([a-z0-9][a-z0-9-]{0,62})/versions/([a-z0-9-]+)")

Context = grpc.aio.ServicerContext[Any, Any]


class ModelService(model_pb2_grpc.ModelServiceServicer):
    """Reads the registry in threads, so that a slow disk does not block the event loop."""

    def __init__(
        self,
        champion: Champion,
        registry: Path,
        message_bytes_max: int,
        calls: Callable[[], int],
    ) -> None:
        """`calls` returns the number of calls in hand."""
        self._champion = champion
        self._registry = registry
        self._message_bytes_max = message_bytes_max
        self._calls = calls
        self._release = release()
        self._verified = VerifiedVersions(registry)

    async def ListModels(
        self, request: pb.ListModelsRequest, context: Context
    ) -> pb.ListModelsResponse:
        """Answer with a page of versions; the next page's token is this one's last name."""
        if request.page_size < 0:
            problem = f"must be 0 (for {PAGE_SIZE}) to {PAGE_SIZE_MAX}, got {request.page_size}"
            raise InputError("page_size", problem)
        names = await asyncio.to_thread(self._names)
        start = 0
        if request.page_token:
            if request.page_token not in names:
                problem = "is not the next_page_token of an earlier page"
                raise InputError("page_token", f"{problem}; leave it empty to start again")
            start = names.index(request.page_token) + 1
        end = start + min(request.page_size or PAGE_SIZE, PAGE_SIZE_MAX)
        page = names[start:end]
        return pb.ListModelsResponse(
            models=map(self._model, page), next_page_token=page[-1] if end < len(names) else ""
        )

    async def GetModel(self, request: pb.GetModelRequest, context: Context) -> pb.GetModelResponse:
        """Answer with one version and its manifest."""
        parts = _NAME.fullmatch(request.name)
        if not parts:
            problem = f"must be models/MODEL/versions/VERSION, got {quoted(repr(request.name))}"
            raise InputError("name", f"{problem}; ListModels says the names there are")
        try:
            version = await self._verified.open(*parts.groups())
        except NotFoundError:
            problem = f"there is no {quoted(request.name)}; ListModels says the names there are"
            raise NotFoundError(f"name: {problem}") from None
        model = self._model(request.name)
        model.manifest_sha256 = version.manifest_sha256
        model.bytes = sum(file["bytes"] for file in version.manifest["files"].values())
        model.manifest_json = json.dumps(version.manifest, sort_keys=True, ensure_ascii=False)
        return pb.GetModelResponse(model=model)

    async def GetServerInfo(
        self, request: pb.GetServerInfoRequest, context: Context
    ) -> pb.GetServerInfoResponse:
        """Answer with the version that serves, its limits and its load."""
        engine = self._champion.engine
        return pb.GetServerInfoResponse(
            textvae_release=self._release,
            model=engine.version.model,
            version=engine.version.name,
            latent=engine.latent,
            vocab=engine.vocab,
            has_fitted_prior=engine.fitted_prior is not None,
            arithmetic=engine.arithmetic,
            champion_problem=self._champion.problem,
            limits=pb.Limits(**engine.limits._asdict(), message_bytes_max=self._message_bytes_max),
            load=pb.Load(**engine.load()._asdict(), calls=self._calls()),
        )

    def _names(self) -> list[str]:
        """Return the resource names of all versions, model by model, newest first."""
        return [
            f"models/{model}/versions/{version}"
            for model in versions.list_models(self._registry)
            for version in versions.list_versions(self._registry, model)
        ]

    def _model(self, name: str) -> pb.Model:
        """Return the message of a version by its resource name, with its state."""
        serving = self._champion.engine.version
        serves = name == f"models/{serving.model}/versions/{serving.name}"
        return pb.Model(
            name=name,
            version=name.rpartition("/")[2],
            state=pb.STATE_SERVING if serves else pb.STATE_PUBLISHED,
        )
