"""The engine that answers, and its change to a newly promoted version without a failed call."""

import asyncio
import contextlib
import logging
from pathlib import Path

from textvae.config import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.start import load_engine
from textvae.errors import UnavailableError
from textvae.store import promotions
from textvae.store.leases import leased

_log = logging.getLogger(__name__)


class Champion:
    """Holds one engine; while it changes, both: the old one ends its calls, the new one takes all.

    A call takes its engine and submits to it without awaiting anything between, so an engine that
    is told to close has all the calls it will ever get.
    """

    def __init__(self, registry: Path, model: str, version: str, config: ServeConfig) -> None:
        """An empty `version` follows the promotions of `model`; a given one is served for good."""
        self._registry = registry
        self._model = model
        self._pinned = version or None
        self._config = config
        self._engine: Engine | None = None
        self._lease = contextlib.ExitStack()
        self._unprotected = False
        self._failed = 0
        self._closings: set[asyncio.Task[None]] = set()

    @property
    def engine(self) -> Engine:
        """The engine that answers now; UnavailableError before there is one."""
        if self._engine is None:
            raise UnavailableError("the server is loading its model; try again in a few seconds")
        return self._engine

    async def load(self) -> None:
        """Loads the first engine; NotFoundError and CorruptError say why there is none."""
        self._engine, self._lease = await asyncio.to_thread(self._loaded, self._pinned)

    async def follow(self, stop: asyncio.Event) -> None:
        """Looks for a new champion every `poll_s` seconds until `stop` is set."""
        while self._pinned is None and not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._config.poll_s)
                return
            try:
                await self._look()
            except Exception:
                _log.exception("cannot look for a new champion of %s; will try again", self._model)

    async def close(self, timeout_s: float) -> None:
        """Closes all engines; calls that are not done within `timeout_s` seconds are given up."""
        if self._engine is not None:
            self._retire(self._engine, self._lease, timeout_s)
            self._engine = None
        await asyncio.gather(*self._closings)

    async def _look(self) -> None:
        """Swaps engines if another version was promoted; one that cannot load changes nothing."""
        promotion = await asyncio.to_thread(promotions.current, self._registry, self._model)
        if promotion is None or promotion.number == self._failed:
            return
        if promotion.version == self.engine.version.name:
            return
        _log.info("loading %s, promotion %d", promotion.version, promotion.number)
        try:
            engine, lease = await asyncio.to_thread(self._loaded, None)
        except Exception:
            self._failed = promotion.number
            serving = self.engine.version.name
            _log.exception("cannot load %s; %s goes on serving", promotion.version, serving)
            return
        old, self._engine = self.engine, engine
        ended, self._lease = self._lease, lease
        self._retire(old, ended, self._config.drain_s)
        _log.info("%s serves, %s ends its calls", engine.version.name, old.version.name)

    def _loaded(self, version: str | None) -> tuple[Engine, contextlib.ExitStack]:
        """An engine, and a lease of its version, which no prune removes until the lease ends."""
        engine = load_engine(self._registry, self._model, version, self._config)
        name, lease = engine.version.name, contextlib.ExitStack()
        try:
            lease.enter_context(leased(self._registry, self._model, name, "serve"))
        except (OSError, NotImplementedError) as error:  # read-only, or a disk without locks
            if not self._unprotected:
                _log.warning("what is served here is not protected from a prune: %s", error)
            self._unprotected = True
        return engine, lease

    def _retire(self, engine: Engine, lease: contextlib.ExitStack, timeout_s: float) -> None:
        """Closes `engine` beside everything else, and ends its lease."""

        def close() -> None:
            with lease:
                engine.close(timeout_s)

        closing = asyncio.create_task(asyncio.to_thread(close))
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)
