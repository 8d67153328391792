"""Does the view hold what is still to be sent, and nothing else?"""

from collections.abc import Callable
from datetime import date, timedelta
from uuid import UUID

import pytest
from msgspec.structs import replace

from application.forecast_load import Load
from domain.event import Event
from domain.message_id import message_id
from domain.scheduled_message import LateResultRecorded, MessageReinstated, MessageRescheduled
from projections import messages_by_timezone
from projections.messages_by_timezone import MESSAGES_BY_TIMEZONE, PendingMessage, ZoneLoad
from projections.projection import Cursor, Projection
from tests.domain.message_stories import DISPATCH, DUE, HISTORIES, IN_DOUBT, REPEATED, REQUESTED, SCHEDULED, SUPPRESSED, USER
from tests.projections.telling import ReadModel

ID = message_id(USER, "BIRTHDAY", date(2027, 5, 15))
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


@pytest.fixture
def waiting(read_model: Callable[[Projection], ReadModel]) -> ReadModel:
    return read_model(MESSAGES_BY_TIMEZONE)


def pending(cursor: Cursor, timezone: str = "Europe/London") -> list[PendingMessage]:
    return messages_by_timezone.pending(cursor, timezone, DUE - DAY, DUE + DAY, 100)


@pytest.mark.parametrize("status", [name for name in HISTORIES if name != "nothing"])
@pytest.mark.parametrize("batches", [1, 2])
def test_a_message_waits_for_as_long_as_it_is_to_be_sent(waiting: ReadModel, cursor: Cursor, status: str, batches: int) -> None:
    history = HISTORIES[status]
    if batches == 1:
        waiting.given(ID, *history)
    else:
        waiting.given(ID, *history[:1]).given(ID, *history[1:])
    assert bool(pending(cursor)) == (status in ("scheduled", "requested", "retrying"))


@pytest.mark.parametrize(
    "moved",
    [
        (
            MessageRescheduled(
                **{**REPEATED, "timezone": "Asia/Calcutta", "due_at": DUE - HOUR}, reason="zone_moved", rule="plain", tzdata="t"
            ),
        ),
        (
            SUPPRESSED,
            MessageReinstated(
                **{**REPEATED, "timezone": "Asia/Calcutta", "due_at": DUE - HOUR}, reason="", rule="plain", tzdata="t"
            ),
        ),
    ],
    ids=["rescheduled", "reinstated"],
)
def test_a_moved_message_waits_at_its_new_place_only(waiting: ReadModel, cursor: Cursor, moved: tuple[Event, ...]) -> None:
    waiting.given(ID, SCHEDULED).given(ID, *moved)
    assert pending(cursor) == []
    assert pending(cursor, "Asia/Kolkata") == [PendingMessage(ID, "Asia/Kolkata", "Asia/Calcutta", DUE - HOUR, "BIRTHDAY")]


def test_a_message_in_doubt_waits_again_once_it_is_requested_again(waiting: ReadModel, cursor: Cursor) -> None:
    waiting.given(ID, SCHEDULED, REQUESTED, IN_DOUBT).given(ID, replace(REQUESTED, attempt=2, repeat_of=DISPATCH))
    assert [message.message_id for message in pending(cursor)] == [ID]


@pytest.mark.parametrize("status", ["sent", "retrying"])
def test_a_late_result_neither_brings_a_message_back_nor_takes_it_away(waiting: ReadModel, cursor: Cursor, status: str) -> None:
    late = LateResultRecorded(**REPEATED, dispatch_id=DISPATCH, result="accepted")
    waiting.given(ID, *HISTORIES[status])
    before = pending(cursor)
    waiting.given(ID, late)
    assert pending(cursor) == before


def test_zones_and_load_count_what_waits_under_the_zones_real_name(waiting: ReadModel, cursor: Cursor) -> None:
    for number, (timezone, seconds) in enumerate(
        [("Asia/Calcutta", 0), ("Asia/Kolkata", 59), ("Asia/Kolkata", 60), ("Europe/London", -1)]
    ):
        user = UUID(int=number)
        told = replace(SCHEDULED, user_id=user, timezone=timezone, due_at=DUE + timedelta(seconds=seconds))
        waiting.given(message_id(user, "BIRTHDAY", date(2027, 5, 15)), told)
    assert messages_by_timezone.zones(cursor) == [
        ZoneLoad("Europe/London", 1, DUE - timedelta(seconds=1)),
        ZoneLoad("Asia/Kolkata", 3, DUE),
    ]
    assert messages_by_timezone.load(cursor, DUE + timedelta(minutes=2)) == [
        Load(DUE - timedelta(minutes=1), "Europe/London", "BIRTHDAY", 1),
        Load(DUE, "Asia/Kolkata", "BIRTHDAY", 2),
        Load(DUE + timedelta(minutes=1), "Asia/Kolkata", "BIRTHDAY", 1),
    ]
    assert [one.messages for one in messages_by_timezone.load(cursor, DUE + timedelta(seconds=59))] == [1, 1]
