"""Settings of the server."""

from dataclasses import dataclass
from typing import Literal

from textvae.errors import InputError
from textvae.ranges import check_settings

PORT_MAX = 65535
WEIGHT_MIN, WEIGHT_MAX = 0.01, 100.0
THREADS_MAX = 1024
"""More threads than any machine has cores for; torch dies of a million."""
SECONDS_MAX = 86_400.0
MESSAGE_BYTES_MAX = 2**31 - 1
"""Bytes that the length of a message of gRPC can say."""
MIB = 1024 * 1024
MESSAGES_MIN = 8
"""Messages of the largest size that `bytes_max` must have room for; one that is parsed takes four,
of the half that is not kept for slow ones."""


@dataclass(frozen=True)
class ServeConfig:
    """The server's listener and limits; GetServerInfo publishes the limits."""

    host: str = "127.0.0.1"
    """Address to bind; anything but loopback needs --insecure, until there is TLS."""
    port: int = 50061
    """Port to bind; 0 takes a free one and prints it."""
    metrics_port: int = 0
    """Port of the figures for Prometheus, /metrics at the same host; 0 for none."""
    access_log: str = ""
    """File to append a line of JSON to for each call, never with a word of its text; - for stderr;
    empty for none."""
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
    message_bytes_max: int = 8 * MIB
    """Largest message accepted, in bytes, unpacked; 1024 sentences of 1000 characters, and three
    lists of 100 such phrases, have 5.3 million at most."""
    bytes_max: int = 256 * MIB
    """Bytes that the messages of all calls may hold, read and not yet answered or answered and not
    yet taken; from 8 times `message_bytes_max`, more is refused with RESOURCE_EXHAUSTED."""
    read_s: float = 10.0
    """Seconds that the message of a call may take to come."""
    send_s: float = 30.0
    """Seconds that a client may take to read a response."""
    connection_idle_s: float = 1800.0
    """Seconds after which a connection without calls is closed, which costs its next call nothing;
    from 1."""
    connection_age_s: float = 0.0
    """Seconds after which a connection takes no new calls, so that its client connects anew, for
    balancers; 0 for no limit."""
    waiting_rows_max: int = 8192
    """Rows of one caller that may wait for the engine, and a quarter of those of all; more are
    refused with RESOURCE_EXHAUSTED."""
    queue_share: float = 0.4
    """Longest queueing delay, as a share of the call's time; a call that would wait longer is
    rejected at once with RESOURCE_EXHAUSTED and a retry delay."""
    caller_weights: tuple[str, ...] = ()
    """Shares of callers by name, as in reports=0.5; a caller has a share of 1. The name is what the
    call's metadata says as textvae-caller."""
    deadline_default_s: float = 60.0
    """Deadline of a call that sets none, in seconds."""
    deadline_max_s: float = 3600.0
    """Longest deadline of a call, in seconds; a later one is shortened to it."""
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
    """Keep the previous champion in memory, so that a rollback is immediate."""
    drain_s: float = 20.0
    """Seconds that a drain after SIGTERM waits for calls to finish."""

    def __post_init__(self) -> None:
        """Raise InputError for a value out of its range."""
        limits = ("sentences_max", "characters_max", "tokens_max", "count_max")
        counts = ("importance_samples_max", "message_bytes_max", "waiting_rows_max")
        check_settings(self, "serve", (*limits, *counts), 1)
        check_settings(self, "serve", ("steps_max",), 2)
        check_settings(self, "serve", ("port", "metrics_port"), 0, PORT_MAX)
        check_settings(self, "serve", ("poll_s",), 0.01)
        check_settings(self, "serve", ("retry_s",), 0.1)
        check_settings(self, "serve", ("queue_share",), 0.01, 1.0)
        _ = self.weights
        check_settings(self, "serve", ("deadline_default_s", "deadline_max_s"), 0.1)
        check_settings(self, "serve", ("drain_s", "connection_age_s"), 0)
        check_settings(self, "serve", ("threads",), 0, THREADS_MAX)
        check_settings(self, "serve", ("read_s", "send_s"), 1, SECONDS_MAX)
        check_settings(self, "serve", ("connection_idle_s",), 1, SECONDS_MAX)
        check_settings(self, "serve", ("message_bytes_max",), 1, MESSAGE_BYTES_MAX)
        check_settings(self, "serve", ("bytes_max",), MESSAGES_MIN * self.message_bytes_max)

    @property
    def weights(self) -> dict[str, float]:
        """Return the share of each caller that has one; raise InputError where one is none."""
        found = {}
        for pair in self.caller_weights:
            name, _, weight = pair.partition("=")
            try:
                found[name] = float(weight)
            except ValueError:
                problem = f"must be NAME=SHARE, as in reports=0.5, got {pair!r}"
                raise InputError("serve.caller_weights", problem) from None
            if not name or not WEIGHT_MIN <= found[name] <= WEIGHT_MAX:
                limits = f"{WEIGHT_MIN:g} to {WEIGHT_MAX:g}"
                raise InputError(
                    "serve.caller_weights", f"must be NAME=SHARE, a share of {limits}, got {pair!r}"
                )
        return found
