"""Who is calling, and which call is it? The key, the name it goes by, and the ID that ties a story together."""

import re
from typing import Final

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils.compat import uuid7

from api.problems import NotAuthorized, problem
from api.service import Keys

CORRELATION_ID: Final = "Ninebell-Correlation-Id"
REQUEST_ID: Final = "X-Request-ID"
TRACE_PARENT: Final = "traceparent"
"""Of W3C Trace Context; the trace's ID is taken."""

_TOKEN: Final = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_TRACE: Final = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)

log = structlog.get_logger()


class Named:
    """Gives every call its ID, which the answer repeats, and sees to it that nothing of a failure leaves but its kind."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        brought = _brought(Headers(scope=scope))
        correlation_id = brought or str(uuid7())  # which tells its instant, so that the logs can be searched for it
        scope.setdefault("state", {}).update(correlation_id=correlation_id, brought=bool(brought))
        begun = False

        async def named(message: Message) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                headers = MutableHeaders(scope=message)
                headers[CORRELATION_ID] = headers[REQUEST_ID] = correlation_id
                headers["X-Content-Type-Options"] = "nosniff"
                headers.setdefault("Cache-Control", "no-store")  # most answers are personal
            await send(message)

        try:
            await self._app(scope, receive, named)
        except Exception as error:  # noqa: BLE001  its text can quote personal data, and the server would log it
            log.error("request_failed", error=type(error).__name__, at=_place(error), correlation_id=correlation_id)
            if not begun:
                await problem(error)(scope, receive, named)


class KeyNeeded:
    """Lets nobody in without the key, but to what is open."""

    def __init__(self, app: ASGIApp, keys: Keys, is_open: frozenset[str]) -> None:
        self._app, self._keys, self._open = app, keys, is_open

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in self._open:
            await self._app(scope, receive, send)
            return
        scheme, _, key = Headers(scope=scope).get("Authorization", "").partition(" ")
        name = await run_in_threadpool(self._keys.name_of, key.strip()) if scheme.lower() == "bearer" else None
        if name is None:
            await problem(NotAuthorized())(scope, receive, send)
            return
        scope["state"]["who"] = f"key:{name}"
        await self._app(scope, receive, send)


def _brought(headers: Headers) -> str:
    """The client's own ID, if it is a plain word; else nothing."""
    for given in (headers.get(CORRELATION_ID, ""), headers.get(REQUEST_ID, "")):
        if _TOKEN.fullmatch(given):
            return given
    trace = _TRACE.fullmatch(headers.get(TRACE_PARENT, ""))
    return trace[1] if trace else ""


def _place(error: Exception) -> str:
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
