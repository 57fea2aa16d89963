"""The watch over the engines: a server whose engine is dead says so and ends, it does not hang."""

import asyncio
import faulthandler
import logging
import os
import sys
import threading

from textvae.engine.engine import STANDSTILL_S
from textvae.errors import UnavailableError
from textvae.serve.champion import Champion
from textvae.serve.in_hand import ENDING_S, Calls

WATCH_S = 0.5
"""Seconds between two looks at the engines."""
NOTICE_S = 0.05
"""Seconds for whoever watches the health to hear of it."""
EXIT_S = 5.0
"""Seconds after which the process ends whatever a thread is still at."""

_log = logging.getLogger(__name__)


async def until_dead(champion: Champion) -> UnavailableError:
    """Return what is wrong once an engine that calls can reach is dead."""
    while True:
        await asyncio.sleep(WATCH_S)
        for engine in champion.engines:
            if not engine.is_alive:
                return UnavailableError(
                    f"the engine of {engine.version.name} is dead: its thread has ended, or made "
                    f"no step for {STANDSTILL_S:g} s; the server ends, start it again"
                )


async def end_dead(error: UnavailableError, calls: Calls) -> None:
    """End the calls of a server whose engine is dead, and see to it that the process ends."""
    _log.critical("%s", error)
    faulthandler.dump_traceback(sys.__stderr__ or 2)
    guard = threading.Timer(EXIT_S, os._exit, (error.exit_code,))
    guard.daemon = True
    guard.start()
    await asyncio.sleep(NOTICE_S)
    calls.end_all("the server has failed and ends; call another")
    await calls.drain(ENDING_S)
