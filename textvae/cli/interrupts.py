"""Ctrl-C and SIGTERM: what was written is whole lines."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A signal ended the command; its exit code is that of a shell, 128 and the signal."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Interrupts:
    """Signals raise Interrupted, but for those within `held`, which do so at its end."""

    def __init__(self) -> None:
        self._is_held = False
        self._waiting = 0

    @contextmanager
    def caught(self) -> Iterator["Interrupts"]:
        """From here on, SIGINT and SIGTERM raise Interrupted in the main thread."""
        try:
            before = {
                number: signal.signal(number, self._handle)
                for number in (signal.SIGINT, signal.SIGTERM)
                # One that is ignored, as behind nohup, stays so.
                if signal.getsignal(number) is not signal.SIG_IGN
            }
        except ValueError:  # not the main thread, which alone has signals
            before = {}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold a signal back until the block has ended."""
        self._is_held = True
        try:
            yield
        finally:
            self._is_held = False
        if self._waiting:
            raise Interrupted(self._waiting)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._is_held and not self._waiting:
            self._waiting = number
            return
        if self._is_held:
            # The second one: the reader of the pipe does not read, and somebody wants an end.
            os._exit(128 + number)
        raise Interrupted(number)
