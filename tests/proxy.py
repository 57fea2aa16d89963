"""A proxy that records what reaches it, and the variables by which an environment names one."""

import contextlib
import socket
import threading
from collections.abc import Iterator

DEAD = "http://127.0.0.1:9"
VARIABLES = ("grpc_proxy", "https_proxy", "http_proxy", "HTTPS_PROXY", "HTTP_PROXY", "all_proxy")
EXCEPTIONS = ("no_proxy", "NO_PROXY", "no_grpc_proxy")
ALL = (*VARIABLES, *EXCEPTIONS, "ALL_PROXY")


@contextlib.contextmanager
def proxy() -> Iterator[tuple[str, list[bytes]]]:
    """A proxy that refuses everything, and the first bytes of what reached it."""
    reached = list[bytes]()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection:
                        reached.append(connection.recv(100))
                        connection.sendall(b"HTTP/1.1 403 Forbidden\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", reached
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
