"""What is there to watch: what waits, what is in doubt, and whether everything adds up, in numbers that are cheap to ask for?"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final

from msgspec import Struct
from psycopg import Cursor

from application.channel_states import UNTROUBLED
from domain.region import REGIONS
from infrastructure.channel_states import channel_states
from infrastructure.database import Database, Row
from infrastructure.region_leaders import leaders_heard

EASTERNMOST: Final = timedelta(hours=14)  # Pacific/Kiritimati
WESTERNMOST: Final = timedelta(hours=12)  # Etc/GMT+12
Labelled = Mapping[tuple[str, ...], float]
MOST_COUNTED: Final = 50_000
"""Of each channel, region and priority: with more, how many there are matters less than what counting them would cost."""
OUTCOMES: Final = ("sent", "cancelled", "expired", "abandoned", "in_doubt", "pending")

AUDITED: Final = """
    SELECT min(oldest_doubt_at), sum(scheduled), sum(sent), sum(late), sum(cancelled), sum(expired), sum(abandoned),
        sum(in_doubt), sum(pending), sum(contradictions)
    FROM audited_days WHERE day BETWEEN %b AND %b"""
# Each priority of a region is one stretch of the index: without them all that will ever fall due would be counted.
WAITING: Final = """
    SELECT c, coalesce(sum(messages), 0)::bigint, min(since) FROM unnest(%b::text[]) AS c LEFT JOIN LATERAL (
        SELECT messages, since FROM unnest(%b::text[]) AS r, unnest(%b::int[]) AS p, LATERAL (
            SELECT count(*) AS messages, min(ready_at) AS since FROM (
                SELECT ready_at FROM due WHERE channel = c AND region = r AND priority = p AND ready_at <= %b
                ORDER BY ready_at LIMIT %b) AS first) AS ready
        UNION ALL SELECT members, requested_at FROM in_flight WHERE channel = c AND worker = '') AS unclaimed ON true
    GROUP BY c"""
IN_FLIGHT: Final = """
    SELECT c, coalesce(sum(members), 0)::bigint FROM unnest(%b::text[]) AS c LEFT JOIN in_flight ON channel = c GROUP BY c"""


class Measure(Struct, frozen=True):
    """One gauge, and its value for each set of labels."""

    name: str
    means: str
    values: Labelled
    labels: tuple[str, ...] = ()


class Audited(Struct, frozen=True):
    """The days from one to another, as last audited."""

    oldest_doubt_at: datetime | None
    scheduled: int
    sent: int
    late: int
    cancelled: int
    expired: int
    abandoned: int
    in_doubt: int
    pending: int
    contradictions: int


class Measures:
    """Reads the audited days and the dispatcher's tables."""

    def __init__(self, database: Database, channels: Sequence[str], priorities: Sequence[int]) -> None:
        self._database = database
        self._channels, self._priorities = list(channels), list(priorities)

    def take(self, now: datetime) -> list[Measure]:
        """Every gauge, from one transaction. Raises StoreUnavailable."""
        with self._database.transaction() as cursor:
            return [*_conservation(cursor, now), *_today(cursor, now), *self._on_its_way(cursor, now), _leaders(cursor)]

    def audited(self) -> Audited:
        """All days. Raises StoreUnavailable."""
        with self._database.transaction() as cursor:
            return _audited(cursor, date.min, date.max)

    def _on_its_way(self, cursor: Cursor[Row], now: datetime) -> Iterator[Measure]:
        waiting = cursor.execute(WAITING, (self._channels, list(REGIONS), self._priorities, now, MOST_COUNTED)).fetchall()
        messages: Labelled = {(channel,): float(count) for channel, count, _ in waiting}
        yield Measure(
            "ninebell_due_messages",
            f"Messages due that no worker has claimed; counted up to {MOST_COUNTED} a priority and region",
            messages,
            ("channel",),
        )
        oldest: Labelled = {(channel,): _age(since, now) for channel, _, since in waiting}
        yield Measure("ninebell_due_oldest_seconds", "How long the first of them has been due", oldest, ("channel",))
        states = channel_states(cursor)
        shut: Labelled = {(name,): float(states.get(name, UNTROUBLED).shut) for name in self._channels}
        yield Measure("ninebell_channel_shut", "1 while its breaker is open, or it throttles us", shut, ("channel",))
        flying: Labelled = {(channel,): float(count) for channel, count in cursor.execute(IN_FLIGHT, (self._channels,))}
        yield Measure("ninebell_in_flight_messages", "Messages handed to the workers and not finished", flying, ("channel",))


def _leaders(cursor: Cursor[Row]) -> Measure:
    silent: Labelled = {(role,): heard.seconds_ago for role, heard in leaders_heard(cursor).items()}
    return Measure("ninebell_leader_silent_seconds", "Since whoever leads was heard, or handed over", silent, ("role",))


def _conservation(cursor: Cursor[Row], now: datetime) -> Iterator[Measure]:
    found = _audited(cursor, date.min, date.max)
    [(as_of,)] = cursor.execute("SELECT as_of FROM audit_rounds").fetchall()
    yield _plain("ninebell_scheduled_messages", "Messages ever scheduled", found.scheduled)
    yield Measure("ninebell_messages", "These messages, by where they stand", _by_status(found, OUTCOMES), ("status",))
    yield _plain("ninebell_late_messages", "Messages sent a minute or more after their due instant", found.late)
    contradictions = "Messages that do not add up, or that a read model shows otherwise; 0, or something is wrong"
    yield _plain("ninebell_conservation_difference", contradictions, found.contradictions)
    yield _plain("ninebell_audit_age_seconds", "What happened longer ago is in these numbers", _age(as_of, now))
    yield _plain(
        "ninebell_in_doubt_oldest_seconds", "How long the first of those in doubt is so", _age(found.oldest_doubt_at, now)
    )


def _today(cursor: Cursor[Row], now: datetime) -> Iterator[Measure]:
    """A date is today somewhere for fifty hours: most of the time two of them are, for two hours a day three."""
    found = _audited(cursor, (now - WESTERNMOST).date(), (now + EASTERNMOST).date())
    means = "Messages whose date it is somewhere now, by where they stand; those late are among those sent"
    yield Measure("ninebell_today_messages", means, _by_status(found, (*OUTCOMES, "late")), ("status",))


def _audited(cursor: Cursor[Row], first: date, last: date) -> Audited:
    [(oldest_doubt_at, *sums)] = cursor.execute(AUDITED, (first, last)).fetchall()
    return Audited(oldest_doubt_at, *(int(number or 0) for number in sums))


def _by_status(found: Audited, statuses: Sequence[str]) -> Labelled:
    return {(status,): float(getattr(found, status)) for status in statuses}


def _plain(name: str, means: str, value: float) -> Measure:
    return Measure(name, means, {(): float(value)})


def _age(since: datetime | None, now: datetime) -> float:
    return max(0.0, (now - since).total_seconds()) if since else 0.0
