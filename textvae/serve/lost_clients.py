"""One line for clients that went away before their response, of which grpc logs tracebacks."""

import logging
import time

GRPC_LOG = "grpc._cython.cygrpc"
_BEGINNING = "ExecuteBatchError raised in core by servicer method"
"""Of what grpc logs when it cannot send a response, which is a matter of the client alone."""
LOG_S = 1.0
"""Seconds between two lines; a flood of lost clients is one."""


class LostClients(logging.Filter):
    """Lets every other record of grpc pass as it is."""

    def __init__(self) -> None:
        super().__init__()
        self._logged_s = -LOG_S
        self._unlogged = 0

    def filter(self, record: logging.LogRecord) -> bool:
        """Turn the record of a lost client into a line; drop it where one was just logged."""
        words = record.getMessage()
        if not words.startswith(_BEGINNING):
            return True
        now_s = time.monotonic()
        if now_s - self._logged_s < LOG_S:
            self._unlogged += 1
            return False
        others = f" (as were {self._unlogged} before)" if self._unlogged else ""
        method = words.removeprefix(_BEGINNING).strip(" []")
        record.msg, record.args = f"the client of {method} was gone before its response{others}", ()
        record.exc_info, record.exc_text = None, None
        record.levelno, record.levelname = logging.INFO, "INFO"
        self._logged_s, self._unlogged = now_s, 0
        return True


def log_lost_clients() -> None:
    """Say in one line that a client is lost, from here on."""
    logging.getLogger(GRPC_LOG).addFilter(LostClients())
