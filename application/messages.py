"""Messages: how an operator changes one message, taking it back from its dispatch if no worker has it yet."""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from application.ports import EventStore, Group, NewEvents, Origin, Position
from domain import dispatch
from domain.message_decisions import Events
from domain.scheduled_message import ScheduledMessage

Decide = Callable[[ScheduledMessage | None, UUID | None], Events]
"""State, and the dispatch given up in the same append, if any → events."""


def change(store: EventStore, message_id: UUID, decide: Decide, origin: Origin, now: datetime) -> Position:
    """Carry out one decision about one message; the position to wait for, also when nothing changed.

    Claim and withdrawal meet on the dispatch's stream, so exactly one of them wins.
    Raises BeingSent when it was the claim, and whatever `decide` raises.
    """
    while True:
        stream = store.load_messages([message_id])[message_id]
        withdrawal = _withdrawal(store, message_id, stream.state)
        events = decide(stream.state, withdrawal.stream_id if withdrawal else None)
        if not events:
            return store.head()
        changed = NewEvents("messages", message_id, stream.version, tuple(events), stream.story)
        appended = store.append([Group((changed, withdrawal) if withdrawal else (changed,))], origin, now)
        if not appended.lost:
            return appended.position


def _withdrawal(store: EventStore, message_id: UUID, state: ScheduledMessage | None) -> NewEvents | None:
    if state is None or state.status != "requested" or state.dispatch_id is None:
        return None
    stream = store.load_dispatches([state.dispatch_id])[state.dispatch_id]
    events = tuple(dispatch.withdraw(stream.state, message_id))
    return NewEvents("dispatches", state.dispatch_id, stream.version, events)
