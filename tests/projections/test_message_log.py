"""Does the log say of each message what became of it?"""

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace
from psycopg import sql

from application.reschedule_message import FARTHEST
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import (
    DoubtResolved,
    MessageRedriven,
    MessageRescheduled,
    MessageScheduled,
    Reason,
    ScheduledMessage,
    SendRequested,
    evolve,
)
from infrastructure.database import Database
from infrastructure.partitions import ensure_partitions
from projections import message_log
from projections.logged_message import LoggedMessage, reason_shown
from projections.message_filter import Asked, condition
from projections.message_log import MESSAGE_LOG
from projections.page_cursor import BadCursor
from projections.projection import Cursor, Projection
from tests.contract.example_events import EXAMPLES
from tests.domain.message_stories import (
    ABANDONED,
    DISPATCH,
    DUE,
    EXPIRED,
    FAILED,
    HISTORIES,
    IN_DOUBT,
    LATER,
    REPEATED,
    REQUESTED,
    SCHEDULED,
    SENT,
    SUPPRESSED,
    USER,
)
from tests.projections.telling import AT, ReadModel

ID = message_id(USER, "BIRTHDAY", date(2027, 5, 15))
REPEAT = replace(REQUESTED, attempt=2, dispatch_id=UUID(int=12), repeat_of=DISPATCH)
LONG_STORY = (
    SCHEDULED,
    REQUESTED,
    FAILED,
    replace(REQUESTED, attempt=2),
    IN_DOUBT,
    REPEAT,
    FAILED,
    replace(REQUESTED, attempt=4),
    SENT,
)


@pytest.fixture
def log(read_model: Callable[[Projection], ReadModel]) -> ReadModel:
    return read_model(MESSAGE_LOG)


def state_of(*events: Any) -> ScheduledMessage:
    state = None
    for event in events:
        state = evolve(state, event)
    assert state
    return state


def ids(page: message_log.Page) -> list[UUID]:
    return [message.id for message in page.items]


@pytest.mark.parametrize(
    "history", [history for history in HISTORIES.values() if history], ids=[name for name in HISTORIES if name != "nothing"]
)
def test_a_message_stands_in_the_log_as_its_history_says(log: ReadModel, cursor: Cursor, history: tuple[Event, ...]) -> None:
    log.given(ID, *history)
    found, state = message_log.one(cursor, ID), state_of(*history)
    assert found
    for field in (
        "status",
        "user_id",
        "message_type",
        "occasion",
        "timezone",
        "due_at",
        "attempts",
        "channel",
        "sent_at",
        "in_doubt",
    ):
        assert getattr(found, field) == getattr(state, field), field
    assert found.updated_at == AT


def test_a_message_sent_within_its_minute_has_no_reason(log: ReadModel, cursor: Cursor) -> None:
    moved = MessageRescheduled(**REPEATED, reason="zone_moved", rule="plain", tzdata="2026f")
    log.given(ID, SCHEDULED, moved, REQUESTED, replace(SENT, sent_at=DUE + timedelta(seconds=59)))
    found = message_log.one(cursor, ID)
    assert found
    assert (found.status, found.reason) == ("sent", "")


def test_a_message_sent_after_its_minute_was_late(log: ReadModel, cursor: Cursor) -> None:
    log.given(ID, SCHEDULED, REQUESTED, replace(SENT, sent_at=DUE + timedelta(seconds=60)))
    found = message_log.one(cursor, ID)
    assert found
    assert (found.status, found.reason) == ("sent", "late")


@pytest.mark.parametrize(("last", "reason"), [(SUPPRESSED, "suppressed"), (EXPIRED, "late_window")])
def test_a_message_that_is_not_sent_says_why(log: ReadModel, cursor: Cursor, last: Event, reason: str) -> None:
    log.given(ID, SCHEDULED, last)
    found = message_log.one(cursor, ID)
    assert found
    assert found.reason == reason


def test_doubt_sticks_to_a_message_that_is_requested_again(log: ReadModel, cursor: Cursor) -> None:
    log.given(ID, SCHEDULED, REQUESTED, IN_DOUBT).given(ID, REPEAT)
    found = message_log.one(cursor, ID)
    assert found
    assert (found.status, found.reason, found.in_doubt, found.attempts) == ("requested", "doubt", True, 2)


def test_a_doubt_after_a_restore_says_so_until_it_is_resolved(log: ReadModel, cursor: Cursor) -> None:
    log.given(ID, SCHEDULED, replace(IN_DOUBT, reason="restored", dispatch_id=None))
    found = message_log.one(cursor, ID)
    assert found
    assert (found.status, found.reason, found.in_doubt) == ("in_doubt", "restored", True)
    log.given(ID, DoubtResolved(**REPEATED, outcome="not_sent", by="cli"))
    found = message_log.one(cursor, ID)
    assert found
    assert (found.status, found.reason) == ("retrying", "")


def test_doubt_that_is_resolved_leaves_no_reason_on_a_message_still_to_be_sent(log: ReadModel, cursor: Cursor) -> None:
    log.given(ID, SCHEDULED, REQUESTED, IN_DOUBT, DoubtResolved(**REPEATED, outcome="not_sent", by="cli"))
    found = message_log.one(cursor, ID)
    assert found
    assert (found.status, found.reason, found.in_doubt) == ("retrying", "", False)


@pytest.mark.parametrize("size", range(1, len(LONG_STORY) + 1))
def test_however_the_log_is_cut_into_batches_the_row_and_the_totals_come_out_the_same(
    log: ReadModel, cursor: Cursor, size: int
) -> None:
    for start in range(0, len(LONG_STORY), size):
        log.given(ID, *LONG_STORY[start : start + size])
    found = message_log.one(cursor, ID)
    assert found
    assert (found.status, found.reason, found.attempts, found.in_doubt, found.sent_at) == ("sent", "late", 4, False, LATER)
    assert {status: number for status, number in message_log.totals(cursor).items() if number} == {"sent": 1}


def test_every_event_after_every_history_changes_the_row_as_it_changes_the_aggregate(log: ReadModel, cursor: Cursor) -> None:
    afterwards = [event for event in EXAMPLES if type(event) in MESSAGE_LOG.kinds and not isinstance(event, MessageScheduled)]
    stories = [(*history, event, REPEAT, event) for history in HISTORIES.values() if history for event in afterwards]
    names = [message_id(UUID(int=number), "BIRTHDAY", date(2027, 5, 15)) for number in range(len(stories))]
    for step in range(6):  # the whole of each story is told an event at a time, so that the row alone carries it on
        log.given_batch([(name, story[step]) for name, story in zip(names, stories, strict=True) if step < len(story)])
    for name, story in zip(names, stories, strict=True):
        found, state = message_log.one(cursor, name), state_of(*story)
        assert found
        assert comparable(found) == comparable(state), story
        assert found.reason == reason_shown(state), story


def comparable(message: LoggedMessage | ScheduledMessage) -> list[Any]:
    return [getattr(message, field) for field in ("status", "timezone", "due_at", "attempts", "channel", "sent_at", "in_doubt")]


def test_a_redriven_message_no_longer_says_why_it_was_given_up(log: ReadModel, cursor: Cursor) -> None:
    log.given(ID, *HISTORIES["abandoned"]).given(ID, MessageRedriven(**REPEATED, by="cli", send_before=LATER))
    found = message_log.one(cursor, ID)
    assert found
    assert (found.status, found.reason) == ("scheduled", "")


def test_what_was_never_scheduled_has_no_row(log: ReadModel, cursor: Cursor) -> None:
    log.given(ID, REQUESTED, SENT)
    assert message_log.one(cursor, ID) is None
    assert sum(message_log.totals(cursor).values()) == 0


def test_the_totals_are_the_rows_counted(log: ReadModel, cursor: Cursor) -> None:
    for day in range(1, 29):
        occasion = date(2027, 5, day)
        history = list(HISTORIES.values())[day % 8 + 1]
        log.given(message_id(USER, "BIRTHDAY", occasion), *history[:1]).given(
            message_id(USER, "BIRTHDAY", occasion), *history[1:]
        )
    cursor.execute("SELECT status, count(*) FROM message_log GROUP BY 1")
    rows: dict[str, int] = dict(cursor.fetchall())
    assert sum(rows.values()) == 28
    assert rows == message_log.totals(cursor)


def scheduled(log: ReadModel, number: int, due_minutes: int = 0, timezone: str = "Europe/London", kind: str = "BIRTHDAY") -> UUID:
    user = UUID(int=number)
    message = message_id(user, kind, date(2027, 5, 15))
    due_at = DUE + timedelta(minutes=due_minutes)
    log.given(message, replace(SCHEDULED, user_id=user, message_type=kind, timezone=timezone, due_at=due_at))
    return message


def test_the_list_goes_by_due_instant_page_by_page_without_gap_or_repetition(log: ReadModel, cursor: Cursor) -> None:
    expected = [scheduled(log, number, due_minutes=number // 3) for number in range(20)]
    seen, after = [], None
    while True:
        page = message_log.page(cursor, Asked(), after, limit=3)
        assert len(page.items) <= 3
        seen += page.items
        if not (after := page.next):
            break
    assert sorted(message.id for message in seen) == sorted(expected)
    assert [(message.due_at, message.id) for message in seen] == sorted((message.due_at, message.id) for message in seen)


def test_the_list_holds_only_what_was_asked_for(log: ReadModel, cursor: Cursor) -> None:
    here = scheduled(log, 1)
    renamed = scheduled(log, 2, due_minutes=1, timezone="Asia/Calcutta")
    greeting = scheduled(log, 3, due_minutes=2, kind="HOLIDAY_GREETING")
    log.given(greeting, SUPPRESSED)
    assert ids(message_log.page(cursor, Asked(status="cancelled"))) == [greeting]
    assert ids(message_log.page(cursor, Asked(message_type="BIRTHDAY"))) == [here, renamed]
    assert ids(message_log.page(cursor, Asked(timezone="Asia/Kolkata"))) == [renamed]
    assert ids(message_log.page(cursor, Asked(user_id=UUID(int=1)))) == [here]
    assert ids(message_log.page(cursor, Asked(due_from=DUE + timedelta(minutes=1)))) == [renamed, greeting]
    assert ids(message_log.page(cursor, Asked(due_before=DUE + timedelta(minutes=1)))) == [here]
    assert ids(message_log.page(cursor, Asked(status="scheduled", timezone="Europe/London", due_from=DUE))) == [here]


def test_a_status_is_found_on_whichever_day_it_is(log: ReadModel, cursor: Cursor) -> None:
    days = [date(2027, 5, 1), date(2027, 5, 15), date(2027, 6, 30)]
    names = [message_id(USER, "BIRTHDAY", day) for day in days]
    log.given_batch([(name, replace(SCHEDULED, occasion=day)) for name, day in zip(names, days, strict=True)])
    log.given(names[0], REQUESTED, SENT).given(names[2], SUPPRESSED)
    assert ids(message_log.page(cursor, Asked(status="sent"))) == names[:1]
    assert ids(message_log.page(cursor, Asked(status="scheduled"))) == names[1:2]
    assert ids(message_log.page(cursor, Asked(status="cancelled"))) == names[2:]
    assert ids(message_log.page(cursor, Asked(status="requested"))) == []
    assert ids(message_log.page(cursor, Asked(status="sent", due_from=DUE + timedelta(days=1)))) == []


def test_what_is_due_before_its_date_or_long_after_is_found_by_when_it_is_due(log: ReadModel, cursor: Cursor) -> None:
    day, noon = date(2027, 6, 1), datetime(2027, 6, 1, 12, tzinfo=UTC)
    moved_farthest, moved_ahead, first_on_earth, last_on_earth, begun_again = everything = [
        message_id(UUID(int=number), "BIRTHDAY", day) for number in range(5)
    ]
    due = {
        moved_farthest: noon - FARTHEST,
        moved_ahead: noon - timedelta(days=3),
        first_on_earth: noon - timedelta(hours=26),
        last_on_earth: noon,
        begun_again: noon + timedelta(minutes=1),
    }
    log.given_batch([(name, replace(SCHEDULED, occasion=day, due_at=at)) for name, at in due.items()])
    again = MessageRedriven(**REPEATED | {"due_at": noon + timedelta(days=400)}, by="cli", send_before=noon + timedelta(days=401))
    log.given(begun_again, ABANDONED, again)
    for place, message in enumerate(everything[:-1]):
        asked = Asked(due_before=due[message] + timedelta(seconds=1))
        assert ids(message_log.page(cursor, asked)) == everything[: place + 1]
        assert message_log.count(cursor, asked) == place + 1
    assert ids(message_log.page(cursor, Asked(due_from=noon + timedelta(days=399)))) == [begun_again]
    assert ids(message_log.page(cursor, Asked(due_before=datetime.max.replace(tzinfo=UTC)))) == everything
    assert ids(message_log.page(cursor, Asked(due_before=datetime.min.replace(tzinfo=UTC)))) == []


def test_the_partitions_of_later_months_are_left_alone(log: ReadModel, cursor: Cursor) -> None:
    ensure_partitions(cursor.connection, date(2028, 5, 1), date(2028, 6, 1), "message_log")
    where, arguments = condition(cursor, Asked(due_before=datetime(2027, 5, 20, tzinfo=UTC)))
    cursor.execute(sql.SQL("EXPLAIN SELECT FROM message_log WHERE {}").format(where), arguments)
    plan = " ".join(line for (line,) in cursor.fetchall())
    assert "message_log_2028_05" in plan  # of which a message may have been moved so far ahead
    assert "message_log_2028_06" not in plan


@pytest.mark.parametrize(
    ("asked", "prepared"),
    [
        (Asked(), 1),
        (Asked(user_id=UUID(int=7)), 1),
        (Asked(status="abandoned"), 0),
        (Asked(message_type="NAME_DAY"), 0),
        (Asked(error="no"), 0),
    ],
)
def test_what_may_be_rare_is_planned_for_what_was_asked_however_often(
    log: ReadModel, opened: Database, asked: Asked, prepared: int
) -> None:
    scheduled(log, 1)
    with opened.direct() as connection, connection.cursor() as cursor:
        for _ in range(20):
            message_log.page(cursor, asked)
            message_log.count(cursor, asked)
        cursor.execute("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE '%ORDER BY due_at, id LIMIT%'")
        assert cursor.fetchall() == [(prepared,)]


def test_a_reason_is_found_as_it_is_shown(log: ReadModel, cursor: Cursor) -> None:
    punctual, late, moved, unwanted = (scheduled(log, number, due_minutes=number) for number in range(4))
    by_new_rules = MessageRescheduled(**REPEATED, reason="tzdata", rule="plain", tzdata="2026f")
    log.given(punctual, by_new_rules, REQUESTED, replace(SENT, sent_at=DUE + timedelta(seconds=59)))
    log.given(late, REQUESTED, SENT).given(moved, by_new_rules).given(unwanted, SUPPRESSED)
    expected: dict[Reason, list[UUID]] = {"late": [late], "tzdata": [moved], "suppressed": [unwanted], "erased": []}
    for reason, found in expected.items():
        page = message_log.page(cursor, Asked(reason=reason, due_from=DUE - timedelta(hours=1)))
        assert ids(page) == found, reason
        assert {message.reason for message in page.items} <= {reason}
    assert ids(message_log.page(cursor, Asked(reason="suppressed", status="cancelled"))) == [unwanted]
    assert ids(message_log.page(cursor, Asked(reason="suppressed", due_before=DUE))) == []


@pytest.mark.parametrize("together", [True, False], ids=["in one batch", "one by one"])
@pytest.mark.parametrize(
    ("history", "error"),
    [
        (HISTORIES["scheduled"], ""),
        (HISTORIES["retrying"], "not_accepted:500"),
        (HISTORIES["in_doubt"], "timeout"),
        (HISTORIES["abandoned"], "rejected:400"),
        ((*HISTORIES["retrying"], EXPIRED), "not_accepted:500"),
        ((*HISTORIES["retrying"], REQUESTED, SENT), ""),
        ((*HISTORIES["in_doubt"], DoubtResolved(**REPEATED, outcome="sent", by="cli")), ""),
        ((*HISTORIES["abandoned"], MessageRedriven(**REPEATED, by="cli", send_before=LATER)), ""),
    ],
    ids=["nothing", "failed", "in doubt", "abandoned", "expired", "sent", "resolved", "redriven"],
)
def test_a_message_says_what_went_wrong_last(
    log: ReadModel, cursor: Cursor, history: tuple[Event, ...], error: str, together: bool
) -> None:
    for part in [history] if together else [(event,) for event in history]:
        log.given(ID, *part)
    found = message_log.one(cursor, ID)
    assert found
    assert found.error == error


def test_the_dead_letter_is_searched_by_error_time_and_doubt(log: ReadModel, cursor: Cursor) -> None:
    refused, broken, doubtful = (scheduled(log, number) for number in range(3))
    log.given(refused, REQUESTED, ABANDONED, at=AT)
    log.given(broken, REQUESTED, replace(ABANDONED, error="plugin_error"), at=AT + timedelta(hours=1))
    log.given(doubtful, REQUESTED, IN_DOUBT, ABANDONED, at=AT + timedelta(hours=2))
    expected: list[tuple[dict[str, Any], list[UUID]]] = [
        ({"error": "rejected:400"}, [refused, doubtful]),
        ({"error": "plugin_error"}, [broken]),
        ({"failed_from": AT + timedelta(hours=1)}, [broken, doubtful]),
        ({"failed_before": AT + timedelta(hours=1)}, [refused]),
        ({"in_doubt": True}, [doubtful]),
        ({"in_doubt": False}, [refused, broken]),
    ]
    for asked, found in expected:
        wanted = Asked(status="abandoned", **asked)
        assert sorted(ids(message_log.page(cursor, wanted))) == sorted(found), asked
        assert message_log.count(cursor, wanted) == len(found), asked
    assert message_log.count(cursor, Asked()) == 3


def test_when_something_last_went_wrong_stays_whatever_comes_of_it(log: ReadModel, cursor: Cursor) -> None:
    log.given(ID, SCHEDULED, REQUESTED, FAILED, at=AT - timedelta(hours=2)).given(ID, REQUESTED, SENT, at=AT)
    smooth = scheduled(log, 1)
    log.given(smooth, REQUESTED, SENT)
    assert [message_log.one(cursor, each).failed_at for each in (ID, smooth)] == [AT - timedelta(hours=2), None]  # type: ignore[union-attr]
    assert ids(message_log.page(cursor, Asked(failed_from=AT - timedelta(hours=3)))) == [ID]


@pytest.mark.parametrize("messages", [0, 1, 500, 501])
def test_all_that_is_meant_is_named_page_by_page(log: ReadModel, cursor: Cursor, messages: int) -> None:
    told = [(message_id(UUID(int=number), "BIRTHDAY", date(2027, 5, 15)), SCHEDULED) for number in range(messages)]
    if told:
        log.given_batch(told)
    pages = list(message_log.id_pages(lambda after: message_log.page(cursor, Asked(status="scheduled"), after)))
    assert sorted(each for page in pages for each in page) == sorted(each for each, _ in told)
    assert all(0 < len(page) <= 500 for page in pages)


@pytest.mark.parametrize("cursor_sent", ["nonsense", "é", "W10", "WyIyMDI3LTA1LTE1IiwgMV0", "e30="])
def test_a_cursor_that_no_list_gave_out_is_refused(log: ReadModel, cursor: Cursor, cursor_sent: str) -> None:
    with pytest.raises(BadCursor):
        message_log.page(cursor, Asked(), cursor_sent)


def test_a_message_of_a_month_nobody_prepared_is_not_lost(log: ReadModel, cursor: Cursor) -> None:
    far = message_id(USER, "BIRTHDAY", date(2031, 1, 1))
    log.given(far, replace(SCHEDULED, occasion=date(2031, 1, 1)), REQUESTED)
    found = message_log.one(cursor, far)
    assert found
    assert found.status == "requested"


def test_every_event_of_a_message_is_followed() -> None:
    assert {MessageScheduled, SendRequested, DoubtResolved} <= MESSAGE_LOG.kinds
    assert len(MESSAGE_LOG.kinds) == 15
