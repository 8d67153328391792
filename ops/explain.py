"""`ninebell explain`: a person's next occasions, and the story of each message."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from typing import Any
from uuid import UUID

import msgspec
from rich.console import Console

from application.explain_user import ExplainedMessage, Explanation, explain_user
from application.explain_year import days_of
from application.explain_year import explain_year as year_explained
from application.ports import EventStore, Recorded
from domain.errors import Invalid, UserErasedError, UserUnknown
from domain.event import Event, stored_name
from domain.scheduled_message import ScheduledMessage
from infrastructure.pauses import PostgresPauses
from ops.at_hand import at_hand
from ops.settings import Settings, WrongSettings

REPEATED = frozenset({"message_type", "timezone", "due_at", "user_id", "occasion"})
"""In every event, and said above."""
A_DAY = timedelta(days=1)


def explain(user: str, settings: Settings, days: int, *, as_json: bool) -> int:
    """`user` is a UUID or an external ID. Raises WrongSettings for someone who is not there."""
    with at_hand(settings, "explain") as parts, known_user():
        found = explain_user(user_id_of(user, parts.store), parts.store, parts.types, parts.clock.now(), days)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(_as_json(found)) + b"\n")
    else:
        _show(found)
    return 0


def explain_year(user: str, message_type: str, year: int, settings: Settings, *, as_json: bool) -> int:
    """Why somebody did, or did not, get a type in a year. Raises WrongSettings for someone who is not there."""
    with at_hand(settings, "explain") as parts, known_user():
        user_id, now = user_id_of(user, parts.store), parts.clock.now()
        try:
            first = datetime.combine(days_of(year)[0], time(), UTC)
            pauses = PostgresPauses(parts.database).between(first - A_DAY, now)
            found = year_explained(user_id, message_type, year, parts.store, parts.types, pauses, now)
        except (Invalid, ValueError) as error:
            raise WrongSettings(f"--{error}") from error
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
        return 0
    print(f"user {found.user_id}, {found.message_type} in {found.year}: {found.got} sent")
    for because in found.because:
        print(f"  {because.sentence}" + (f" {because.helps}" if because.helps else ""))
        if because.planned:
            print(f"    ninebell trace {because.message_id}")
    return 0


@contextmanager
def known_user() -> Iterator[None]:
    """Raises WrongSettings for someone who is not there."""
    try:
        yield
    except UserUnknown as error:
        raise WrongSettings("no user has this ID, nor this external_id") from error
    except UserErasedError as error:
        raise WrongSettings("this external_id belonged to a user who was erased") from error


def user_id_of(user: str, store: EventStore) -> UUID:
    """Whom a UUID or an external ID names. Raises UserUnknown, UserErasedError."""
    try:
        return UUID(user)
    except ValueError:
        owner = store.user_of(user)
        if owner is None:
            raise UserUnknown from None
        return owner


def _show(found: Explanation) -> None:
    console = Console(highlight=False, soft_wrap=True, markup=False)
    state = "erased" if found.erased else "suppressed" if found.suppressed else "active"
    console.print(f"user {found.user_id}, {state}, lives in {found.timezone}, takes {', '.join(found.message_types)}")
    for name, why in found.silent.items():
        console.print(f"  nothing comes of {name}: {why}")
    for message in found.messages:
        console.print()
        for line in _lines(message):
            console.print(line)
    if not found.messages:
        console.print("no occasions in this time")


def _lines(message: ExplainedMessage) -> list[str]:
    local = message.due_at + message.utc_offset
    place = f"{local:%Y-%m-%d %H:%M:%S} in {message.timezone} (UTC{_offset(message.utc_offset)})"
    return [
        f"{message.message_type} of {message.occasion}: {_status(message.message)}",
        f"  due {place} = {_instant(message.due_at)}, rule {message.rule}, tzdata {message.tzdata}",
        f"  message {message.message_id}",
        *(_story(fact) for fact in message.history),
    ]


def _status(message: ScheduledMessage | None) -> str:
    if message is None:
        return "not planned yet"
    return " ".join(filter(None, (message.status, message.reason, "(in doubt)" if message.in_doubt else "")))


def _story(fact: Recorded[Event]) -> str:
    return f"  {_instant(fact.at)}  {stored_name(type(fact.event))} by {fact.origin.who}{_data(fact.event)}"


def _data(event: Event) -> str:
    said = {name: value for name, value in _fields(event).items() if name not in REPEATED and value not in (None, "")}
    return "".join(f" {name}={value}" for name, value in said.items())


def _fields(event: Event) -> dict[str, Any]:
    return {name: msgspec.to_builtins(getattr(event, name)) for name in event.__struct_fields__}


def _as_json(found: Explanation) -> dict[str, Any]:
    messages = [
        {
            "type": message.message_type,
            "occasion": message.occasion,
            "timezone": message.timezone,
            "utc_offset": _offset(message.utc_offset),
            "due_at": message.due_at,
            "rule": message.rule,
            "tzdata": message.tzdata,
            "message_id": message.message_id,
            "status": message.message.status if message.message else None,
            "reason": message.message.reason if message.message else "",
            "history": [_fact(fact) for fact in message.history],
        }
        for message in found.messages
    ]
    return {**{name: getattr(found, name) for name in found.__struct_fields__}, "messages": messages}


def _fact(fact: Recorded[Event]) -> dict[str, Any]:
    return {
        "position": fact.position,
        "version": fact.version,
        "name": stored_name(type(fact.event)),
        "at": fact.at,
        "data": _fields(fact.event),
        "who": fact.origin.who,
        "correlation_id": fact.origin.correlation_id,
        "causation_id": fact.origin.causation_id,
    }


def _offset(offset: timedelta) -> str:
    minutes = round(offset.total_seconds() / 60)
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02}:{abs(minutes) % 60:02}"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
