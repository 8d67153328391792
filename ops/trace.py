"""`ninebell trace`: how is a story over three logs told at a terminal?"""

import sys
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from application.trace import Searched, Story, Told
from application.trace import trace as story_of
from domain.event import stored_name
from domain.user import PERSONAL
from infrastructure.story_search import PostgresStories
from ops.at_hand import at_hand
from ops.instants import given_instant
from ops.messages import print_json
from ops.settings import Settings

ONE_OF: Final = {"users": "user", "messages": "message", "dispatches": "dispatch"}
LONGEST_LIST: Final = 3


def trace(wanted: str, settings: Settings, since: str | None, *, personal: bool, as_json: bool) -> int:
    """1 if nothing is found. Raises WrongSettings."""
    begin = given_instant("--since", since)
    with at_hand(settings, "trace") as parts:
        story = story_of(wanted, parts.store, PostgresStories(parts.database), begin)
    if as_json:
        print_json(_as_json(story, personal=personal))
    else:
        _show(story, personal=personal)
    return 0 if story.events or story.unreadable else 1


def _show(story: Story, *, personal: bool) -> None:
    if story.kind == "nothing" and story.unreadable:
        print(f"what has this ID is out of reach: {story.id}")
    elif story.kind == "nothing":
        print(f"no user, message or dispatch has this ID, and no request of it is in the events looked through: {story.id}")
        for searched in story.searched:
            print(f"  {_reach(searched)}")
        print("ninebell trace ID --since INSTANT looks from that instant on")
    else:
        print(f"{story.kind} {story.id}: {len(story.events)} events")
    for told in story.events:
        print(_line(told, personal=personal))
    for broken in story.unreadable:
        print(broken, file=sys.stderr)
    if story.left_out:
        print(f"{story.left_out} more streams belong to this story", file=sys.stderr)


def _line(told: Told, *, personal: bool) -> str:
    fact = told.fact
    data = "".join(
        f" {name}={_brief(value)}" for name, value in _data(told, personal=personal).items() if value not in (None, "")
    )
    because = ", ".join(filter(None, (fact.origin.correlation_id, fact.origin.causation_id)))
    name = stored_name(type(fact.event))
    return f"{_instant(fact.at)}  {ONE_OF[told.log]} {fact.stream_id}  {name} by {fact.origin.who} ({because}){data}"


def _data(told: Told, *, personal: bool) -> dict[str, Any]:
    """Without what is personal, unless it is asked for."""
    event = told.fact.event
    shown = (name for name in event.__struct_fields__ if personal or name not in PERSONAL)
    return {name: msgspec.to_builtins(getattr(event, name)) for name in shown}


def _brief(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) if len(value) <= LONGEST_LIST else f"({len(value)} of them)"
    return str(value)


def _reach(searched: Searched) -> str:
    since = _instant(searched.since) if searched.since else "the beginning"
    until = _instant(searched.until) if searched.until else "now"
    return f"{searched.log}: {searched.events} events from {since} to {until}"


def _as_json(story: Story, *, personal: bool) -> dict[str, Any]:
    events = [
        {
            "log": told.log,
            "stream_id": told.fact.stream_id,
            "position": told.fact.position,
            "version": told.fact.version,
            "name": stored_name(type(told.fact.event)),
            "at": told.fact.at,
            "data": _data(told, personal=personal),
            "who": told.fact.origin.who,
            "correlation_id": told.fact.origin.correlation_id,
            "causation_id": told.fact.origin.causation_id,
        }
        for told in story.events
    ]
    rest = {"unreadable": story.unreadable, "left_out": story.left_out, "searched": story.searched}
    return {"id": story.id, "kind": story.kind, "events": events, **rest}


def _instant(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03}Z"
