"""Can a person say what became of a message that may have been accepted?"""

from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.ports import Group, NewEvents, Origin
from application.resolve_doubt import resolve_doubt
from domain.errors import AlreadySent, MessageUnknown, NotAllowed
from domain.event import Event
from domain.scheduled_message import DoubtResolved, MessageRedriven
from tests.domain.message_stories import DUE, FAILED, HISTORIES, LATER, OTHER_DISPATCH, REPEATED, REQUESTED
from tests.fake_event_store import FakeEventStore

ONCALL = Origin("key:oncall", "request-7")
MESSAGE = UUID(int=1)
REDRIVEN = MessageRedriven(**REPEATED, by="cli", send_before=LATER + timedelta(hours=12))
REPEAT_FAILED = (replace(REQUESTED, dispatch_id=OTHER_DISPATCH), replace(FAILED, dispatch_id=OTHER_DISPATCH))


def told(*history: Event) -> FakeEventStore:
    store = FakeEventStore()
    assert not store.append([Group((NewEvents("messages", MESSAGE, 0, history),))], ONCALL, DUE).lost
    return store


@pytest.mark.parametrize("since", [(), (REDRIVEN,), REPEAT_FAILED], ids=["in doubt", "redriven", "repeated and refused"])
@pytest.mark.parametrize(("outcome", "status"), [("sent", "sent"), ("not_sent", "retrying")])
def test_a_person_says_what_became_of_it(since: Any, outcome: Literal["sent", "not_sent"], status: str) -> None:
    store = told(*HISTORIES["in_doubt"], *since)
    position = resolve_doubt(MESSAGE, outcome, store, ONCALL, LATER)
    last = store.history("messages", MESSAGE)[-1]
    assert isinstance(last.event, DoubtResolved)
    assert (last.event.by, last.position, last.origin) == ("key:oncall", position.messages, ONCALL)
    message = store.load_messages([MESSAGE])[MESSAGE].state
    assert message
    assert (message.status, message.in_doubt, message.retry_at) == (status, False, None)


@pytest.mark.parametrize("state", ["scheduled", "retrying", "cancelled", "expired", "abandoned"])
def test_what_is_not_in_doubt_needs_no_resolving(state: str) -> None:
    store = told(*HISTORIES[state])
    with pytest.raises(NotAllowed, match="cannot resolve doubt"):
        resolve_doubt(MESSAGE, "not_sent", store, ONCALL, LATER)


def test_what_was_sent_is_known() -> None:
    with pytest.raises(AlreadySent):
        resolve_doubt(MESSAGE, "not_sent", told(*HISTORIES["sent"]), ONCALL, LATER)


def test_nobody_resolves_what_is_not_there() -> None:
    with pytest.raises(MessageUnknown):
        resolve_doubt(MESSAGE, "sent", FakeEventStore(), ONCALL, LATER)
