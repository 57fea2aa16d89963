"""A server from start to drain: bind, load, serve, follow the champion, finish all calls."""

import asyncio
import errno
import ipaddress
import logging
import signal
import socket
from pathlib import Path
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from textvae.config.serve import ServeConfig
from textvae.engine.limits import threads_of
from textvae.errors import InputError
from textvae.serve.access_log import AccessLog
from textvae.serve.champion import Champion
from textvae.serve.firewall import METADATA_BYTES_MAX, Firewall
from textvae.serve.in_hand import CALLS_MAX, ENDING_S
from textvae.serve.lost_clients import log_lost_clients
from textvae.serve.models import ModelService
from textvae.serve.reflection import add_reflection
from textvae.serve.scan import bounds_of
from textvae.serve.service import TextVaeService
from textvae.serve.telemetry import Telemetry
from textvae.serve.watch import end_dead, until_dead
from textvae.threads import core_limits, threads_words
from textvae.v1 import model_pb2, model_pb2_grpc, textvae_pb2, textvae_pb2_grpc
from textvae.wire import RESPONSE_BYTES_MAX

SERVICES = (
    textvae_pb2.DESCRIPTOR.services_by_name["TextVaeService"].full_name,
    model_pb2.DESCRIPTOR.services_by_name["ModelService"].full_name,
)
NOTICE_S = 0.5
"""Seconds between NOT_SERVING and the first refused call, for balancers that watch the health."""
STREAMS_MAX = 256
"""Calls in flight of one connection; more wait at the client."""
PING_MIN_MS = 8_000
"""Shortest time between pings of a client, with and without calls: less than the 10 s that clients
are promised, for pings are not punctual. grpc's default allows one in five minutes."""
KEEPALIVE_MS, KEEPALIVE_TIMEOUT_MS = 20_000, 10_000
"""A client that has been silent is pinged, and is gone where it does not answer."""
AGE_GRACE_MS = 600_000
"""Time for the calls of a connection that takes no new ones."""
PENDING_CALLS_MAX = CALLS_MAX
"""Calls that may wait inside grpc, which resets those beyond its own limit of a thousand."""
STOP_S = 0.05
"""Seconds after which no connection takes new calls, once grpc stops."""
FLUSH_S = 0.5
"""Seconds for the last statuses to leave before the connections are closed."""

HealthServicer: Any = health.aio.HealthServicer  # type: ignore[attr-defined]

CLOSE_S = 1.0
"""Seconds that an engine without calls gets to end its thread."""

_log = logging.getLogger(__name__)


async def serve(registry: Path, model: str, version: str, config: ServeConfig) -> None:
    """Serve until SIGTERM or SIGINT, then drain; a second signal stops the server at once.

    Print one line with the address on stdout when it is ready. Errors of the configuration, the
    registry and the version (InputError, NotFoundError, CorruptError) come before that line.
    """
    _check_host(config)
    log_lost_clients()
    stop, force_stop = _signals()
    champion = Champion(registry, model, version, config)
    checks = HealthServicer()
    telemetry = Telemetry(AccessLog(config.access_log) if config.access_log else None)
    firewall = Firewall(config, lambda: bounds_of(config, champion.engine.latent), telemetry)
    server = _build(champion, firewall, checks, registry, config)
    address = _bind(server, config)
    if config.metrics_port:
        # Imports prometheus_client, which others need not wait for.
        from textvae.serve.metrics import Metrics
        from textvae.serve.metrics_port import open_metrics_port

        host = _addresses_of(config)[0]
        open_metrics_port(Metrics(firewall, champion), host, config.metrics_port)
    await _set_health(checks, health_pb2.HealthCheckResponse.NOT_SERVING)
    await server.start()
    try:
        await champion.load()
        _log.info("%s", threads_words(threads_of(config), core_limits()))
        following = asyncio.create_task(champion.follow(stop))
        await _set_health(checks, health_pb2.HealthCheckResponse.SERVING)
        ready = f"textvae serves {champion.engine.version.name} of {model} at {address}"
        print(ready, flush=True)  # noqa: T201 - the parent process waits for this line
        watching = asyncio.create_task(until_dead(champion))
        for event in (stop, force_stop):
            watching.add_done_callback(lambda _, event=event: event.set())  # type: ignore[misc]
        await stop.wait()
        await checks.enter_graceful_shutdown()
        if not watching.done():
            _log.info("draining; a second signal ends it at once")
            await _drain(server, firewall, force_stop, config.drain_s)
        if watching.done():
            await end_dead(watching.result(), firewall.calls)
            await server.stop(FLUSH_S)
            raise watching.result()
        await following
    finally:
        await server.stop(None)
        telemetry.close()
        await champion.close(CLOSE_S)


def _check_host(config: ServeConfig) -> None:
    """Raise InputError for an address that others can reach, unless `insecure` allows it."""
    try:
        loopback = ipaddress.ip_address(config.host).is_loopback
    except ValueError:
        loopback = all(ipaddress.ip_address(one).is_loopback for one in _addresses_of(config))
    if not loopback and not config.insecure:
        problem = f"{config.host} can be reached by others and the connection is not encrypted"
        raise InputError(
            "host", f"{problem}; bind 127.0.0.1, or add --insecure in a trusted network"
        )


def _addresses_of(config: ServeConfig) -> list[str]:
    """Return the addresses of the host; raise InputError where it has none."""
    try:
        found = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)
    except OSError as error:
        problem = f"{config.host!r} is no address of a network ({error.strerror or error})"
        raise InputError(
            "host", f"{problem}; bind 127.0.0.1, or an address of this machine"
        ) from None
    return [str(address[0]).partition("%")[0] for *_, address in found]


def _signals() -> tuple[asyncio.Event, asyncio.Event]:
    """Return the events that the first and the second SIGTERM or SIGINT set."""
    stop, force_stop = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (force_stop if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stop, force_stop


def _build(
    champion: Champion,
    firewall: Firewall,
    checks: HealthServicer,
    registry: Path,
    config: ServeConfig,
) -> grpc.aio.Server:
    """Build a server with its four services, behind the firewall."""
    server = grpc.aio.server(interceptors=(firewall,), options=_options(config))
    count = firewall.calls.in_hand
    models = ModelService(champion, registry, config.message_bytes_max, count)
    textvae_pb2_grpc.add_TextVaeServiceServicer_to_server(TextVaeService(champion, config), server)
    model_pb2_grpc.add_ModelServiceServicer_to_server(models, server)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    add_reflection((*SERVICES, health.SERVICE_NAME), server)
    return server


def _options(config: ServeConfig) -> tuple[tuple[str, int], ...]:
    """Return the options of grpc's own part of the server."""
    age = (
        ("grpc.max_connection_age_ms", round(1000 * config.connection_age_s)),
        ("grpc.max_connection_age_grace_ms", AGE_GRACE_MS),
    )
    return (
        # Two servers on one port would share its calls by chance.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", config.message_bytes_max),
        ("grpc.max_send_message_length", RESPONSE_BYTES_MAX),
        ("grpc.max_concurrent_streams", STREAMS_MAX),
        # Else a client that keeps all its streams busy has some reset, for grpc counts those that
        # were answered a moment ago; the calls in hand are limited by the firewall.
        ("grpc.http.overload_protection", 0),
        ("grpc.server.max_pending_requests", PENDING_CALLS_MAX),
        ("grpc.server.max_pending_requests_hard_limit", 2 * PENDING_CALLS_MAX),
        ("grpc.max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.absolute_max_metadata_size", METADATA_BYTES_MAX),
        ("grpc.http2.min_ping_interval_without_data_ms", PING_MIN_MS),
        # Otherwise a client without calls may ping every two hours, whatever that interval is.
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # Of the ping itself: grpc waits for the longer of the two.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.max_connection_idle_ms", round(1000 * config.connection_idle_s)),
        *(age if config.connection_age_s else ()),
    )


def _bind(server: grpc.aio.Server, config: ServeConfig) -> str:
    """Bind the port; return host:port, or raise InputError where host or port cannot be had."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    try:
        port = server.add_insecure_port(f"{host}:{config.port}")
    except RuntimeError:
        raise _why_not_bound(config) from None
    return f"{host}:{port}"


def _why_not_bound(config: ServeConfig) -> InputError:
    """Return which of host and port is wrong, and why, as a plain socket finds it."""
    address = _addresses_of(config)[0]
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.bind((address, config.port))
    except PermissionError:
        problem = f"{config.port} may not be taken by this user; take 1024 or more"
        return InputError("port", problem)
    except OSError as error:
        if error.errno != errno.EADDRINUSE:
            problem = f"{config.host} is no address of this machine ({error.strerror or error})"
            return InputError("host", f"{problem}; bind 127.0.0.1, or an address of this machine")
    where = f"{config.host}:{config.port}"
    problem = f"cannot listen at {where}; is another server there?"
    return InputError("port", f"{problem} --port 0 takes a free one")


async def _set_health(
    checks: HealthServicer, status: health_pb2.HealthCheckResponse.ServingStatus
) -> None:
    """Set the health of the server, "", and of each service."""
    for service in ("", *SERVICES):
        await checks.set(service, status)


async def _drain(
    server: grpc.aio.Server, firewall: Firewall, force_stop: asyncio.Event, drain_s: float
) -> None:
    """Stop the server; return when no call is left, after `drain_s` seconds, or on `force_stop`.

    New calls are refused with a status, and those that are ended have one: grpc itself would cancel
    what it has not yet handed over.
    """
    forcing = asyncio.create_task(force_stop.wait())
    await asyncio.wait({forcing}, timeout=NOTICE_S)
    draining = asyncio.create_task(firewall.calls.drain(drain_s))
    await asyncio.wait({forcing, draining}, return_when=asyncio.FIRST_COMPLETED)
    forcing.cancel()
    firewall.calls.end_all()
    await asyncio.wait({draining}, timeout=ENDING_S)
    if not force_stop.is_set():
        await firewall.calls.hold()
    stopping = asyncio.create_task(server.stop(FLUSH_S))
    await asyncio.sleep(STOP_S)
    firewall.calls.release()
    await stopping
    await draining
