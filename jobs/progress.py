"""How far a job is: a bar on a terminal, a line every ten seconds where there is none."""

import logging
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from textvae.progress import ProgressCallback

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """A function to be told how far the work is, which shows it on stderr."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(console) as on_progress:
            yield on_progress
    else:
        yield _lines()


@contextmanager
def _bars(console: Console) -> Iterator[ProgressCallback]:
    """A bar for each kind of work."""
    columns = (
        TextColumn("{task.description:32}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        TextColumn("{task.fields[said]}"),
    )
    with Progress(*columns, console=console) as progress:
        bars = {}

        def on_progress(
            what: str, done: int, parts: int, figures: Mapping[str, float] | None = None, /
        ) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, said="")
            progress.update(bars[what], completed=done, total=parts, said=_format_figures(figures))

        yield on_progress


def _lines() -> ProgressCallback:
    """A log line at the start of each kind of work, every ten seconds, and at its end."""
    last: dict[str, float] = {}

    def on_progress(
        what: str, done: int, parts: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        now_s = time.monotonic()
        if done < parts and now_s - last.get(what, 0.0) < SECONDS_BETWEEN_LINES:
            return
        last[what] = now_s
        log.info("%s: %d of %d %s", what, done, parts, _format_figures(figures))

    return on_progress


def _format_figures(figures: Mapping[str, float] | None) -> str:
    """The figures in a few words."""
    return "  ".join(f"{name} {value:.3g}" for name, value in (figures or {}).items())
