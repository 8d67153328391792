"""Forget dispatches: which batch went to which worker is kept for weeks, and while a member of it is not over."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.ports import EventReader, Stream
from application.readable import readable
from domain.scheduled_message import ScheduledMessage

YOUNGEST: Final = timedelta(weeks=8)
AT_ONCE: Final = 50
OVER: Final = frozenset(("sent", "cancelled", "expired", "abandoned"))


class FinishedDispatch(Struct, frozen=True):
    """A dispatch that all its followers have read to its end."""

    position: int  # of its last word
    dispatch_id: UUID
    members: Sequence[UUID]


class FinishedDispatches(Protocol):
    """The dispatches log, as far as it is over."""

    def page(self, after: int, before: datetime, limit: int) -> list[FinishedDispatch]:
        """By position after `after`, those finished before an instant."""

    def archived(self, message_ids: Collection[UUID]) -> set[UUID]:
        """Those whose month is archived, and so is over."""

    def forget(self, dispatch_ids: Sequence[UUID]) -> None: ...


def forget_dispatches(
    dispatches: FinishedDispatches,
    messages: EventReader,
    before: date,
    now: datetime,
    told: Callable[[int], None],
    *,
    dry_run: bool = False,
) -> int:
    """How many finished more than eight weeks ago, before the date, and have no member that is not over; `told` as it goes."""
    until = min(datetime.combine(before, time(), UTC), now - YOUNGEST)
    after = forgotten = 0
    while page := dispatches.page(after, until, AT_ONCE):
        after = page[-1].position
        members = {member for one in page for member in one.members}
        archived = dispatches.archived(members)
        streams = readable(messages.load_messages, members - archived)
        gone = [one.dispatch_id for one in page if all(each in archived or is_over(each, streams) for each in one.members)]
        if gone and not dry_run:
            dispatches.forget(gone)
        forgotten += len(gone)
        told(forgotten)
    return forgotten


def is_over(message_id: UUID, streams: Mapping[UUID, Stream[ScheduledMessage]]) -> bool:
    """Whether nobody can need to know any more how it was sent; what can't be read may be needed."""
    stream = streams.get(message_id)
    message = stream.state if stream else None
    return message is not None and message.status in OVER and not message.in_doubt
