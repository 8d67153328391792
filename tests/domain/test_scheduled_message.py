"""What does a message remember, and how long does doubt stay?"""

from typing import get_args

import pytest
from msgspec.structs import replace

from domain.event import Event
from domain.scheduled_message import (
    STATUS_AFTER,
    DoubtResolved,
    FailedOver,
    LateResultRecorded,
    MessageRedriven,
    MessageReleased,
    ScheduledMessageEvent,
    evolve,
)
from tests.domain.message_stories import (
    ABANDONED,
    DISPATCH,
    DUE,
    FAILED,
    HISTORIES,
    IN_DOUBT,
    LATER,
    OTHER_DISPATCH,
    REPEATED,
    REQUESTED,
    SCHEDULED,
    SENT,
    SUPPRESSED,
)
from tests.given import given

RELEASED = MessageReleased(**REPEATED, dispatch_id=DISPATCH, reason="lease")
NOT_SENT = DoubtResolved(**REPEATED, outcome="not_sent", by="operator")
LATE = LateResultRecorded(**REPEATED, dispatch_id=OTHER_DISPATCH, result="accepted")


@pytest.mark.parametrize("state", [state for state in HISTORIES if state != "nothing"])
def test_each_history_leads_to_its_state(state: str) -> None:
    assert given(evolve, *HISTORIES[state]).state.status == state


def test_every_event_but_two_leads_to_one_state() -> None:
    assert set(get_args(ScheduledMessageEvent)) - set(STATUS_AFTER) == {DoubtResolved, LateResultRecorded}


@pytest.mark.parametrize(
    "event", [event for history in HISTORIES.values() for event in history[1:]], ids=lambda e: type(e).__name__
)
def test_facts_without_a_beginning_still_load(event: Event) -> None:
    assert given(evolve, event).state is None


@pytest.mark.parametrize(
    ("history", "doubtful"),
    [
        ((), True),
        ((SENT,), False),
        ((NOT_SENT,), False),
        ((DoubtResolved(**REPEATED, outcome="sent", by="lookup"),), False),
        ((FAILED,), False),
        ((RELEASED,), False),
        ((SUPPRESSED,), True),
        ((ABANDONED,), True),
        ((replace(ABANDONED, dispatch_id=DISPATCH),), False),
        ((LATE,), True),
    ],
    ids=[
        "alone",
        "accepted",
        "known as not sent",
        "known as sent",
        "failed after all",
        "never attempted",
        "cancelled",
        "abandoned by a person",
        "rejected after all",
        "late",
    ],
)
def test_doubt_stays_until_somebody_knows(history: tuple, doubtful: bool) -> None:
    message = given(evolve, SCHEDULED, REQUESTED, IN_DOUBT, *history).state
    assert message.in_doubt == doubtful
    assert message.uses_year_up == (doubtful or message.status == "sent")


def test_resolved_doubt_leads_to_sent_or_to_another_try() -> None:
    assert given(evolve, *HISTORIES["in_doubt"], NOT_SENT).state.status == "retrying"
    assert given(evolve, *HISTORIES["in_doubt"], DoubtResolved(**REPEATED, outcome="sent", by="lookup")).state.status == "sent"


@pytest.mark.parametrize("state", ["cancelled", "expired", "abandoned", "scheduled", "requested", "retrying"])
def test_what_was_never_accepted_leaves_the_year_free(state: str) -> None:
    assert not given(evolve, *HISTORIES[state]).state.uses_year_up


def test_a_retry_waits_and_a_release_does_not() -> None:
    assert given(evolve, SCHEDULED, REQUESTED, FAILED).state.retry_at == LATER
    released = given(evolve, SCHEDULED, REQUESTED, RELEASED).state
    assert (released.status, released.retry_at, released.retry_count, released.attempted) == ("retrying", None, 0, False)


def test_failing_over_changes_the_channel() -> None:
    over = FailedOver(**REPEATED, from_channel="sink", to_channel="smtp")
    assert given(evolve, *HISTORIES["retrying"], over).state.channel == "smtp"


def test_a_late_result_changes_nothing() -> None:
    for history in HISTORIES.values():
        assert given(evolve, *history, LATE).state == given(evolve, *history).state


def test_moving_a_message_keeps_what_it_is_for() -> None:
    scheduled = given(evolve, SCHEDULED).state
    assert (scheduled.user_id, scheduled.occasion, scheduled.due_at) == (SCHEDULED.user_id, SCHEDULED.occasion, DUE)


def test_a_redrive_in_doubt_may_go_out_twice_until_it_is_in_doubt_anew() -> None:
    redriven = MessageRedriven(**REPEATED, by="cli", send_before=LATER)
    again = replace(REQUESTED, dispatch_id=OTHER_DISPATCH)
    told = (*HISTORIES["in_doubt"], redriven, again)
    assert not given(evolve, *told).state.waits_for_a_person
    assert given(evolve, *told).state.uses_year_up
    assert not given(evolve, *told, replace(FAILED, dispatch_id=OTHER_DISPATCH)).state.waits_for_a_person
    assert given(evolve, *told, replace(IN_DOUBT, dispatch_id=OTHER_DISPATCH)).state.waits_for_a_person
    assert not given(evolve, *HISTORIES["abandoned"], redriven, again).state.waits_for_a_person
