"""The port that Prometheus scrapes: GET /metrics, answered by a thread beside the event loop."""

import logging
import socket
import socketserver
import sys
import threading
from http.server import BaseHTTPRequestHandler
from typing import Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from textvae.errors import InputError

PATH = "/metrics"
SILENT_S = 5.0
"""Seconds that a client of the port may be silent."""

_log = logging.getLogger(__name__)


def open_metrics_port(figures: Collector, host: str, port: int) -> None:
    """Answer scrapes in a thread, until the process ends; InputError where the port is taken."""
    registry = CollectorRegistry()
    for collector in (ProcessCollector, PlatformCollector, GCCollector):
        collector(registry=registry)
    registry.register(figures)
    try:
        server = _Server(host, port, registry)
    except OSError as error:
        problem = f"cannot listen at {host}:{port} ({error.strerror or error})"
        raise InputError("metrics_port", f"{problem}; take another port, or 0 for none") from None
    threading.Thread(target=server.serve_forever, name="metrics", daemon=True).start()


class _Server(socketserver.TCPServer):
    """Answers one scrape after another, so that no flood of them has a thread each."""

    allow_reuse_address = True

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry = registry
        super().__init__((host, port), _Handler)

    def handle_error(self, *_: Any) -> None:
        """Say nothing of a client that is gone, and log a bug."""
        if not isinstance(sys.exception(), OSError):
            _log.exception("a scrape failed")


class _Handler(BaseHTTPRequestHandler):
    """Answers GET /metrics."""

    timeout = SILENT_S
    server: _Server

    def do_GET(self) -> None:
        """Answer a scrape."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(404)
            return
        body = generate_latest(self.server.registry)
        self.send_response(200)
        self.send_header("Content-Type", CONTENT_TYPE_LATEST)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Log nothing: a scrape is no event."""
