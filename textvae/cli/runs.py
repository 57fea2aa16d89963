"""A command over the items of a source: where its answers go, and how it ends."""

import argparse
import os
import secrets
import sys
from collections.abc import Callable
from typing import TypeVar

from textvae.cli.interrupts import Interrupted, Interrupts
from textvae.cli.items import Item, Source
from textvae.cli.progress import show_progress
from textvae.cli.stream import Patience, Stream
from textvae.cli.verbs import Verb
from textvae.cli.writers import JsonLines, LatentFile, Tables, Writer
from textvae.client import Client
from textvae.errors import TextVaeError, VersionError

SEED_BITS = 53
"""Bits of a seed; it stays exact as a JSON number."""
AT_ONCE_MAX = 100
"""Most latents or draws that are shown as one table."""
PASSES_MAX = 3
"""Most times that latents are asked for because the champion has changed."""

Result = TypeVar("Result")


def run(
    client: Client, verb: Verb, source: Source, flags: argparse.Namespace, interrupts: Interrupts
) -> int:
    """Ask for all items of a source and write the answers as they come; return the exit code.

    A sentence of the command line that is refused is an error of the whole; a line, row or latent
    is skipped, and the exit code is then 65.
    """
    flags.source = source
    if flags.seed is None:
        # One for all calls, so that they are the parts of one large call.
        flags.seed = secrets.randbits(SEED_BITS)
    writer = _writer(flags, source)
    with show_progress(source.unit, source.total, is_hidden=source.unit == "sentence") as on_done:
        stream = Stream(client, verb, flags, writer, interrupts, on_done)
        try:
            stream.run(source, is_strict=source.unit in ("sentence", "draw"))
            if isinstance(writer, LatentFile):
                _renew(stream, writer, source)
            writer.end()
        except (TextVaeError, Interrupted) as error:
            if stream.done:
                error.add_note(_how_far(stream, source, writer))
            raise
    if stream.failed:
        sys.stderr.write(f"textvae: {stream.failed:,} of {stream.done:,} {source.unit}s failed\n")
        return os.EX_DATAERR
    return 0


def waiting(call: Callable[[], Result], flags: argparse.Namespace) -> Result:
    """Return the result of a call, repeated while a server is away, as --wait-s says."""
    patience = Patience(flags.wait_s)
    while True:
        try:
            return call()
        except TextVaeError as error:
            if not patience.is_worth_waiting(error):
                raise
            patience.wait(error)


def _writer(flags: argparse.Namespace, source: Source) -> Writer:
    """Return where the answers go."""
    if getattr(flags, "output", None):
        return LatentFile(flags.output, is_json=flags.json)
    if flags.json:
        return JsonLines(source.unit)
    is_short = source.unit not in ("line", "row") and (source.total or 0) <= AT_ONCE_MAX
    has_ranks = getattr(flags, "alternatives", 0) > 0
    return Tables(
        source.unit, source.of, at_once=is_short or source.unit == "sentence", has_ranks=has_ranks
    )


def _renew(stream: Stream, writer: LatentFile, source: Source) -> None:
    """Ask again for latents of a version that no longer serves, so that all are of one."""
    done = stream.done
    for _ in range(PASSES_MAX):
        stale: list[Item] = writer.stale()
        if not stale:
            return
        stream.run(source._replace(pieces=iter([stale])), is_ordered=True)
        stream.done = done
    raise VersionError("the champion changed again and again while the latents were made")


def _how_far(stream: Stream, source: Source, writer: Writer) -> str:
    """Return the words for what is written and what is not."""
    if isinstance(writer, LatentFile):
        return f"the file was not written; {stream.done:,} {source.unit}s were encoded"
    if isinstance(writer, Tables) and writer.is_at_once:
        return "nothing was written"
    last = source.place(stream.last)
    return f"the answers of {stream.done:,} {source.unit}s, up to {last}, are written"
