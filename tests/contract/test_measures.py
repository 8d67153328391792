"""Do the numbers that people are woken by say what is so?"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import pytest

from application.dispatcher_ports import DueMessage
from infrastructure.auditor import Auditor
from infrastructure.channel_states import PostgresChannels
from infrastructure.measures import Measures
from tests.contract.test_audit import of
from tests.contract.test_projector import tell
from tests.dispatcher_desks import WORKER, PostgresDesk, flight, open_desk, put
from tests.domain.message_stories import EXPIRED, HISTORIES, SCHEDULED

NOW = datetime(2027, 5, 15, 12, tzinfo=UTC)


@pytest.fixture
def desk(migrated_database: str) -> Iterator[PostgresDesk]:
    with open_desk(migrated_database) as desk:
        yield desk


def taken(desk: PostgresDesk, now: datetime = NOW) -> dict[tuple[str, ...], float]:
    """(metric, labels) → value."""
    measures = Measures(desk.store.database, ["sink", "mail"], [10, 100]).take(now)
    return {(measure.name, *labels): value for measure in measures for labels, value in measure.values.items()}


def row(number: int, ready_at: datetime, channel: str = "sink", priority: int = 100) -> DueMessage:
    return DueMessage(
        UUID(int=number), 1, "BIRTHDAY", "Europe/London", ready_at, "europe", channel, priority, ready_at, NOW, attempt=1
    )


def test_what_is_due_and_not_claimed_is_counted_by_channel_with_the_longest_wait(desk: PostgresDesk) -> None:
    minutes = [row(number, NOW - timedelta(minutes=number), priority=(10, 100)[number % 2]) for number in range(5)]
    put(desk, *minutes, row(9, NOW + timedelta(seconds=1)), row(10, NOW - timedelta(hours=1), channel="mail"))
    found = taken(desk)
    assert (found["ninebell_due_messages", "sink"], found["ninebell_due_oldest_seconds", "sink"]) == (5, 240)
    assert (found["ninebell_due_messages", "mail"], found["ninebell_due_oldest_seconds", "mail"]) == (1, 3600)


def test_of_a_great_backlog_only_so_many_are_counted(desk: PostgresDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("infrastructure.measures.MOST_COUNTED", 3)
    put(desk, *(row(number, NOW - timedelta(minutes=number)) for number in range(5)))
    found = taken(desk)
    assert (found["ninebell_due_messages", "sink"], found["ninebell_due_oldest_seconds", "sink"]) == (3, 240)


def test_a_dispatch_counts_as_waiting_until_a_worker_claims_it_and_as_in_flight_until_it_ends(desk: PostgresDesk) -> None:
    put(desk, flight(1, requested_at=NOW - timedelta(seconds=30)), flight(2, members=7, requested_at=NOW))
    assert taken(desk)["ninebell_due_messages", "sink"] == 107
    with desk.begin() as work:
        work.started([(UUID(int=1), *WORKER)])
    found = taken(desk)
    assert (found["ninebell_due_messages", "sink"], found["ninebell_due_oldest_seconds", "sink"]) == (7, 0)
    assert (found["ninebell_in_flight_messages", "sink"], found["ninebell_in_flight_messages", "mail"]) == (107, 0)
    with desk.begin() as work:
        work.finished([UUID(int=1), UUID(int=2)])
    assert taken(desk)["ninebell_in_flight_messages", "sink"] == 0


def test_what_the_audit_found_adds_up_and_says_how_old_it_is(desk: PostgresDesk) -> None:
    tell(desk.store, "messages", *(of(number, *story) for number, story in enumerate(HISTORIES.values()) if story))
    Auditor(desk.store.database).step(NOW)
    found = taken(desk, NOW + timedelta(minutes=3))
    by_status = {labels[0]: value for (name, *labels), value in found.items() if name == "ninebell_messages"}
    assert by_status == {"sent": 1, "cancelled": 1, "expired": 1, "abandoned": 1, "in_doubt": 1, "pending": 3}
    assert (found["ninebell_scheduled_messages",], found["ninebell_late_messages",]) == (sum(by_status.values()), 1)
    assert (found["ninebell_audit_age_seconds",], found["ninebell_conservation_difference",]) == (180, 0)
    with desk.store.database.cursor() as cursor:
        cursor.execute("UPDATE messages SET originator_version = 9 WHERE topic = 'message.sent.v1'")
    Auditor(desk.store.database).step(NOW + timedelta(minutes=3))
    assert taken(desk)["ninebell_conservation_difference",] == 1


def test_the_age_of_a_doubt_grows(desk: PostgresDesk) -> None:
    tell(desk.store, "messages", of(1, *HISTORIES["in_doubt"]))
    Auditor(desk.store.database).step(NOW)
    ages = [taken(desk, NOW + timedelta(hours=hours))["ninebell_in_doubt_oldest_seconds",] for hours in (1, 3)]
    assert ages[1] - ages[0] == 7200


@pytest.mark.parametrize(
    ("utc", "dates"),
    [("09:59", [14, 15]), ("10:00", [14, 15, 16]), ("11:59", [14, 15, 16]), ("12:00", [15, 16])],
)
def test_today_is_every_date_that_it_is_somewhere(desk: PostgresDesk, utc: str, dates: list[int]) -> None:
    for day in range(12, 19):
        tell(desk.store, "messages", of(day, SCHEDULED, EXPIRED, day=date(2027, 5, day)))
    Auditor(desk.store.database).step(NOW)
    at = datetime.fromisoformat(f"2027-05-15T{utc}Z")
    assert taken(desk, at)["ninebell_today_messages", "expired"] == len(dates)


def test_an_open_breaker_shows(desk: PostgresDesk) -> None:
    PostgresChannels(desk.store.database).trip("mail")
    found = taken(desk)
    assert (found["ninebell_channel_shut", "sink"], found["ninebell_channel_shut", "mail"]) == (0, 1)
