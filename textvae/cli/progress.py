"""Progress of a command on stderr: a bar on a terminal, elsewhere a line every ten seconds."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

SECONDS_BETWEEN_LINES = 10.0

OnDone = Callable[[int], None]


@contextmanager
def show_progress(unit: str, total: int | None, *, is_hidden: bool = False) -> Iterator[OnDone]:
    """Yield a callback that takes the items done, and shows them until the block ends.

    There is no bar where stdout is a terminal too: the answers themselves are the progress.
    """
    console = Console(stderr=True)
    if is_hidden or (console.is_terminal and sys.stdout.isatty()):
        yield lambda _: None
    elif console.is_terminal:
        with _bar(console, unit, total) as on_done:
            yield on_done
    else:
        yield _lines(unit, total)


@contextmanager
def _bar(console: Console, unit: str, total: int | None) -> Iterator[OnDone]:
    """Yield a callback that moves a bar."""
    columns = (BarColumn(20), TextColumn("{task.fields[figures]}"))
    # Stdout goes elsewhere and must stay as it is.
    with Progress(*columns, console=console, redirect_stdout=False) as progress:
        begun_s = time.monotonic()
        bar = progress.add_task(unit, total=total, figures="")

        def on_done(done: int) -> None:
            figures = figures_of(unit, done, total, time.monotonic() - begun_s)
            progress.update(bar, completed=done, figures=figures)

        yield on_done


def _lines(unit: str, total: int | None) -> OnDone:
    """Return a callback that writes a line every ten seconds."""
    begun_s = shown_s = time.monotonic()

    def on_done(done: int) -> None:
        nonlocal shown_s
        now_s = time.monotonic()
        if now_s - shown_s >= SECONDS_BETWEEN_LINES:
            shown_s = now_s
            sys.stderr.write(f"textvae: {figures_of(unit, done, total, now_s - begun_s)}\n")

    return on_done


def figures_of(unit: str, done: int, total: int | None, seconds: float) -> str:
    """Return the words for items done, items a second and the time left."""
    rate = done / seconds if seconds > 0 else 0.0
    of = f" of {total:,}" if total is not None else ""
    words = f"{done:,}{of} {unit}s, {rate:,.1f} a second"
    if total is None or not rate:
        return words
    minutes, left = divmod(round(max(total - done, 0) / rate), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{words}, {hours}:{minutes:02}:{left:02} left"
