"""The figures of the server for Prometheus, read from counters at each scrape.

Names are those of gRFC A66 where it has one. No label has a word of a request or the name of a
caller: callers could make up any number of them.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from textvae.engine.engine import Engine
from textvae.engine.figures import Histogram
from textvae.installation import release
from textvae.serve.champion import Champion
from textvae.serve.firewall import Firewall

Counts = dict[tuple[str, ...], float]


class Metrics(Collector):
    """Collects the figures of a server; Prometheus calls it so."""

    def __init__(self, firewall: Firewall, champion: Champion) -> None:
        self._firewall = firewall
        self._champion = champion

    def collect(self) -> Iterator[Metric]:
        """Yield the figures of this moment."""
        yield from self._calls()
        engines = self._champion.engines
        if engines:
            yield from self._champion_figures(engines[0])
            yield from _engine_figures(engines)

    def _calls(self) -> Iterator[Metric]:
        """Yield what happened to all calls."""
        telemetry, method = self._firewall.telemetry, ("grpc_method",)
        started = telemetry.started
        yield _counter("grpc_server_call_started", "Calls begun.", method, _by_one(started))
        yield _histogram(
            "grpc_server_call_duration_seconds",
            "Seconds of calls, from their headers until the response was taken.",
            (*method, "grpc_status"),
            list(telemetry.durations.items()),
        )
        refused: Counts = {**dict(list(telemetry.refused.items()))}
        of_refusals = ("reason", "quota")
        yield _counter("textvae_refused_calls", "Calls the server ended.", of_refusals, refused)
        received, sent = _by_one(telemetry.received), _by_one(telemetry.sent)
        yield _counter("textvae_received_bytes", "Messages, unpacked.", method, received)
        yield _counter("textvae_sent_bytes", "Responses, unpacked.", method, sent)
        yield _gauge("textvae_calls_in_hand", "Calls not over.", self._firewall.calls.in_hand())
        yield _gauge("textvae_bytes_in_hand", "Held for calls.", self._firewall.bytes_held)
        if (log := telemetry.access_log) is not None:
            lines: Counts = {(): log.left_out}
            yield _counter("textvae_access_log_left_out", "Calls without a line.", (), lines)

    def _champion_figures(self, serving: Engine) -> Iterator[Metric]:
        """Yield which version answers."""
        words = {"model": serving.version.model, "version": serving.version.name}
        words["release"] = release()
        yield InfoMetricFamily("textvae_serving", "What answers.", words)
        followed: Counts = {(): self._champion.followed}
        yield _counter("textvae_promotions_followed", "Swaps to another version.", (), followed)
        behind = bool(self._champion.problem)
        yield _gauge(
            "textvae_champion_problem", "1 if the newest promotion does not answer.", behind
        )


def _engine_figures(engines: Sequence[Engine]) -> Iterator[Metric]:
    """Yield what the engines did and have to do; a swap leaves the last calls to the one before."""
    found = [(engine.version.name, engine.figures()) for engine in engines]
    loads = [figures.load for _, figures in found]
    rows = {("running",): sum(load.active_rows for load in loads)}
    rows["waiting",] = sum(load.waiting_rows for load in loads)
    family = GaugeMetricFamily("textvae_rows", "Rows of the decoder.", labels=("state",))
    for state, count in rows.items():
        family.add_metric(state, count)
    yield family
    yield _gauge("textvae_slots", "Rows that can run together.", loads[0].slots)
    yield _gauge("textvae_callers", "Callers with requests.", sum(load.callers for load in loads))
    yield _gauge("textvae_waiting_seconds", "Wait of a new caller's row.", loads[0].waiting_s)
    oldest_s = max(figures.oldest_s for _, figures in found)
    yield _gauge("textvae_oldest_request_seconds", "Age of the oldest request.", oldest_s)
    spread = max(figures.spread for _, figures in found)
    yield _gauge("textvae_fairness_spread_tokens", "Between callers who wait.", spread)
    labels = ("version", "work")
    tallies = [
        ((name, work), tally)
        for name, figures in found
        for lane in figures.tallies
        for work, tally in lane.items()
    ]
    tokens: Counts = {}
    batches: dict[tuple[str, ...], Histogram] = {}
    for key, tally in tallies:
        tokens[key] = tokens.get(key, 0) + tally.tokens
        merged = batches.setdefault(key, Histogram(tally.rows.bounds))
        merged.counts = [*map(sum, zip(merged.counts, tally.rows.counts, strict=True))]
        merged.total += tally.rows.total
    words = "Tokens read and written, ends of sentences too."
    yield _counter("textvae_tokens", words, labels, tokens)
    yield _histogram("textvae_batch_rows", "Rows of a batch.", labels, batches.items())


def _by_one(counts: Mapping[str, float]) -> Counts:
    """Return counts under their only label."""
    return {(name,): count for name, count in list(counts.items())}


def _gauge(name: str, words: str, value: float) -> Metric:
    return GaugeMetricFamily(name, words, value)


def _counter(name: str, words: str, labels: Sequence[str], counts: Counts) -> Metric:
    family = CounterMetricFamily(name, words, labels=labels)
    for key, count in counts.items():
        family.add_metric(key, count)
    return family


def _histogram(
    name: str,
    words: str,
    labels: Sequence[str],
    histograms: Iterable[tuple[tuple[str, ...], Histogram]],
) -> Metric:
    """Return counts by ranges as Prometheus has them: of each upper end, all that are not above."""
    family = HistogramMetricFamily(name, words, labels=labels)
    for key, histogram in histograms:
        below, buckets = 0, []
        for bound, count in zip((*histogram.bounds, float("inf")), histogram.counts, strict=True):
            below += count
            buckets.append(("+Inf" if bound == float("inf") else repr(float(bound)), below))
        family.add_metric(key, buckets, histogram.total)
    return family
