"""What if a client sends too much, too slowly, or nothing at all?"""

import socket
from contextlib import suppress

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from api.bounded_clients import BoundedClients
from tests.api.serving import SECONDS, call, served


async def hear_out(request: Request) -> PlainTextResponse:
    return PlainTextResponse(f"heard {len(await request.body())}")


async def refuse(_: Request) -> PlainTextResponse:
    return PlainTextResponse("no", 403)


APP = Starlette(routes=[Route("/", hear_out, methods=["GET", "POST"]), Route("/refused", refuse, methods=["POST"])])


class Impatient(BoundedClients):
    head_seconds = 0.2


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=SECONDS)


def test_who_keeps_to_the_limits_is_heard_out() -> None:
    fields = "\n".join(f"X-{number}: {'x' * 500}" for number in range(90))
    with served(APP) as port:
        answer = call(port, f"POST / HTTP/1.1\nHost: x\n{fields}\nContent-Length: 200000", b"x" * 200_000)
    assert answer.endswith(b"heard 200000")


def test_a_head_without_end_is_refused() -> None:
    with served(APP) as port, connected(port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 66_000)
        with suppress(ConnectionResetError):  # where the server had not read all before it hung up
            assert client.recv(65536).startswith(b"HTTP/1.1 431 ")


@pytest.mark.parametrize(
    ("fields", "status"), [("X: y\n" * 101, b"400"), (f"X: {'y' * 66_000}\n", b"400"), ("X: y\n" * 99, b"200")]
)
def test_a_request_has_so_many_fields_and_they_are_so_long(fields: str, status: bytes) -> None:
    with served(APP) as port:
        answer = call(port, f"GET / HTTP/1.1\nHost: x\n{fields}".rstrip())
    assert answer.startswith(b"HTTP/1.1 " + status)


def test_what_is_no_http_is_refused_as_a_problem() -> None:
    with served(APP) as port:
        answer = call(port, "\0 \0")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHo", b"GET / HTTP/1.1\r\nHost: x\r\n\r\nGET / HT"])
def test_who_does_not_end_a_request_is_hung_up_on(said: bytes) -> None:
    with served(APP, Impatient) as port, connected(port) as client:
        client.sendall(said)
        while client.recv(65536):
            pass


def test_who_goes_on_with_a_refused_body_is_hung_up_on_once_silent() -> None:
    with served(APP, timeout_keep_alive=1) as port, connected(port) as client:
        client.sendall(b"POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        answer = b""
        while not answer.endswith(b"\r\n\r\nno"):  # its head may come alone
            answer += client.recv(65536)
        assert answer.startswith(b"HTTP/1.1 403 ")
        client.sendall(b"more")
        assert client.recv(65536) == b""


def test_who_comes_when_every_place_is_taken_is_told_to_come_again() -> None:
    with served(APP, limit_concurrency=2) as port, connected(port) as first, connected(port) as second:
        with connected(port) as third:
            assert third.recv(65536).startswith(b"HTTP/1.1 503 ")
        assert (first.fileno(), second.fileno()) > (0, 0)
