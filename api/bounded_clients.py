"""What may a client cost before it has asked for anything: bytes, header fields, time, and a place?"""

import asyncio
from http import HTTPStatus
from typing import Any, Final

from starlette.exceptions import HTTPException
from uvicorn.server import ServerState

from api.half_close import HearsOut
from api.problems import problem

MOST_HEAD_BYTES: Final = 64 * 1024
MOST_FIELDS: Final = 100
HEAD_SECONDS: Final = 10.0


class _HeadTooLarge(Exception):
    """More bytes or fields than any request needs; to the parser, a request that is not one."""


class BoundedClients(HearsOut):
    """uvicorn's protocol, which would keep any number of bytes of a request's head, and wait for its end for ever."""

    head_seconds = HEAD_SECONDS

    def __init__(self, config: Any, server_state: ServerState, app_state: dict[str, Any], _loop: Any = None) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self._head_bytes = 0
        self._reading_head = True
        self._waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency:
            self._turn_away(HTTPStatus.SERVICE_UNAVAILABLE)
            return
        self._waiting = self.loop.call_later(self.head_seconds, transport.close)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            return
        if self._reading_head:
            self._head_bytes += len(data)
            if self._head_bytes > MOST_HEAD_BYTES:
                self._turn_away(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
        elif self.cycle is not None and self.cycle.response_complete and self.timeout_keep_alive_task is None:
            # The rest of a body that was refused; uvicorn would wait for its end for ever.
            self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_bytes, self._reading_head = 0, True
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.head_seconds, self.transport.close)

    def on_header(self, name: bytes, value: bytes) -> None:
        super().on_header(name, value)
        if len(self.headers) > MOST_FIELDS or len(value) > MOST_HEAD_BYTES:
            raise _HeadTooLarge

    def on_headers_complete(self) -> None:
        self._reading_head = False
        self._stop_waiting()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        """To what is no HTTP; as a problem, like every refusal."""
        self._turn_away(HTTPStatus.BAD_REQUEST)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _turn_away(self, status: HTTPStatus) -> None:
        answer = problem(HTTPException(status, headers={"Connection": "close"}))
        lines = [f"HTTP/1.1 {status} {status.phrase}".encode(), *(b": ".join(field) for field in answer.raw_headers)]
        self.transport.write(b"\r\n".join(lines) + b"\r\n\r\n" + bytes(answer.body))
        self.transport.close()
