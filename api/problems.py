"""How is a refusal said in HTTP? The one table, as problems of RFC 9457."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final

import msgspec
from msgspec import Struct
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from api.people_wire import BrokenOff
from api.position_wire import BadPosition
from application.ports import BrokenStreams, StoreUnavailable
from domain.errors import Conflict, Gone, Invalid, Problem, Refusal, Unknown
from projections.page_cursor import BadCursor

MEDIA_TYPE: Final = "application/problem+json"


class WrongField(Struct, frozen=True):
    """One wrong field. `pointer` is its JSON pointer, or /NAME of a query parameter."""

    pointer: str
    detail: str


class ProblemShown(Struct, frozen=True, omit_defaults=True):
    """A problem as in RFC 9457."""

    title: str
    status: int
    type: str = "about:blank"
    detail: str = ""
    errors: Sequence[WrongField] = ()


class NotReadable(Exception):
    """The body is not what its content type says."""


class Truncated(Exception):
    """The upload broke off; nothing of it was applied."""


class BodyTooLarge(Exception):
    """The body is over the limit of 1 MiB."""


class WrongMediaType(Exception):
    """The content type is not one that this resource takes."""


class NotAuthorized(Exception):
    """This needs the key: send it as Authorization: Bearer KEY."""


class Lagging(Exception):
    """The read model has not come as far as asked in time; ask again."""


class Answered(Struct, frozen=True):
    """The status of a kind of refusal, and the headers that go with it."""

    status: HTTPStatus
    headers: Mapping[str, str] = {}


_SOON: Final = {"Retry-After": "1"}
# Only where nothing more can come: closing on a client that still sends would lose it the answer.
_CLOSE: Final = {"Connection": "close"}

PROBLEMS: Final[dict[type[Exception], Answered]] = {
    Unknown: Answered(HTTPStatus.NOT_FOUND),
    Gone: Answered(HTTPStatus.GONE),
    Conflict: Answered(HTTPStatus.CONFLICT),
    BrokenStreams: Answered(HTTPStatus.CONFLICT),
    Invalid: Answered(HTTPStatus.UNPROCESSABLE_ENTITY),
    BadCursor: Answered(HTTPStatus.UNPROCESSABLE_ENTITY),
    BadPosition: Answered(HTTPStatus.BAD_REQUEST),
    NotReadable: Answered(HTTPStatus.BAD_REQUEST),
    Truncated: Answered(HTTPStatus.BAD_REQUEST, _CLOSE),
    BrokenOff: Answered(HTTPStatus.BAD_REQUEST),
    ClientDisconnect: Answered(HTTPStatus.BAD_REQUEST, _CLOSE),
    NotAuthorized: Answered(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": 'Bearer realm="ninebell"'}),
    BodyTooLarge: Answered(HTTPStatus.REQUEST_ENTITY_TOO_LARGE),
    WrongMediaType: Answered(HTTPStatus.UNSUPPORTED_MEDIA_TYPE),
    StoreUnavailable: Answered(HTTPStatus.SERVICE_UNAVAILABLE, _SOON),
    Lagging: Answered(HTTPStatus.SERVICE_UNAVAILABLE, _SOON),
}


def problem(error: Exception) -> Response:
    """The answer to any exception; one that is in no table is a fault of ours, of which no word gets out."""
    if isinstance(error, HTTPException):
        return _response(HTTPStatus(error.status_code), headers=error.headers or {})
    answered = next((PROBLEMS[kind] for kind in type(error).__mro__ if kind in PROBLEMS), None)
    if answered is None:
        return _response(HTTPStatus.INTERNAL_SERVER_ERROR)
    return _response(answered.status, _detail(error), _errors(error), answered.headers)


def _response(
    status: HTTPStatus, detail: str = "", errors: Sequence[WrongField] = (), headers: Mapping[str, str] | None = None
) -> Response:
    shown = ProblemShown(title=status.phrase, status=status, detail=detail, errors=errors)
    return Response(msgspec.json.encode(shown), status, headers, MEDIA_TYPE)


def _detail(error: Exception) -> str:
    if isinstance(error, Invalid):
        return "Some fields are wrong; each is named."
    if isinstance(error, BrokenStreams):  # IDs and a kind of error
        return f"{error} can't be read: ninebell parked list says what was left alone, and why."
    # Only texts written in this repository are shown: those of a library can quote anything.
    said = str(error) if isinstance(error, Refusal | BrokenOff | WrongMediaType) else ""
    return said or (type(error).__doc__ or "").partition("\n")[0]


def _errors(error: Exception) -> tuple[WrongField, ...]:
    match error:
        case Invalid():
            return tuple(_wrong_field(one) for one in error.problems)
        case BadCursor():
            return (WrongField("/cursor", "is not a cursor of this list"),)
        case _:
            return ()


def _wrong_field(wrong: Problem) -> WrongField:
    """With the name escaped as in RFC 6901, and unpaired surrogates shown as such: JSON has no place for them."""
    name = wrong.field.replace("~", "~0").replace("/", "~1").encode("utf-8", "replace").decode()
    return WrongField(f"/{name}" if name else "", wrong.reason.encode("utf-8", "replace").decode())
