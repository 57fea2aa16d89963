"""The calls about the server and its registry, for both clients."""

import json

from textvae.client.messages import CallProtocol, CallRequest
from textvae.client.results import Limits, Load, Model, ServerInfo
from textvae.errors import UnavailableError
from textvae.v1 import model_pb2 as pb

CHECK = "/grpc.health.v1.Health/Check"
_SERVER_REQUEST = b""
"""An empty HealthCheckRequest; too little to depend on a package of messages for it."""
_SERVING = b"\x08\x01"
"""HealthCheckResponse with field 1, status, at 1, SERVING."""


def info() -> CallProtocol[ServerInfo]:
    """Return the version that serves, and the server's limits and load."""
    response: pb.GetServerInfoResponse = yield CallRequest(
        "GetServerInfo", pb.GetServerInfoRequest()
    )
    values = {name: getattr(response, name) for name in ServerInfo._fields}
    values["limits"] = Limits(*(getattr(response.limits, name) for name in Limits._fields))
    values["load"] = Load(*(getattr(response.load, name) for name in Load._fields))
    return ServerInfo(**values)


def models() -> CallProtocol[list[Model]]:
    """Return all published versions, model by model, newest first."""
    found: list[Model] = []
    token = ""
    while True:
        request = pb.ListModelsRequest(page_token=token)
        response: pb.ListModelsResponse = yield CallRequest("ListModels", request)
        found += map(_model, response.models)
        token = response.next_page_token
        if not token:
            return found


def model(name: str) -> CallProtocol[Model]:
    """Return one version, models/{model}/versions/{version}, verified, with its manifest."""
    response: pb.GetModelResponse = yield CallRequest("GetModel", pb.GetModelRequest(name=name))
    message = response.model
    return _model(message)._replace(
        manifest_sha256=message.manifest_sha256,
        bytes=message.bytes,
        manifest=json.loads(message.manifest_json),
    )


def health() -> CallProtocol[bool]:
    """Return whether a server answers and serves."""
    try:
        response: bytes = yield CallRequest(CHECK, _SERVER_REQUEST)
    except UnavailableError:
        return False
    return response == _SERVING


def _model(message: pb.Model) -> Model:
    """Return a version as ListModels has it."""
    return Model(message.name, message.version, message.state == pb.STATE_SERVING)
