"""Reflection under both of its names: v1, and v1alpha of older clients.

The messages of both have the same fields; `grpc_reflection` has v1alpha alone, so its servicer
answers for v1 too.
"""

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, text_format
from grpc_reflection.v1alpha import reflection, reflection_pb2

_ALPHA, _V1 = "grpc.reflection.v1alpha", "grpc.reflection.v1"
V1 = f"{_V1}.ServerReflection"


def add_reflection(services: tuple[str, ...], server: grpc.aio.Server) -> None:
    """Let clients ask `server` for the descriptors of `services`, and of reflection itself."""
    _describe_v1()
    names = (*services, reflection.SERVICE_NAME, V1)
    reflection.enable_server_reflection(names, server)
    servicer = reflection.aio.ReflectionServicer(names)  # type: ignore[attr-defined]
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    handlers = grpc.method_handlers_generic_handler(V1, {"ServerReflectionInfo": method})
    server.add_generic_rpc_handlers((handlers,))


def _describe_v1() -> None:
    """Add the descriptors of v1, which clients may ask for, to the pool: v1alpha's, renamed."""
    path = "grpc/reflection/v1/reflection.proto"
    pool = descriptor_pool.Default()
    try:
        pool.FindFileByName(path)
    except KeyError:
        alpha = reflection_pb2.DESCRIPTOR.serialized_pb
        proto = descriptor_pb2.FileDescriptorProto.FromString(alpha)
        text = text_format.MessageToString(proto).replace(_ALPHA, _V1)
        renamed = text_format.Parse(text, descriptor_pb2.FileDescriptorProto())
        renamed.name = path
        pool.Add(renamed)
