"""Proxies of the environment: none is used to this machine, and one that stands between is named.

gRPC takes the proxy of the first of `grpc_proxy`, `https_proxy` and `http_proxy`, unless
`no_grpc_proxy` or `no_proxy` lists the host.
"""

import ipaddress
import os
from urllib.parse import urlsplit

PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
EXCEPTIONS = ("no_grpc_proxy", "no_proxy")


def is_this_machine(host: str) -> bool:
    """Return whether a host name or address is loopback, or the address of every interface."""
    name = host.strip("[]").rstrip(".").lower()
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def host_of(target: str) -> str:
    """Return the host of a target of gRPC; empty for a socket in the file system.

    A target is host, host:port, [IPv6]:port, or one of these behind dns:, dns://AUTHORITY/, ipv4:
    or ipv6:.
    """
    scheme, colon, rest = target.partition(":")
    if colon and scheme.lower() in ("unix", "unix-abstract", "vsock"):
        return ""
    if colon and scheme.lower() in ("dns", "ipv4", "ipv6"):
        target = rest[2:].partition("/")[2] if rest.startswith("//") else rest.lstrip("/")
    if target.startswith("["):
        return target[1:].partition("]")[0]
    # An address of IPv6 without brackets has no port.
    return target if target.count(":") > 1 else target.partition(":")[0]


def channel_options(target: str) -> tuple[tuple[str, int], ...]:
    """Return the options of a channel to `target`: no proxy where that is this machine."""
    return (("grpc.enable_http_proxy", 0),) if is_this_machine(host_of(target)) else ()


def proxy_between(target: str) -> str:
    """Return the variable and address of the proxy that calls to `target` take; empty for none."""
    host = host_of(target)
    variable = next((name for name in PROXIES if name in os.environ), "")
    if not host or not variable or not os.environ[variable] or is_this_machine(host):
        return ""
    listed = next((os.environ[name] for name in EXCEPTIONS if os.environ.get(name)), "")
    if any(_covers(entry.strip(), host) for entry in listed.split(",")):
        return ""
    # Without the name and password that it may hold.
    address = urlsplit(os.environ[variable]).netloc.rpartition("@")[2]
    return f"{variable}={address or '(no address)'}"


def pass_by_proxies(host: str) -> None:
    """Add this machine's `host` to no_proxy, for libraries that take a proxy to it too."""
    if is_this_machine(host):
        listed = os.environ.get("no_proxy") or os.environ.get("NO_PROXY")
        os.environ["no_proxy"] = f"{listed},{host}" if listed else host


def _covers(entry: str, host: str) -> bool:
    """Return whether an entry of no_proxy covers a host: the end of its name, or its network."""
    if not entry:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return host.lower().endswith(entry.lower())
