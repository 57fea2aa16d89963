"""Progress of a job on stderr: a bar on a terminal, elsewhere a line every ten seconds."""

import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NamedTuple

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Column

from textvae.progress import ProgressCallback

log = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 10.0

FIGURES = {
    "reconstruction_nats": "reconstruction {:.2f} nats/sentence",
    "reconstruction_nats_per_token": "{:.3f} nats/token",
    "kl_nats": "KL {:.2f} nats/sentence",
    "kl_nats_per_token": "{:.3f} nats/token",
    "kl_weight": "KL weight {:.3g}",
    "step_s": "{:.3g} s/step",
    "tokens_per_s": "{:,.0f} tokens/s",
    "rows_per_s": "{:,.1f} rows/s",
    "refused": "{:,.0f} refused",
}
"""How the figures of a report are shown, in this order; others are in metrics.jsonl alone."""


@contextmanager
def show_progress() -> Iterator[ProgressCallback]:
    """Yield a callback that shows progress on stderr until the block ends."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bars(console) as on_progress:
            yield on_progress
    else:
        yield _lines()


@contextmanager
def _bars(console: Console) -> Iterator[ProgressCallback]:
    """Yield a callback that shows a bar for each kind of work."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(20),
        MofNCompleteColumn(),
        TimeRemainingColumn(compact=True),
        # The one column that may wrap, so that a narrow terminal shows all the others in full.
        TextColumn("{task.fields[figures]}", table_column=Column()),
    )
    with Progress(*columns, console=console) as progress:
        bars = {}

        def on_progress(
            what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
        ) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, figures="")
            progress.update(
                bars[what], completed=done, total=total, figures=format_figures(figures)
            )

        yield on_progress


class _Report(NamedTuple):
    """A report of one kind of work."""

    done: int
    at_s: float


def _lines() -> ProgressCallback:
    """Return a callback that logs a line at the start of each kind of work, every ten seconds, and
    at its end."""
    first: dict[str, _Report] = {}
    newest: dict[str, _Report] = {}
    shown_s: dict[str, float] = {}

    def on_progress(
        what: str, done: int, total: int, figures: Mapping[str, float] | None = None, /
    ) -> None:
        now = _Report(done, time.monotonic())
        if what not in newest or done <= newest[what].done:
            # Work of this name begins, or begins again.
            first[what] = now
        newest[what] = now
        if done < total and now.at_s - shown_s.get(what, -math.inf) < SECONDS_BETWEEN_LINES:
            return
        shown_s[what] = now.at_s
        parts = [format_figures(figures), _format_time_left(first[what], now, total)]
        log.info("%s: %d of %d  %s", what, done, total, "  ".join(filter(None, parts)))

    return on_progress


def format_figures(figures: Mapping[str, float] | None) -> str:
    """Return the figures with their units; those that FIGURES does not name are left out."""
    known = figures or {}
    return "  ".join(form.format(known[name]) for name, form in FIGURES.items() if name in known)


def _format_time_left(first: _Report, now: _Report, total: int) -> str:
    """Return the time left at the mean speed since the first report; empty while it is unknown."""
    if now.done == first.done or now.done >= total:
        return ""
    seconds = (now.at_s - first.at_s) / (now.done - first.done) * (total - now.done)
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02} left"
