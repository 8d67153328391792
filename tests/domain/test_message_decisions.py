"""Every command in every state: what is taken, what is refused, and with which word?"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from msgspec.structs import replace

from domain import message_decisions as decide
from domain.errors import AlreadyScheduled, AlreadySent, BeingSent, MessageUnknown, NotAllowed, Refusal
from domain.event import Event
from domain.scheduled_message import (
    DeliveryInDoubt,
    DoubtResolved,
    FailedOver,
    LateResultRecorded,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageRedriven,
    MessageReinstated,
    MessageReleased,
    MessageRescheduled,
    MessageScheduled,
    MessageSent,
    SendRequested,
    evolve,
)
from tests.domain.message_stories import (
    ABANDONED,
    BY_OPERATOR,
    DISPATCH,
    DUE,
    EXPIRED,
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

ELSEWHERE: Final[dict[str, Any]] = {"due_at": LATER, "timezone": "Atlantic/Azores", "rule": "plain", "tzdata": "2026f"}
ACCEPTED: Final[dict[str, Any]] = {"sent_at": LATER, "response_code": 200, "provider_id": "p-1", "template_version": 1}
REFUSAL: Final[dict[str, Any]] = {"error": "not_accepted:500", "counts": True, "retry_at": LATER}
FACTS: Final = {field: getattr(SCHEDULED, field) for field in SCHEDULED.__struct_fields__}

COMMANDS: Final[dict[str, tuple[Callable[..., Any], dict[str, Any]]]] = {
    "schedule": (decide.schedule, FACTS),
    "reschedule": (decide.reschedule, {**ELSEWHERE, "reason": "zone_moved"}),
    "reschedule withdrawn": (decide.reschedule, {**ELSEWHERE, "reason": "zone_moved", "given_up": DISPATCH}),
    "cancel": (decide.cancel, {"reason": "suppressed"}),
    "cancel withdrawn": (decide.cancel, {"reason": "suppressed", "given_up": DISPATCH}),
    "expire": (decide.expire, {"reason": "late_window"}),
    "expire withdrawn": (decide.expire, {"reason": "late_window", "given_up": DISPATCH}),
    "reinstate": (decide.reinstate, ELSEWHERE),
    "request": (decide.request, {"channel": "sink", "dispatch_id": OTHER_DISPATCH}),
    "request again": (decide.request, {"channel": "sink", "dispatch_id": OTHER_DISPATCH, "may_repeat": True}),
    "record sent": (decide.record_sent, {**ACCEPTED, "dispatch_id": DISPATCH}),
    "record sent by another": (decide.record_sent, {**ACCEPTED, "dispatch_id": OTHER_DISPATCH}),
    "record failed": (decide.record_failed, {**REFUSAL, "dispatch_id": DISPATCH}),
    "record failed by another": (decide.record_failed, {**REFUSAL, "dispatch_id": OTHER_DISPATCH}),
    "record late": (decide.record_late, {"dispatch_id": OTHER_DISPATCH, "result": "accepted"}),
    "release": (decide.release, {"dispatch_id": DISPATCH, "reason": "lease"}),
    "put in doubt": (decide.put_in_doubt, {"reason": "timeout", "channel": "sink", "dispatch_id": DISPATCH}),
    "put in doubt by restore": (decide.put_in_doubt, {"reason": "restored", "channel": "sink", "dispatch_id": None}),
    "resolve doubt": (decide.resolve_doubt, {"outcome": "not_sent", "by": "operator"}),
    "fail over": (decide.fail_over, {"from_channel": "sink", "to_channel": "smtp"}),
    "abandon": (decide.abandon, {"reason": "rejected", "error": "rejected:400", "dispatch_id": DISPATCH}),
    "redrive": (decide.redrive, {"by": "operator", "due_at": LATER, "send_before": LATER + timedelta(hours=1)}),
    "redrive doubt": (
        decide.redrive,
        {"by": "operator", "due_at": LATER, "send_before": LATER + timedelta(hours=1), "accept_duplicates": True},
    ),
}

STATES: Final = ("nothing", "scheduled", "requested", "retrying", "sent", "cancelled", "expired", "abandoned", "in_doubt")
# Written down from the design's state table, not derived from the code: a column per state, in the order of STATES.
# ok is the command's own event; unknown, sent!, being, no are refusals; late is a result that no longer steers.
TABLE: Final = {
    #                            nothing   scheduled requested retrying  sent   cancelled expired abandoned in_doubt
    "schedule":                 ("ok",      "exists", "exists", "exists", "exists", "exists", "exists", "exists", "exists"),
    "reschedule":               ("unknown", "ok",     "being",  "ok",     "sent!",  "no",     "no",     "no",     "no"),
    "reschedule withdrawn":     ("unknown", "ok",     "ok",     "ok",     "sent!",  "no",     "no",     "no",     "no"),
    "cancel":                   ("unknown", "ok",     "being",  "ok",     "sent!",  "no",     "no",     "no",     "ok"),
    "cancel withdrawn":         ("unknown", "ok",     "ok",     "ok",     "sent!",  "no",     "no",     "no",     "ok"),
    "expire":                   ("unknown", "ok",     "being",  "ok",     "sent!",  "no",     "no",     "no",     "no"),
    "expire withdrawn":         ("unknown", "ok",     "ok",     "ok",     "sent!",  "no",     "no",     "no",     "no"),
    "reinstate":                ("unknown", "no",     "no",     "no",     "sent!",  "ok",     "ok",     "no",     "no"),
    "request":                  ("unknown", "ok",     "no",     "ok",     "sent!",  "no",     "no",     "no",     "no"),
    "request again":            ("unknown", "ok",     "no",     "ok",     "sent!",  "no",     "no",     "no",     "ok"),
    "record sent":              ("unknown", "ok",     "ok",     "ok",     "late",   "ok",     "ok",     "ok",     "ok"),
    "record sent by another":   ("unknown", "ok",     "ok",     "ok",     "late",   "ok",     "ok",     "ok",     "ok"),
    "record failed":            ("unknown", "late",   "ok",     "late",   "late",   "late",   "late",   "late",   "ok"),
    "record failed by another": ("unknown", "late",   "late",   "late",   "late",   "late",   "late",   "late",   "late"),
    "record late":              ("unknown", "late",   "late",   "late",   "late",   "late",   "late",   "late",   "late"),
    "release":                  ("unknown", "late",   "ok",     "late",   "late",   "late",   "late",   "late",   "ok"),
    "put in doubt":             ("unknown", "late",   "ok",     "late",   "late",   "late",   "late",   "late",   "late"),
    "put in doubt by restore":  ("unknown", "ok",     "ok",     "ok",     "sent!",  "no",     "no",     "no",     "no"),
    "resolve doubt":            ("unknown", "no",     "no",     "no",     "sent!",  "no",     "no",     "no",     "ok"),
    "fail over":                ("unknown", "ok",     "no",     "ok",     "sent!",  "no",     "no",     "no",     "no"),
    "abandon":                  ("unknown", "late",   "ok",     "ok",     "late",   "late",   "late",   "late",   "ok"),
    "redrive":                  ("unknown", "no",     "no",     "no",     "sent!",  "no",     "ok",     "ok",     "no"),
    "redrive doubt":            ("unknown", "no",     "no",     "no",     "sent!",  "no",     "ok",     "ok",     "ok"),
}  # fmt: skip
REFUSED: Final[dict[str, type[Refusal]]] = {
    "unknown": MessageUnknown,
    "exists": AlreadyScheduled,
    "sent!": AlreadySent,
    "being": BeingSent,
    "no": NotAllowed,
}
OWN_EVENT: Final[dict[str, type[Event]]] = {
    "schedule": MessageScheduled,
    "reschedule": MessageRescheduled,
    "cancel": MessageCancelled,
    "expire": MessageExpired,
    "reinstate": MessageReinstated,
    "request": SendRequested,
    "record sent": MessageSent,
    "record failed": MessageFailed,
    "release": MessageReleased,
    "put in doubt": DeliveryInDoubt,
    "resolve doubt": DoubtResolved,
    "fail over": FailedOver,
    "abandon": MessageAbandoned,
    "redrive": MessageRedriven,
}


def own_event(command: str) -> type[Event]:
    return next(OWN_EVENT[known] for known in sorted(OWN_EVENT, key=len, reverse=True) if command.startswith(known))


@pytest.mark.parametrize("command", TABLE)
@pytest.mark.parametrize("state", STATES)
def test_each_state_takes_what_the_table_says(command: str, state: str) -> None:
    decision, arguments = COMMANDS[command]
    said = TABLE[command][STATES.index(state)]
    outcome = given(evolve, *HISTORIES[state]).when(decision, **arguments)
    if said in REFUSED:
        outcome.then_refused(REFUSED[said])
    else:
        outcome.then_only(LateResultRecorded if said == "late" else own_event(command))


def test_the_table_leaves_no_command_out() -> None:
    assert TABLE.keys() == COMMANDS.keys()
    assert {type(event) for event in _one_of_each()} == {*OWN_EVENT.values(), LateResultRecorded}


def _one_of_each() -> list[Event]:
    events: list[Event] = []
    for command, row in TABLE.items():
        state = STATES[row.index("ok" if "ok" in row else "late")]
        decision, arguments = COMMANDS[command]
        events += given(evolve, *HISTORIES[state]).when(decision, **arguments).events
    return events


def test_every_event_repeats_type_zone_and_instant() -> None:
    for event in _one_of_each():
        if not isinstance(event, MessageRescheduled | MessageReinstated | MessageRedriven):
            assert {field: getattr(event, field) for field in REPEATED} == REPEATED


def test_the_same_instant_and_zone_are_not_news() -> None:
    same = {"due_at": DUE, "timezone": "Europe/London", "rule": "plain", "tzdata": "2026f", "reason": "zone_moved"}
    given(evolve, SCHEDULED).when(decide.reschedule, **same).then()


def test_only_the_dispatch_it_is_requested_for_can_be_given_up() -> None:
    given(evolve, SCHEDULED, REQUESTED).when(decide.cancel, "erased", given_up=OTHER_DISPATCH).then_refused(BeingSent)


@pytest.mark.parametrize("cancelled", [BY_OPERATOR, replace(BY_OPERATOR, reason="not_allowed")], ids=["by hand", "by setting"])
def test_an_operators_cancellation_sticks(cancelled: Event) -> None:
    given(evolve, SCHEDULED, cancelled).when(decide.reinstate, **ELSEWHERE).then_refused(NotAllowed)


@pytest.mark.parametrize("attempt", [(REQUESTED, FAILED), (REQUESTED, IN_DOUBT)], ids=["tried", "in doubt"])
@pytest.mark.parametrize("end", [SUPPRESSED, EXPIRED], ids=["cancelled", "expired"])
def test_what_a_provider_may_have_heard_of_is_not_reinstated(attempt: tuple, end: Event) -> None:
    given(evolve, SCHEDULED, *attempt, end).when(decide.reinstate, **ELSEWHERE).then_refused(NotAllowed)


def test_suppressed_and_unsuppressed_again_it_is_planned_once_more() -> None:
    back = given(evolve, SCHEDULED, SUPPRESSED).when(decide.reinstate, **ELSEWHERE).state()
    assert (back.status, back.due_at, back.timezone, back.reason) == ("scheduled", LATER, "Atlantic/Azores", "")


def test_a_birthday_moved_away_and_back_is_planned_once_more() -> None:
    moved = MessageCancelled(**REPEATED, reason="birthday_changed")
    back = (
        given(evolve, SCHEDULED, moved)
        .when(decide.reinstate, **{**ELSEWHERE, "due_at": DUE, "timezone": "Europe/London"})
        .state()
    )
    assert (back.status, back.due_at) == ("scheduled", DUE)
    given(evolve, SCHEDULED, moved, MessageReinstated(**REPEATED, reason="", rule="plain", tzdata="2026f")).when(
        decide.request, channel="sink", dispatch_id=DISPATCH
    ).then(REQUESTED)


def test_doubt_is_requested_again_only_with_the_same_key() -> None:
    repeat = given(evolve, *HISTORIES["in_doubt"]).when(
        decide.request, channel="sink", dispatch_id=OTHER_DISPATCH, repeat_of=DISPATCH, may_repeat=True
    )
    assert repeat.then_only(SendRequested).repeat_of == DISPATCH
    assert repeat.state().in_doubt


def test_a_retry_with_doubt_left_is_not_requested_as_if_nothing_were() -> None:
    doubtful_retry = (
        SCHEDULED,
        REQUESTED,
        IN_DOUBT,
        replace(REQUESTED, dispatch_id=OTHER_DISPATCH),
        replace(FAILED, dispatch_id=OTHER_DISPATCH),
    )
    assert given(evolve, *doubtful_retry).state.status == "retrying"
    given(evolve, *doubtful_retry).when(decide.request, channel="sink", dispatch_id=DISPATCH).then_refused(NotAllowed)
    given(evolve, *doubtful_retry).when(decide.fail_over, from_channel="sink", to_channel="smtp").then_refused(NotAllowed)


def test_a_provider_that_was_asked_clears_the_doubt_of_whoever_asked() -> None:
    requested_again = (SCHEDULED, REQUESTED, IN_DOUBT, replace(REQUESTED, dispatch_id=OTHER_DISPATCH))
    asked = given(evolve, *requested_again).when(decide.clear_doubt, dispatch_id=OTHER_DISPATCH, by="lookup")
    asked.then(DoubtResolved(**REPEATED, outcome="not_sent", by="lookup"))
    given(evolve, *requested_again).when(decide.clear_doubt, dispatch_id=DISPATCH, by="lookup").then()
    given(evolve, *requested_again, replace(IN_DOUBT, dispatch_id=OTHER_DISPATCH)).when(
        decide.clear_doubt, dispatch_id=OTHER_DISPATCH, by="lookup"
    ).then()
    given(evolve, SCHEDULED, REQUESTED).when(decide.clear_doubt, dispatch_id=DISPATCH, by="lookup").then()
    given(evolve).when(decide.clear_doubt, dispatch_id=DISPATCH, by="lookup").then_refused(MessageUnknown)


def test_the_next_try_is_numbered_by_the_failures_that_counted() -> None:
    again = given(evolve, *HISTORIES["retrying"]).when(decide.request, channel="sink", dispatch_id=OTHER_DISPATCH)
    assert again.then_only(SendRequested).attempt == 2


def test_a_throttled_try_burns_none() -> None:
    throttled = given(evolve, SCHEDULED, REQUESTED).when(
        decide.record_failed, error="throttled:429", counts=False, retry_at=LATER, dispatch_id=DISPATCH
    )
    assert throttled.then_only(MessageFailed).retry_count == 0


def test_a_late_acceptance_is_believed_even_after_it_was_given_up() -> None:
    for end in (ABANDONED, EXPIRED, SUPPRESSED):
        late = given(evolve, SCHEDULED, REQUESTED, end).when(decide.record_sent, **ACCEPTED, dispatch_id=DISPATCH)
        assert late.state().status == "sent"


def test_a_second_acceptance_is_kept_and_changes_nothing() -> None:
    second = given(evolve, SCHEDULED, REQUESTED, SENT).when(decide.record_sent, **ACCEPTED, dispatch_id=OTHER_DISPATCH)
    assert second.then_only(LateResultRecorded).dispatch_id == OTHER_DISPATCH
    assert second.state() == given(evolve, SCHEDULED, REQUESTED, SENT).state


def test_a_redrive_starts_its_tries_anew_and_has_its_own_deadline() -> None:
    tonight = datetime(2027, 5, 15, 22, tzinfo=UTC)
    redriven = (
        given(evolve, *HISTORIES["abandoned"]).when(decide.redrive, by="operator", due_at=LATER, send_before=tonight).state()
    )
    assert (redriven.status, redriven.due_at, redriven.send_before, redriven.retry_count) == ("scheduled", LATER, tonight, 0)
