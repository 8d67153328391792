"""What does a route promise, and how does a request get to its handler and back?"""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import datetime
from email.message import Message as MimeHeader
from functools import partial
from http import HTTPStatus
from typing import Any, Final, Generic, TypeVar
from uuid import UUID

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio import CapacityLimiter
from msgspec import Struct
from msgspec.structs import replace
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from api import position_wire
from api.problems import BodyTooLarge, Lagging, Truncated, WrongMediaType
from api.request_wire import NoParameters, decode_query
from api.service import Service
from application.ports import Log, Origin, Position
from projections.projection import Projection

Q = TypeVar("Q", bound=Struct)

JSON: Final = ("application/json",)
UPLOADS_AT_ONCE: Final = 4
WAITING_AT_ONCE: Final = 100
"""Of one resource. They have threads of their own, so that others, and questions after readiness, are answered meanwhile."""


class Call(Struct, Generic[Q], frozen=True, kw_only=True):
    """One request, decoded as far as its route says."""

    service: Service
    query: Q
    path: Mapping[str, Any]
    media_type: str
    accept: str
    body: bytes
    chunks: Iterator[bytes]  # the body of a streamed route
    origin: Origin
    position: Position | None

    @property
    def now(self) -> datetime:
        """The clock's time. Raises StoreUnavailable where no database has told it yet."""
        return self.service.clock.now()

    @property
    def id(self) -> UUID:
        """The {id} of the path."""
        found: UUID = self.path["id"]
        return found

    def wait_for(self, read_model: Projection) -> None:
        """Until the read model has seen the positions that came with the request, if any. Raises Lagging, StoreUnavailable."""
        service = self.service
        if self.position and not service.followers.wait_for(read_model, self.position, service.wait_seconds):
            raise Lagging

    def wait_for_log(self, log: Log) -> None:
        """The same for what reads a log's events themselves. Raises Lagging, StoreUnavailable."""
        service = self.service
        if self.position and not service.followers.wait_for_log(log, self.position, service.wait_seconds):
            raise Lagging


class Endpoint(Struct, frozen=True):
    """One method of one path. Its handler's docstring is its summary."""

    method: str
    path: str  # in Starlette's form
    handler: Callable[[Call[Any]], Response]
    query: type[Struct] = NoParameters
    body: Any = None  # its shape
    media: Sequence[str] = ()  # the content types it takes
    optional: bool = False  # the body may be left out
    streamed: bool = False  # of any size
    status: int = 200
    gives: Any = None  # the shape of the answer
    produces: str = "application/json"
    problems: Sequence[int] = ()  # those of its own
    open: bool = False  # needs no key
    blocks: bool = True  # is run in a thread; the others answer even while every thread waits for the database
    on_primary: bool = False  # a GET that no replica may answer; commands are never theirs


class Resource:
    """All methods of one path, as an ASGI application."""

    def __init__(self, service: Service, endpoints: Sequence[Endpoint], uploads: CapacityLimiter) -> None:
        self._service, self._uploads, self._waiting = service, uploads, CapacityLimiter(WAITING_AT_ONCE)
        self._by_method = {endpoint.method: endpoint for endpoint in endpoints}
        if "GET" in self._by_method:
            self._by_method["HEAD"] = self._by_method["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        endpoint = self._by_method.get(request.method)
        if endpoint is None:
            raise HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers={"Allow": ", ".join(sorted(self._by_method))})
        response = await self._answer(endpoint, request)
        await response(scope, receive, send)

    async def _answer(self, endpoint: Endpoint, request: Request) -> Response:
        media_type = _media_type(request, endpoint)
        query = decode_query(request.query_params.multi_items(), endpoint.query)
        position = request.headers.get(position_wire.HEADER)
        whole = endpoint.media and not endpoint.streamed
        call = Call(
            service=self._service,
            query=query,
            path=request.path_params,
            media_type=media_type,
            accept=request.headers.get("Accept", ""),
            body=await _body(request, self._service) if whole else b"",
            chunks=_chunks(request, self._service),
            origin=Origin(request.scope["state"].get("who", ""), request.scope["state"]["correlation_id"]),
            position=position_wire.decode(position) if position is not None else None,
        )
        if not endpoint.blocks:
            return endpoint.handler(call)
        handler = endpoint.handler
        if endpoint.method == "GET":
            handler = handler if endpoint.on_primary else partial(_asked, handler)
        elif request.scope["state"]["brought"]:
            handler = partial(_noted, handler)
        room = self._uploads if endpoint.streamed else self._waiting if position is not None or endpoint.open else None
        return await anyio.to_thread.run_sync(handler, call, limiter=room)


def _noted(handler: Callable[[Call[Any]], Response], call: Call[Any]) -> Response:
    """A command under an ID of the caller's own, which tells no instant by itself. Raises StoreUnavailable."""
    call.service.note_caller_id(call.origin.correlation_id, call.now)
    return handler(call)


def _asked(handler: Callable[[Call[Any]], Response], call: Call[Any]) -> Response:
    """A query: a replica answers it where there is one. Raises StoreUnavailable."""
    if call.service.ask_replica is None:
        return handler(call)
    return call.service.ask_replica(lambda service: handler(replace(call, service=service)))


def _media_type(request: Request, endpoint: Endpoint) -> str:
    """Raises WrongMediaType."""
    headers = request.headers
    empty = headers.get("Content-Length", "0") == "0" and "Transfer-Encoding" not in headers
    if not endpoint.media or (empty and endpoint.optional):
        return ""
    mime = MimeHeader()
    mime["Content-Type"] = headers.get("Content-Type", "none/none")
    charset = mime.get_content_charset("utf-8")
    if mime.get_content_type() not in endpoint.media or charset not in ("utf-8", "utf8"):
        raise WrongMediaType(f"This takes {' or '.join(endpoint.media)}, in UTF-8.")
    return mime.get_content_type()


async def _body(request: Request, service: Service) -> bytes:
    """Raises BodyTooLarge before more than that was read; Truncated."""
    if _announced(request) > service.max_body_bytes:
        raise BodyTooLarge
    stream, body = request.stream(), bytearray()
    while chunk := await _next(stream, service.stall_seconds):
        body += chunk
        if len(body) > service.max_body_bytes:
            raise BodyTooLarge
    _check_whole(request, len(body))
    return bytes(body)


def _chunks(request: Request, service: Service) -> Iterator[bytes]:
    """Pulled by the handler's thread from the event loop, so that no more is in memory than one chunk. Raises Truncated."""
    stream, size = request.stream(), 0
    while chunk := anyio.from_thread.run(_next, stream, service.stall_seconds):
        size += len(chunk)
        yield chunk
    _check_whole(request, size)


async def _next(stream: AsyncIterator[bytes], stall_seconds: float) -> bytes:
    """Raises Truncated where nothing more comes: nobody may hold a place for ever."""
    try:
        with anyio.fail_after(stall_seconds):
            return await anext(stream, b"")
    except TimeoutError as error:
        raise Truncated from error


def _announced(request: Request) -> int:
    length = request.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else 0


def _check_whole(request: Request, size: int) -> None:
    if size < _announced(request) or request.scope["state"].get("broken_off"):
        raise Truncated
