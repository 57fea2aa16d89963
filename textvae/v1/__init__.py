"""The contract in Python: generated from protos/ by `make protos`, never edited by hand."""

import importlib.metadata

PROTOBUF, GRPCIO = "7.35.1", "1.85.1"
"""The oldest packages that the generated code works with; it checks both at import."""


class PackageError(ImportError):
    """Protobuf or grpcio is missing or does not fit; says what to install."""

    def __init__(self, cause: Exception) -> None:
        """Name the packages that are here, of this very Python."""
        found = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
        names = ("protobuf", "grpcio")
        here = ", ".join(f"{name} {found.get(name, 'is missing')}" for name in names)
        fix = f"pip install 'protobuf>={PROTOBUF}' 'grpcio>={GRPCIO}' 'grpcio-status>={GRPCIO}'"
        super().__init__(
            f"textvae needs protobuf>={PROTOBUF} and grpcio>={GRPCIO}, here are {here}: {fix} "
            f"({cause})"
        )


try:
    from textvae.v1 import model_pb2_grpc as model_pb2_grpc
    from textvae.v1 import textvae_pb2_grpc as textvae_pb2_grpc
except Exception as error:
    # Of many kinds: other releases of the two fail in other ways.
    raise PackageError(error) from error
