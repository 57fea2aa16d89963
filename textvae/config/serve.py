"""Settings of the server."""

from dataclasses import dataclass
from typing import Literal

from textvae.ranges import check_settings

PORT_MAX = 65535


@dataclass(frozen=True)
class ServeConfig:
    """The server's listener and limits; GetServerInfo publishes the limits."""

    host: str = "127.0.0.1"
    """Address to bind; anything but loopback needs --insecure, until there is TLS."""
    port: int = 50061
    """Port to bind; 0 takes a free one and prints it."""
    insecure: bool = False
    """Allow a plain-text listener on an address that others can reach."""
    sentences_max: int = 1024
    """Most sentences or latents in one call."""
    characters_max: int = 1000
    """Longest sentence accepted, in characters."""
    tokens_max: int = 128
    """Longest sentence accepted or generated, in tokens."""
    count_max: int = 1024
    """Most sentences sampled by one call."""
    steps_max: int = 64
    """Most points of one path."""
    importance_samples_max: int = 1000
    """Most importance samples per sentence of Score."""
    message_bytes_max: int = 16 * 1024 * 1024
    """Largest message accepted, in bytes."""
    waiting_rows_max: int = 8192
    """Rows that may wait for the engine; more are refused with RESOURCE_EXHAUSTED."""
    slots: int = 64
    """Rows of the engine's decoding batch."""
    threads: int = 0
    """Threads of the engine's arithmetic; 0 for the processor's cores."""
    precision: Literal["fp32", "int8"] = "fp32"
    """Precision of the decoder's weights; int8 is faster, where `evaluate` found it fit."""
    poll_s: float = 0.2
    """Seconds between two reads of the registry for a champion, from 0.01; a read takes 0.1 ms."""
    retry_s: float = 60.0
    """Seconds after which a promoted version that could not be loaded is tried again, from 0.1."""
    warm: bool = True
    """Keep the previous champion in memory, so that a rollback to it loads nothing."""
    drain_s: float = 20.0
    """Seconds that calls may take to end after SIGTERM."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        limits = ("sentences_max", "characters_max", "tokens_max", "count_max")
        counts = ("importance_samples_max", "message_bytes_max", "waiting_rows_max")
        check_settings(self, "serve", (*limits, *counts), 1)
        check_settings(self, "serve", ("steps_max",), 2)
        check_settings(self, "serve", ("port",), 0, PORT_MAX)
        check_settings(self, "serve", ("poll_s",), 0.01)
        check_settings(self, "serve", ("retry_s",), 0.1)
        check_settings(self, "serve", ("threads", "drain_s"), 0)
