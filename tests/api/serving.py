"""How does a test talk to the API over a real connection?"""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn
from starlette.applications import Starlette

from api.bounded_clients import BoundedClients

SECONDS = 20.0


@contextmanager
def served(app: Starlette, protocol: type[BoundedClients] = BoundedClients, **options: Any) -> Iterator[int]:
    """The port on 127.0.0.1 where uvicorn serves the application, as in production."""
    listener = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(app, http=protocol, log_config=None, access_log=False, lifespan="off", **options))
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    serving.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        server.should_exit = True
        serving.join(SECONDS)
        listener.close()


def call(port: int, head: str, *parts: bytes, end: bool = True) -> bytes:
    """Send a request's head and these parts of its body, end one's own half, and read what is answered."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(head.replace("\n", "\r\n").encode() + b"\r\n\r\n")
        for part in parts:
            connection.sendall(part)
        if end:
            connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer
