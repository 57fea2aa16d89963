"""The engine that answers, and its change to a newly promoted version without a failed call."""

import asyncio
import contextlib
import logging
import time
from pathlib import Path
from typing import NamedTuple

from textvae.config.serve import ServeConfig
from textvae.engine.engine import Engine
from textvae.engine.start import load_engine, start_engine
from textvae.errors import CorruptError, NotFoundError, UnavailableError
from textvae.store import promotions
from textvae.store.leases import hold_lease
from textvae.store.promotions import Promotion, promoted_version

_log = logging.getLogger(__name__)


class _Held(NamedTuple):
    """An engine, and the lease of its version, which no prune removes until the lease ends."""

    engine: Engine
    lease: contextlib.ExitStack

    def close(self, timeout_s: float) -> None:
        """Ends both."""
        with self.lease:
            self.engine.close(timeout_s)


class _Failed(NamedTuple):
    """A promotion whose version could not be loaded."""

    number: int = 0
    error: str = ""
    tried_s: float = 0.0
    """When it was tried last, on the monotonic clock."""


class Champion:
    """Holds the engine that answers and, warm for a rollback, the one that answered before.

    A version loads beside the one that answers, which ends the calls that it took. A call takes its
    engine and submits to it without awaiting anything between, so an engine that is told to close
    has all the calls it will ever get.
    """

    def __init__(self, registry: Path, model: str, version: str, config: ServeConfig) -> None:
        """An empty `version` follows the promotions of `model`; a given one is served for good."""
        self._registry = registry
        self._model = model
        self._pinned = version or None
        self._config = config
        self._serving: _Held | None = None
        self._warm: _Held | None = None
        self._unprotected = False
        self._failed = _Failed()
        self._problem = ""
        self._complaint = ""
        self._closings: set[asyncio.Task[None]] = set()

    @property
    def engine(self) -> Engine:
        """The engine that answers now; UnavailableError before there is one."""
        if self._serving is None:
            raise UnavailableError("the server is loading its model; try again in a few seconds")
        return self._serving.engine

    @property
    def problem(self) -> str:
        """Why the newest promotion is not what answers; empty where it is."""
        if self._complaint:
            return "the promotions cannot be read; the server's log says why"
        return self._problem

    async def load(self) -> None:
        """Loads the first engine; NotFoundError and CorruptError say why there is none."""
        self._serving = await asyncio.to_thread(self._first)

    async def follow(self, stop: asyncio.Event) -> None:
        """Looks for a new champion every `poll_s` seconds until `stop` is set."""
        while self._pinned is None and not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), self._config.poll_s)
                return
            try:
                await self._look()
                self._complaint = ""
            except Exception as error:
                # Five times a second is often enough to try, and too often to say it.
                if repr(error) != self._complaint:
                    text = "cannot look for a new champion of %s; goes on trying"
                    _log.exception(text, self._model)
                self._complaint = repr(error)

    async def close(self, timeout_s: float) -> None:
        """Closes all engines; calls that are not done within `timeout_s` seconds are given up."""
        for held in (self._serving, self._warm):
            if held is not None:
                self._retire(held, timeout_s)
        self._serving = self._warm = None
        await asyncio.gather(*self._closings)

    async def _look(self) -> None:
        """Swaps engines if another version was promoted; one that cannot load changes nothing."""
        promotion = await asyncio.to_thread(
            promotions.current_promotion, self._registry, self._model
        )
        if promotion is None or self._is_refused(promotion):
            return
        serving = self.engine.version
        if promotion.version == serving.name:
            self._problem = ""
            return
        held = self._warm
        if held is None or held.engine.version.manifest_sha256 != promotion.manifest_sha256:
            held = await self._loaded(promotion)
        if held is None:
            return
        self._serving, self._warm, self._problem = held, self._serving, ""
        _log.info("%s serves, %s ends its calls", held.engine.version.name, serving.name)
        if not self._config.warm:
            self._let_go()

    async def _loaded(self, promotion: Promotion) -> _Held | None:
        """The engine of a promoted version, or None where there is none or none is wanted now."""
        _log.info("loading %s, promotion %d", promotion.version, promotion.number)
        # There is room for two versions: the one that answers, and one beside it.
        self._let_go()
        try:
            held = await asyncio.to_thread(self._load, promotion)
        except Exception as error:
            self._refuse(promotion, error)
            return None
        if (
            await asyncio.to_thread(promotions.current_promotion, self._registry, self._model)
            != promotion
        ):
            _log.info("%s was superseded while it loaded", promotion.version)
            self._retire(held, self._config.drain_s)
            return None
        return held

    def _is_refused(self, promotion: Promotion) -> bool:
        """Whether it is too early to try a version again that could not be loaded."""
        waits_s = self._failed.tried_s + self._config.retry_s - time.monotonic()
        return promotion.number == self._failed.number and waits_s > 0

    def _refuse(self, promotion: Promotion, error: Exception) -> None:
        """A version that cannot be loaded changes nothing; said once, however often it is tried."""
        known, self._problem = self._failed, _refused(promotion, error)
        self._failed = _Failed(promotion.number, repr(error), time.monotonic())
        if self._failed[:2] != known[:2]:
            serving = self.engine.version.name
            _log.exception("cannot load %s; %s goes on serving", promotion.version, serving)

    def _first(self) -> _Held:
        """The engine that a server begins with."""
        engine = load_engine(self._registry, self._model, self._pinned, self._config)
        return _Held(engine, self._lease(engine.version.name))

    def _load(self, promotion: Promotion) -> _Held:
        """The engine of the very version that was promoted, verified."""
        lease = self._lease(promotion.version)
        with contextlib.ExitStack() as failed:
            failed.push(lease)
            version = promoted_version(self._registry, self._model, promotion)
            held = _Held(start_engine(self._registry, version, self._config), lease)
            failed.pop_all()
        return held

    def _lease(self, name: str) -> contextlib.ExitStack:
        """A lease of the version; where the registry takes none, a warning, once."""
        lease = contextlib.ExitStack()
        try:
            lease.enter_context(hold_lease(self._registry, self._model, name, "serve"))
        except (OSError, NotImplementedError) as error:  # read-only, or a disk without locks
            if not self._unprotected:
                _log.warning("what is served here is not protected from a prune: %s", error)
            self._unprotected = True
        return lease

    def _let_go(self) -> None:
        """Closes the engine that answered before; its last calls have `drain_s` seconds."""
        if self._warm is not None:
            self._retire(self._warm, self._config.drain_s)
            self._warm = None

    def _retire(self, held: _Held, timeout_s: float) -> None:
        """Closes an engine beside everything else, and ends its lease."""
        closing = asyncio.create_task(asyncio.to_thread(held.close, timeout_s))
        self._closings.add(closing)
        closing.add_done_callback(self._closings.discard)


def _refused(promotion: Promotion, error: Exception) -> str:
    """Why a promoted version does not answer, for callers, who learn nothing of the disk."""
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
