"""Dispatch: one batch of messages for one channel and region, where claim and withdrawal meet and exactly one wins."""

from datetime import UTC, datetime
from typing import Final, Literal, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from domain.errors import AlreadyClaimed, BeingSent, DispatchUnknown
from domain.event import Event

MOST_MEMBERS: Final = 100


class DispatchRequested(Event, frozen=True, tag="dispatch.requested.v1"):
    channel: str
    region: str
    message_ids: tuple[UUID, ...]


class DispatchMemberWithdrawn(Event, frozen=True, tag="dispatch.member_withdrawn.v1"):
    message_id: UUID


class DispatchStarted(Event, frozen=True, tag="dispatch.started.v1"):
    worker: str
    incarnation: UUID
    claim_token: UUID


class DispatchFinished(Event, frozen=True, tag="dispatch.finished.v1"):
    how: Literal["recorded", "withdrawn", "worker_dead"]


DispatchEvent = DispatchRequested | DispatchMemberWithdrawn | DispatchStarted | DispatchFinished


class Dispatch(Struct, frozen=True, kw_only=True):
    """What claim, withdrawal and recovery decide on. `members` are those not withdrawn."""

    channel: str
    region: str
    members: tuple[UUID, ...]
    status: Literal["requested", "started", "finished"] = "requested"
    worker: str = ""
    incarnation: UUID | None = None
    claim_token: UUID | None = None


def evolve(dispatch: Dispatch | None, event: DispatchEvent) -> Dispatch | None:
    """Fold one fact in. Never refuses."""
    match event:
        case DispatchRequested():
            return Dispatch(channel=event.channel, region=event.region, members=event.message_ids)
        case DispatchMemberWithdrawn():
            left = tuple(member for member in dispatch.members if member != event.message_id) if dispatch else ()
            return dispatch and replace(dispatch, members=left)
        case DispatchStarted():
            return dispatch and replace(
                dispatch, status="started", worker=event.worker, incarnation=event.incarnation, claim_token=event.claim_token
            )
        case DispatchFinished():
            return dispatch and replace(dispatch, status="finished")
        case _:
            assert_never(event)


def request(channel: str, region: str, message_ids: tuple[UUID, ...]) -> list[DispatchEvent]:
    """Offer these messages, at most MOST_MEMBERS, to the workers."""
    if not 0 < len(message_ids) <= MOST_MEMBERS:
        raise ValueError(f"a dispatch has 1 to {MOST_MEMBERS} members, not {len(message_ids)}")
    return [DispatchRequested(channel=channel, region=region, message_ids=message_ids)]


def withdraw(dispatch: Dispatch | None, message_id: UUID) -> list[DispatchEvent]:
    """Take one message back before any worker claims it; the last one to go finishes the dispatch.

    Raises BeingSent once claimed, DispatchUnknown.
    """
    known = _known(dispatch)
    if known.status != "requested" or message_id not in known.members:
        raise BeingSent
    withdrawn: list[DispatchEvent] = [DispatchMemberWithdrawn(message_id=message_id)]
    return withdrawn if len(known.members) > 1 else [*withdrawn, DispatchFinished(how="withdrawn")]


def start(dispatch: Dispatch | None, worker: str, incarnation: UUID, claim_token: UUID) -> list[DispatchEvent]:
    """Claim every member for one worker. Raises AlreadyClaimed, DispatchUnknown."""
    if _known(dispatch).status != "requested":
        raise AlreadyClaimed
    return [DispatchStarted(worker=worker, incarnation=incarnation, claim_token=claim_token)]


def finish(dispatch: Dispatch | None, how: Literal["recorded", "withdrawn", "worker_dead"]) -> list[DispatchEvent]:
    """Close a claimed dispatch, or withdraw all that is left of one; again is not news. Raises DispatchUnknown."""
    return [] if _known(dispatch).status == "finished" else [DispatchFinished(how=how)]


def requested_at(dispatch_id: UUID) -> datetime | None:
    """When a dispatch was requested, as its ID tells (UUIDv7, RFC 9562, 5.7); None for an ID of another kind."""
    if dispatch_id.version != 7:
        return None
    return datetime.fromtimestamp((dispatch_id.int >> 80) / 1000, UTC)


def _known(dispatch: Dispatch | None) -> Dispatch:
    if dispatch is None:
        raise DispatchUnknown
    return dispatch
