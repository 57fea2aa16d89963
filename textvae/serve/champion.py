"""The engine that answers, and its swap for a newly promoted version without a failed call."""

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import NamedTuple

from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.start import load_engine, start_engine
from textvae.errors import CorruptError, NotFoundError, TextVaeError, UnavailableError
from textvae.store import promotions
from textvae.store.leases import hold_lease
from textvae.store.promotions import Promotion, promoted_version

_log = logging.getLogger(__name__)


class _LeasedEngine(NamedTuple):
    """An engine, and the lease of its version, which no prune removes until the lease ends."""

    engine: Engine
    lease: contextlib.ExitStack

    def close(self, timeout_s: float) -> None:
        """Close the engine, then end the lease."""
        with self.lease:
            self.engine.close(timeout_s)


class _LoadFailure(NamedTuple):
    """The last promotion whose version could not be loaded."""

    number: int = 0
    error: str = ""
    tried_s: float = 0.0
    """Time of the last try, on the monotonic clock."""


class Champion:
    """Owns the engine that answers and, warm for a rollback, the one that answered before.

    A version loads while the old engine answers, which then finishes its calls. A call takes the
    engine and submits to it without an await between, so an engine that closes gets no more calls.
    """

    def __init__(self, registry: Path, model: str, version: str, config: ServeConfig) -> None:
        """Serve `version` always or, where it is empty, the champion of `model`."""
        self._registry = registry
        self._model = model
        self._pinned = version or None
        self._config = config
        self._serving: _LeasedEngine | None = None
        self._warm: _LeasedEngine | None = None
        self._lease_warned = False
        self._failure = _LoadFailure()
        self._problem = ""
        self._poll_error = ""
        self.followed = 0
        """Promotions that were followed: swaps of the engine that answers."""
        self._closings: set[asyncio.Task[None]] = set()

    @property
    def engine(self) -> Engine:
        """The engine that answers now; raises UnavailableError before there is one."""
        if self._serving is None:
            raise UnavailableError("the server is loading its model; try again in a few seconds")
        return self._serving.engine

    @property
    def engines(self) -> tuple[Engine, ...]:
        """The engines that calls can reach: the one that answers first."""
        return tuple(leased.engine for leased in (self._serving, self._warm) if leased)

    def engine_of(self, version: str) -> Engine:
        """Return the engine of a version that a call names: the one that served before, where it is
        still in memory, else the one that serves now, which says that it is another."""
        warm = self._warm
        if warm is not None and warm.engine.version.name == version:
            return warm.engine
        return self.engine

    @property
    def problem(self) -> str:
        """Why the newest promotion does not answer; empty where it does."""
        if self._poll_error:
            return "the promotions cannot be read; the server's log says why"
        return self._problem

    async def load(self) -> None:
        """Load the first engine; raise NotFoundError or CorruptError where there is none."""
        self._serving = await asyncio.to_thread(self._load_first)

    async def follow(self, stop: asyncio.Event) -> None:
        """Check for a new champion every `poll_s` seconds until `stop` is set."""
        while self._pinned is None and not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._config.poll_s)
                return
            try:
                await self._check_promotion()
                self._poll_error = ""
            except Exception as error:
                # Retry at every poll, but log the same error only once.
                if repr(error) != self._poll_error:
                    text = "cannot check for a new champion of %s: %s; goes on trying"
                    is_expected = isinstance(error, OSError | TextVaeError)
                    _log.error(text, self._model, error, exc_info=None if is_expected else error)
                self._poll_error = repr(error)

    async def close(self, timeout_s: float) -> None:
        """Close all engines; abandon calls that are not done within `timeout_s` seconds."""
        for leased in (self._serving, self._warm):
            if leased is not None:
                self._start_closing(leased, timeout_s)
        self._serving = self._warm = None
        await asyncio.gather(*self._closings)

    async def _check_promotion(self) -> None:
        """Swap engines if another version was promoted; one that cannot load changes nothing."""
        promotion = await asyncio.to_thread(
            promotions.current_promotion, self._registry, self._model
        )
        if promotion is None:
            raise NotFoundError(
                f"{self._registry / self._model}: has no promotion any more; put the folder back"
            )
        if self._is_backing_off(promotion):
            return
        serving = self.engine.version
        if promotion.version == serving.name:
            self._problem = ""
            return
        successor = self._warm
        if (
            successor is None
            or successor.engine.version.manifest_sha256 != promotion.manifest_sha256
        ):
            successor = await self._load_successor(promotion)
        if successor is None:
            return
        self._serving, self._warm, self._problem = successor, self._serving, ""
        self.followed += 1
        _log.info("%s serves, %s ends its calls", successor.engine.version.name, serving.name)
        if not self._config.warm:
            self._close_warm()

    async def _load_successor(self, promotion: Promotion) -> _LeasedEngine | None:
        """Load the engine of a promotion; return None where it fails or is superseded meanwhile."""
        _log.info("loading %s, promotion %d", promotion.version, promotion.number)
        # There is memory for two versions: the one that answers, and one more.
        self._close_warm()
        try:
            successor = await asyncio.to_thread(self._load_promoted, promotion)
        except Exception as error:
            self._record_failure(promotion, error)
            return None
        if (
            await asyncio.to_thread(promotions.current_promotion, self._registry, self._model)
            != promotion
        ):
            _log.info("%s was superseded while it loaded", promotion.version)
            self._start_closing(successor, self._config.drain_s)
            return None
        return successor

    def _is_backing_off(self, promotion: Promotion) -> bool:
        """Return whether it is too early to retry a promotion that could not be loaded."""
        waits_s = self._failure.tried_s + self._config.retry_s - time.monotonic()
        return promotion.number == self._failure.number and waits_s > 0

    def _record_failure(self, promotion: Promotion, error: Exception) -> None:
        """Record why a promotion cannot be loaded; log the same failure only once."""
        last, self._problem = self._failure, _failure_message(promotion, error)
        self._failure = _LoadFailure(promotion.number, repr(error), time.monotonic())
        if self._failure[:2] != last[:2]:
            serving = self.engine.version.name
            _log.exception("cannot load %s; %s goes on serving", promotion.version, serving)

    def _load_first(self) -> _LeasedEngine:
        """Load the engine that a server starts with."""
        engine = load_engine(self._registry, self._model, self._pinned, self._config)
        return _LeasedEngine(engine, self._lease(engine.version.name))

    def _load_promoted(self, promotion: Promotion) -> _LeasedEngine:
        """Load the engine of exactly the version that was promoted, verified."""
        lease = self._lease(promotion.version)
        with contextlib.ExitStack() as on_failure:
            on_failure.push(lease)
            version = promoted_version(self._registry, self._model, promotion)
            leased = _LeasedEngine(start_engine(self._registry, version, self._config), lease)
            on_failure.pop_all()
        return leased

    def _lease(self, name: str) -> contextlib.ExitStack:
        """Take a lease of the version; log one warning where the registry takes none."""
        lease = contextlib.ExitStack()
        try:
            lease.enter_context(hold_lease(self._registry, self._model, name, "serve"))
        except (OSError, NotImplementedError) as error:  # read-only, or a disk without locks
            if not self._lease_warned:
                _log.warning("what is served here is not protected from a prune: %s", error)
            self._lease_warned = True
        return lease

    def _close_warm(self) -> None:
        """Close the engine that answered before; its last calls have `drain_s` seconds."""
        if self._warm is not None:
            self._start_closing(self._warm, self._config.drain_s)
            self._warm = None

    def _start_closing(self, leased: _LeasedEngine, timeout_s: float) -> None:
        """Close an engine in a thread, and end its lease."""
        closing = asyncio.create_task(asyncio.to_thread(leased.close, timeout_s))
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)


def _failure_message(promotion: Promotion, error: Exception) -> str:
    """Return why a promotion does not answer, without paths, for callers."""
    match error:
        case CorruptError():
            why = "its files cannot be used"
        case NotFoundError():
            why = "it is not in the registry"
        case _:
            why = "it does not start"
    return (
        f"promotion {promotion.number} of {promotion.version} cannot be served: {why}; "
        "the server's log says more"
    )
