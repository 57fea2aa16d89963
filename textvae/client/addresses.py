"""The address of a server: of an argument, of the environment, or the default."""

import os
import re

from textvae.errors import InputError

TARGET = "127.0.0.1:50061"
VARIABLE = "TEXTVAE_ADDRESS"
"""Variable of the environment with the address, where none is given."""
PORT_MAX = 65535

_OTHERS = re.compile(r"(dns|ipv4|ipv6|unix|unix-abstract|vsock|xds):")
"""What else than host:port gRPC takes."""
_HOST_PORT = re.compile(r"(?P<host>\[[0-9a-fA-F:.%\w]+\]|[^\s:/\[\]]+):(?P<port>[0-9]{1,5})")


def target_of(target: str | None) -> str:
    """Return the address of an argument, or the default for None. InputError for a bad one."""
    return default_target() if target is None else checked_target("target", target)


def default_target() -> str:
    """Return the address that the environment names, or the default. InputError for a bad one."""
    named = os.environ.get(VARIABLE)
    return TARGET if named is None else checked_target(VARIABLE, named)


def checked_target(field: str, target: str) -> str:
    """Return an address; raise InputError for what cannot be one."""
    if _OTHERS.match(target):
        return target
    found = _HOST_PORT.fullmatch(target)
    if not found or not 0 < int(found["port"]) <= PORT_MAX:
        fix = "; leave the scheme out" if "://" in target else ""
        raise InputError(field, f"must be host:port, as {TARGET}, got {target!r}{fix}")
    return target
