"""Does each case of the calendar go by its rule where nothing but the domain is asked? Their numbers are the page's."""

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import pytest

from domain import dispatch as dispatches
from domain import message_decisions as decide
from domain.delivery_policy import SHORTEST_LATE_WINDOW, send_before
from domain.dispatch import Dispatch, DispatchRequested, DispatchStarted
from domain.errors import AlreadyScheduled, AlreadySent, BeingSent, Invalid, NotAllowed
from domain.message_id import message_id
from domain.message_type import NoSuchOccasion, registry
from domain.scheduled_message import ScheduledMessage, evolve
from domain.timezones import TZDATA_VERSION, canonical
from domain.user_details import parse_details
from domain.wanted_message import WantedMessage, occasions, taken_types, wanted_message
from tests.calendar_cases.page import Who, instant, vectors, who

ADA: Final = UUID(int=1)
TODAY: Final = date(2027, 5, 15)
NOON: Final = datetime(2027, 5, 15, 12, tzinfo=UTC)
DUE: Final = datetime(2027, 5, 15, 8, tzinfo=UTC)
DISPATCH: Final = UUID(int=77)


def wanted(person: Who, on: date) -> dict[str, WantedMessage]:
    user = person.user
    return {
        kind.name: wanted_message(ADA, user, kind, occasion)
        for kind in taken_types(user, person.types)
        for occasion in occasions(user, kind, on, on)
    }


@pytest.mark.parametrize(("kind", "text", "occasion", "due", "rule"), vectors("Instants"))
def test_a_message_is_due(kind: str, text: str, occasion: str, due: str, rule: str) -> None:
    message = wanted(who(text), date.fromisoformat(occasion)).get(kind)

    if due == "none":
        assert message is None
    else:
        assert message
        assert (message.due_at, message.rule, message.tzdata) == (instant(due), rule, TZDATA_VERSION)
        assert message.timezone == who(text).user.timezone


@pytest.mark.parametrize(("field", "said", "answer", "name"), vectors("What is accepted"))
def test_what_is_said_is_accepted_or_refused(field: str, said: str, answer: str, name: str) -> None:
    person = {"first_name": "Ada", "email": "ada@example.org", "timezone": "Europe/London"}
    person[field] = "" if said == "(empty)" else said

    if answer == "accepted":
        assert str(getattr(parse_details(person, types=registry().names, now=NOON), field)) == said
        assert not name or canonical(said) == name
        return
    with pytest.raises(Invalid) as refused:
        parse_details(person, types=registry().names, now=NOON)
    (problem,) = refused.value.problems
    assert problem.field == field
    assert name in problem.reason


@pytest.mark.parametrize(("kind", "text", "occasion", "subject"), vectors("Words"))
def test_a_message_says(kind: str, text: str, occasion: str, subject: str) -> None:
    person = who(text)
    if subject == "none":
        with pytest.raises(NoSuchOccasion):
            person.types[kind].render(person.user, date.fromisoformat(occasion))
    else:
        assert person.types[kind].render(person.user, date.fromisoformat(occasion)).subject == subject


def message(due_at: datetime = DUE, timezone: str = "Europe/London", tzdata: str = TZDATA_VERSION) -> ScheduledMessage:
    facts: dict[str, Any] = {"user_id": ADA, "message_type": "BIRTHDAY", "occasion": TODAY, "type_version": 1}
    (scheduled,) = decide.schedule(None, **facts, timezone=timezone, due_at=due_at, rule="plain", tzdata=tzdata)
    return after(None, [scheduled])


def after(before: ScheduledMessage | None, events: list[Any]) -> ScheduledMessage:
    for event in events:
        before = evolve(before, event)
    assert before
    return before


def requested() -> ScheduledMessage:
    known = message()
    return after(known, decide.request(known, channel="sink", dispatch_id=DISPATCH))


def sent() -> ScheduledMessage:
    known = requested()
    answer: dict[str, Any] = {"response_code": 200, "provider_id": "", "template_version": 1}
    return after(known, decide.record_sent(known, sent_at=DUE, dispatch_id=DISPATCH, **answer))


def batch(*, started: bool) -> Dispatch:
    known = dispatches.evolve(None, DispatchRequested("sink", "europe", (message_id(ADA, "BIRTHDAY", TODAY), UUID(int=5))))
    assert known
    claimed = dispatches.evolve(known, DispatchStarted("worker", UUID(int=3), UUID(int=4))) if started else known
    assert claimed
    return claimed


def test_case_07_an_instant_that_moved_with_the_rules_is_rescheduled_and_one_that_did_not_is_no_news() -> None:
    moved: dict[str, Any] = {"timezone": "Europe/London", "rule": "plain", "tzdata": TZDATA_VERSION, "reason": "tzdata"}
    (event,) = decide.reschedule(message(tzdata="2025b"), due_at=DUE - timedelta(hours=1), **moved)
    assert after(message(), [event]).reason == "tzdata"
    assert decide.reschedule(message(), due_at=DUE, **moved) == []


def test_case_09_who_moved_past_the_send_time_has_the_rest_of_the_day_there() -> None:
    new = wanted(who("birthday 1990-05-15, zone Asia/Tokyo"), TODAY)["BIRTHDAY"]
    assert new.due_at == datetime(2027, 5, 15, 0, tzinfo=UTC)
    assert new.send_before == datetime(2027, 5, 15, 15, tzinfo=UTC)


def test_case_10_the_same_occasion_is_never_scheduled_or_moved_once_it_was_sent() -> None:
    assert message_id(ADA, "BIRTHDAY", TODAY) == wanted(who("birthday 1990-05-15, zone Asia/Tokyo"), TODAY)["BIRTHDAY"].message_id
    with pytest.raises(AlreadySent):
        decide.reschedule(sent(), due_at=DUE, timezone="America/New_York", rule="plain", tzdata="", reason="zone_moved")


def test_case_11_a_zone_change_withdraws_what_nobody_started_and_nothing_else() -> None:
    member = message_id(ADA, "BIRTHDAY", TODAY)
    assert dispatches.withdraw(batch(started=False), member)
    with pytest.raises(BeingSent):
        dispatches.withdraw(batch(started=True), member)
    with pytest.raises(BeingSent):
        decide.reschedule(requested(), due_at=DUE, timezone="Asia/Tokyo", rule="plain", tzdata="", reason="zone_moved")


def test_case_12_what_was_sent_uses_the_year_up_and_what_was_cancelled_does_not() -> None:
    assert sent().uses_year_up
    assert not after(message(), decide.cancel(message(), "birthday_changed")).uses_year_up
    with pytest.raises(AlreadySent):
        decide.cancel(sent(), "birthday_changed")


@pytest.mark.parametrize(
    ("at", "in_time"), [("2027-05-15 07:59:59", True), ("2027-05-15 22:59:59", True), ("2027-05-15 23:00", False)]
)
def test_case_13_on_the_day_itself_there_is_time_to_the_end_of_the_local_day(at: str, in_time: bool) -> None:
    assert (instant(at) < wanted(who("birthday 1990-05-15"), TODAY)["BIRTHDAY"].send_before) is in_time


@pytest.mark.parametrize(
    ("due", "window", "end"),
    [
        pytest.param("2027-05-15 08:00", None, "2027-05-15 23:00", id="to-the-end-of-the-day"),
        pytest.param("2027-05-15 19:00", None, "2027-05-16 07:00", id="but-at-least-twelve-hours"),
        pytest.param("2027-05-15 08:00", timedelta(hours=2), "2027-05-15 10:00", id="or-as-the-type-says"),
    ],
)
def test_case_14_the_late_window_ends(due: str, window: timedelta | None, end: str) -> None:
    assert send_before(TODAY, "Europe/London", instant(due), window) == instant(end)
    assert timedelta(hours=12) == SHORTEST_LATE_WINDOW


def test_case_15_whatever_the_clock_shows_a_message_is_planned_once_requested_once_and_sent_once() -> None:
    facts: dict[str, Any] = {"user_id": ADA, "message_type": "BIRTHDAY", "occasion": TODAY, "type_version": 1}
    with pytest.raises(AlreadyScheduled):
        decide.schedule(message(), **facts, timezone="Europe/London", due_at=DUE, rule="plain", tzdata="")
    with pytest.raises(NotAllowed):
        decide.request(requested(), channel="sink", dispatch_id=UUID(int=78))
    with pytest.raises(AlreadySent):
        decide.request(sent(), channel="sink", dispatch_id=UUID(int=78))


@pytest.mark.parametrize("reason", ["erased", "suppressed", "type_removed"])
def test_case_16_up_to_the_start_it_is_cancelled_and_after_it_recorded_as_sent(reason: Any) -> None:
    assert after(message(), decide.cancel(message(), reason)).reason == reason
    assert after(requested(), decide.cancel(requested(), reason, given_up=DISPATCH)).status == "cancelled"
    with pytest.raises(BeingSent):
        decide.cancel(requested(), reason)
    cancelled = after(requested(), decide.cancel(requested(), reason, given_up=DISPATCH))
    answer: dict[str, Any] = {"sent_at": DUE, "response_code": 200, "provider_id": "", "template_version": 1}
    assert after(cancelled, decide.record_sent(cancelled, dispatch_id=DISPATCH, **answer)).status == "sent"


def test_case_19_two_occasions_of_a_day_are_two_messages() -> None:
    both = wanted(who("birthday 1990-05-15, anniversary 2015-05-15"), TODAY)
    assert both["BIRTHDAY"].message_id != both["ANNIVERSARY"].message_id


def test_case_20_two_users_with_one_address_have_two_messages() -> None:
    assert message_id(ADA, "BIRTHDAY", TODAY) != message_id(UUID(int=2), "BIRTHDAY", TODAY)
