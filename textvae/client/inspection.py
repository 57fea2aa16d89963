"""The methods that look at the server and its registry, written once for both clients."""

import json

from textvae.client.messages import CallProtocol, CallRequest
from textvae.client.results import Limits, Load, Model, ServerInfo
from textvae.errors import UnavailableError
from textvae.v1 import model_pb2 as pb

CHECK = "/grpc.health.v1.Health/Check"
_WHOLE_SERVER = b""
"""HealthCheckRequest with no field set: too little to depend on a package of messages for it."""
_SERVING = b"\x08\x01"
"""HealthCheckResponse with field 1, status, at 1, SERVING."""


def info() -> CallProtocol[ServerInfo]:
    """What serves, its limits and its load."""
    response: pb.GetServerInfoResponse = yield CallRequest(
        "GetServerInfo", pb.GetServerInfoRequest()
    )
    values = {name: getattr(response, name) for name in ServerInfo._fields}
    values["limits"] = Limits(*(getattr(response.limits, name) for name in Limits._fields))
    values["load"] = Load(*(getattr(response.load, name) for name in Load._fields))
    return ServerInfo(**values)


def models() -> CallProtocol[list[Model]]:
    """All published versions, model by model, newest first."""
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
    """One version, models/{model}/versions/{version}, verified, with its manifest."""
    response: pb.GetModelResponse = yield CallRequest("GetModel", pb.GetModelRequest(name=name))
    found = response.model
    return _model(found)._replace(
        manifest_sha256=found.manifest_sha256,
        bytes=found.bytes,
        manifest=json.loads(found.manifest_json),
    )


def health() -> CallProtocol[bool]:
    """Whether a server is there and serves."""
    try:
        response: bytes = yield CallRequest(CHECK, _WHOLE_SERVER)
    except UnavailableError:
        return False
    return response == _SERVING


def _model(found: pb.Model) -> Model:
    """A version as it is listed."""
    return Model(found.name, found.version, found.state == pb.STATE_SERVING)
