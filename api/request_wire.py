"""How do a request's body and parameters become values, with every wrong one named?"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from types import UnionType
from typing import Annotated, Any, Final, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

from api.problems import NotReadable
from application.time_travel import Moment
from domain.errors import Invalid, Problem
from domain.timezones import NAMES, nearest

S = TypeVar("S", bound=Struct)

Limit = Annotated[int, Meta(ge=1, le=500, description="Items in an answer, at most.")]
USUAL_LIMIT: Final = 100
Instant = Annotated[datetime, Meta(tz=True, description="As it was at this instant: what was recorded by then.")]
Version = Annotated[int, Meta(ge=1, le=10**9, description="As it was after its first so many events.")]

_LONGEST_REASON: Final = 200


class NoParameters(Struct, frozen=True):
    """Of a resource that takes none."""


class Paging(Struct, frozen=True, kw_only=True):
    """Of every list."""

    limit: Limit = USUAL_LIMIT
    cursor: str | None = None


class AtThatTime(Struct, frozen=True, kw_only=True):
    """At an instant, or after its first so many events; now, if neither is said."""

    as_of: Instant | None = None
    version: Version | None = None


def moment_of(asked: AtThatTime) -> Moment | None:
    """None for now. Raises Invalid for both at once."""
    if asked.as_of is not None and asked.version is not None:
        raise Invalid([Problem("version", "goes without as_of: ask for an instant or for a version")])
    return Moment(at=asked.as_of, version=asked.version) if (asked.as_of or asked.version) else None


def decode_query(given: Iterable[tuple[str, str]], kind: type[S]) -> S:
    """Raises Invalid naming every unknown, doubled or malformed parameter."""
    values: dict[str, str] = {}
    doubled = []
    for name, value in given:
        if name in values:
            doubled.append(Problem(name, "is given twice"))
        values[name] = value
    return _decode(values, kind, "is not a parameter of this resource", doubled)


def decode_object(body: bytes) -> dict[str, Any]:
    """A JSON object whose fields are still to be checked. Raises NotReadable, Invalid."""
    try:
        body.decode()  # msgspec lets wrong UTF-8 through where it looks at no character
        value = msgspec.json.decode(body)
    except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
        raise NotReadable from error
    if not isinstance(value, dict):
        raise Invalid([Problem("", "must be a JSON object")])
    return value


def decode_body(body: bytes, kind: type[S]) -> S:
    """A JSON object of this shape; an empty body is an empty object. Raises NotReadable, Invalid."""
    return _decode(decode_object(body or b"{}"), kind, "is not a field of this request", [])


def known_zone(name: str | None) -> None:
    """Raises Invalid where no zone has this name."""
    if name is not None and name not in NAMES:
        near = nearest(name)
        raise Invalid([Problem("timezone", "is not an IANA zone" + (f"; did you mean {near}?" if near else ""))])


def _may_be_text(kind: Any) -> bool:
    arms = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
    return any(getattr(arm, "__origin__", arm) in (int, bool) for arm in arms)


def _decode(given: Mapping[str, Any], kind: type[S], unknown: str, problems: list[Problem]) -> S:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    problems = problems + [Problem(name, unknown) for name in given if name not in fields]
    values: dict[str, Any] = {}
    for name, field in fields.items():
        if name in given:
            try:
                # Only numbers and flags may be written as text; a lax instant would be any number of seconds.
                values[field.name] = msgspec.convert(given[name], field.type, strict=not _may_be_text(field.type))
            except msgspec.ValidationError as error:
                problems.append(Problem(name, str(error)[:_LONGEST_REASON]))
        elif field.required:
            problems.append(Problem(name, "is required"))
    if problems:
        raise Invalid(problems)
    return kind(**values)
