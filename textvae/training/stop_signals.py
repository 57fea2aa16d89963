"""SIGTERM and Ctrl-C as a flag, so that no step is cut in two."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType


@contextlib.contextmanager
def defer_stop_signals() -> Iterator[Callable[[], bool]]:
    """Turn SIGTERM and SIGINT into a flag while the block runs; yields the function that reads it.

    The handlers from before are restored afterwards. Signals reach the main thread alone: in any
    other the flag is never set.
    """
    requested = False

    def set_flag(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        requested = True

    in_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if in_main else ()
    handlers = {number: signal.signal(number, set_flag) for number in numbers}
    try:
        yield lambda: requested
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
