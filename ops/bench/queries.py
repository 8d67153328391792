"""How long does each question take that people ask of the read models, and does an index answer it?"""

import json
from collections.abc import Callable, Container, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from time import monotonic
from typing import Any, Final, LiteralString
from uuid import UUID

import psycopg
from msgspec import Struct
from psycopg import sql

from domain.timezones import NAMES, canonical
from infrastructure.partitions import ensure_partitions, months_made
from infrastructure.user_sealer import UserSealer
from ops.bench.ground import ground
from ops.bench.past import Past, people_of
from ops.bench.people import register
from ops.bench.report import Result, Setting, Tell, figures_of, telling
from ops.wiring import Parts
from projections import analytics_view, message_log, messages_by_timezone, users_view
from projections.message_filter import Asked
from projections.projection import Cursor

DAYS: Final = 400
AHEAD_DAYS: Final = 2
A_PORTION: Final = 500_000
SMALL_TABLE: Final = 10_000
TIMES: Final = 7
BEFORE: Final = 12
"""Not counted: by the eleventh time PostgreSQL has chosen how a prepared query is planned from then on."""

# Messages over the days before and the two days ahead, as the projection would have left them.
MESSAGES: Final[LiteralString] = """
INSERT INTO message_log
SELECT (lpad(to_hex((extract(epoch FROM day) * 1000)::bigint), 12, '0')
        || '8' || substr(hash, 1, 3) || '8' || substr(hash, 4, 15))::uuid,
       substr(md5((number %% %(people)s)::text), 1, 32)::uuid,
       (ARRAY['BIRTHDAY', 'BIRTHDAY', 'ANNIVERSARY', 'HOLIDAY'])[1 + abs(hashtext(hash)) %% 4],
       day::date, zone, due_at,
       CASE WHEN due_at >= %(now)s THEN 'scheduled' ELSE (CASE WHEN fate < 975 THEN 'sent' WHEN fate < 988 THEN 'cancelled'
            WHEN fate < 995 THEN 'expired' WHEN fate < 999 THEN 'abandoned' ELSE 'in_doubt' END) END,
       CASE WHEN due_at >= %(now)s OR fate < 975 THEN '' WHEN fate < 988 THEN 'suppressed' WHEN fate < 995 THEN 'late_window'
            WHEN fate < 999 THEN 'rejected' ELSE 'doubt' END,
       1, 'sink', CASE WHEN due_at < %(now)s AND fate < 975 THEN due_at + interval '1 second' END,
       CASE WHEN due_at < %(now)s AND fate = 999 THEN ARRAY[gen_random_uuid()] ELSE '{}' END,
       least(due_at + interval '1 second', %(now)s),
       CASE WHEN due_at < %(now)s AND fate BETWEEN 995 AND 998 THEN 'rejected:400' ELSE '' END,
       CASE WHEN due_at < %(now)s AND fate >= 975 THEN due_at + interval '1 second' END,
       CASE WHEN due_at >= %(now)s OR fate < 975 THEN NULL WHEN fate < 988 THEN 'cancelled' WHEN fate < 995 THEN 'expired'
            WHEN fate < 999 THEN 'abandoned' ELSE 'in_doubt' END,
       (%(canonical)s::jsonb)->>zone
FROM (SELECT number, %(first)s::timestamptz + (number %% %(days)s) * interval '1 day' AS day, md5(number::text) AS hash,
             (number / %(days)s) %% 1000 AS fate, (%(zones)s::text[])[1 + (number * 7919) %% %(count)s] AS zone
      FROM generate_series(%(from)s::bigint, %(to)s::bigint - 1) AS number) AS numbered,
     LATERAL (SELECT day + interval '9 hours' - make_interval(hours => (hashtext(zone) %% 12)) AS due_at) AS due
"""
TOTALS: Final[LiteralString] = "INSERT INTO message_totals SELECT occasion, status, count(*) FROM message_log GROUP BY 1, 2"
PENDING: Final[LiteralString] = """
INSERT INTO messages_by_timezone
SELECT id, (%(canonical)s::jsonb)->>timezone, timezone, due_at, message_type FROM message_log WHERE due_at >= %(now)s"""
TRANSITIONS: Final[LiteralString] = """
INSERT INTO analytics_transitions
SELECT (at AT TIME ZONE 'UTC')::date, extract(hour FROM at AT TIME ZONE 'UTC'), (%(canonical)s::jsonb)->>timezone,
       message_type, status, count(*)
FROM (SELECT timezone, message_type, due_at - interval '48 hours' AS at, 'scheduled' AS status FROM message_log
      UNION ALL SELECT timezone, message_type, due_at, 'requested' FROM message_log
                WHERE status IN ('sent', 'abandoned', 'in_doubt')
      UNION ALL SELECT timezone, message_type, updated_at, status FROM message_log WHERE status <> 'scheduled') AS told
GROUP BY 1, 2, 3, 4, 5"""
HOURS: Final[LiteralString] = """
INSERT INTO analytics_hours
SELECT day, hour, message_type, status, sum(messages) FROM analytics_transitions GROUP BY 1, 2, 3, 4"""
BY_DAY: Final[LiteralString] = """
INSERT INTO analytics_days SELECT day, message_type, status, sum(messages) FROM analytics_hours GROUP BY 1, 2, 3"""
LATENESS: Final[LiteralString] = """
INSERT INTO analytics_lateness
SELECT (sent_at AT TIME ZONE 'UTC')::date, message_type, (ARRAY[1, 2, 5, 10])[1 + abs(hashtext(id::text)) %% 4], count(*)
FROM message_log WHERE sent_at IS NOT NULL GROUP BY 1, 2, 3"""
FAILURES: Final[LiteralString] = """
INSERT INTO analytics_failures
SELECT (updated_at AT TIME ZONE 'UTC')::date, message_type, status, coalesce(nullif(error, ''), reason), count(*)
FROM message_log WHERE status IN ('cancelled', 'expired', 'abandoned', 'in_doubt') GROUP BY 1, 2, 3, 4"""


class Query(Struct, frozen=True):
    """One question, as the API asks it."""

    name: str
    ask: Callable[[Cursor], object]


class Explained(psycopg.Cursor[tuple[Any, ...]]):
    """Asks for the plan of each query before it runs it."""

    plans: list[dict[str, Any]]

    def execute(self, query: Any, params: Any = None, **options: Any) -> "Explained":
        text = query if isinstance(query, sql.Composable) else sql.SQL(query)
        super().execute(sql.SQL("EXPLAIN (FORMAT JSON) ") + text, params)
        found = self.fetchall()[0][0]
        self.plans.append((json.loads(found) if isinstance(found, str) else found)[0]["Plan"])
        super().execute(query, params, **options)
        return self


def measure(messages: int, people: int, tell: Tell) -> Result:
    """Each query several times on one filled database; named, too, is each large table that one read from end to end."""
    with ground() as place, place.fresh("queries") as (parts, _):
        machine = place.machine()
        now = parts.clock.now()
        _fill(parts, messages, people, now, telling(tell, "queries: "))
        with parts.database.connect() as connection:
            large = _large_tables(connection)
            months = _partitions(connection)
        times, scanned, pruned = {}, list[str](), list[str]()
        for query in _queries(parts, now):
            tell(f"queries: {query.name}")
            times[query.name] = _times(parts, query)
            plans = _plans(parts, query)
            scanned += [f"{table} ({query.name})" for table in sorted(_named(plans, ("Seq Scan",)) & large)]
            if read := _named(plans) & months:
                pruned.append(f"{query.name}: {len(read)}")
        at = place.now()
    runs = [{(name, "ms"): taken[run] for name, taken in times.items()} for run in range(TIMES)]
    settings: dict[str, Setting] = {
        "messages": messages,
        "people": people,
        "read from end to end": ", ".join(scanned) or "nothing",
        f"partitions of message_log in the plan, of {len(months)}": ", ".join(pruned),
    }
    return Result(part="queries", at=at, machine=machine, settings=settings, figures=figures_of(runs))


def _fill(parts: Parts, messages: int, people: int, now: datetime, tell: Tell) -> None:
    for projector in parts.projectors.values():
        projector.prepare()
    first = now.date() - timedelta(days=DAYS)
    past = Past(people=people, messages=0, first=first, days=DAYS)
    register(parts, people_of(past), now, lambda done: tell(f"{done:,} of {people:,} people"))
    while parts.projectors["users_view"].step():
        tell(f"reading them: {parts.followers.status(now)[0].position:,}")
    with parts.database.direct() as connection:
        connection.execute("SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0; SET work_mem = '256MB'")
        ensure_partitions(connection, first, now.date() + timedelta(days=AHEAD_DAYS), "message_log")
        zones = sorted(NAMES)
        said = {
            "first": datetime(first.year, first.month, first.day, tzinfo=UTC),
            "now": now,
            "days": DAYS + AHEAD_DAYS,
            "people": people,
            "zones": zones,
            "count": len(zones),
            "canonical": json.dumps({zone: canonical(zone) for zone in zones}),
        }
        for start in range(0, messages, A_PORTION):
            tell(f"{start:,} of {messages:,} messages")
            connection.execute(MESSAGES, said | {"from": start, "to": min(messages, start + A_PORTION)})
        for statement in (TOTALS, PENDING, TRANSITIONS, HOURS, BY_DAY, LATENESS, FAILURES):
            tell("what is counted")
            connection.execute(statement, said)
        tell("vacuum")
        connection.execute("VACUUM ANALYZE")


def _queries(parts: Parts, now: datetime) -> Iterator[Query]:
    today = now.date()
    month, year = today - timedelta(days=30), today - timedelta(days=365)
    with parts.database.cursor() as cursor:
        [(user_id,)] = cursor.execute("SELECT user_id FROM users_view OFFSET 100 LIMIT 1").fetchall()
        [(message_id, owner)] = cursor.execute("SELECT id, user_id FROM message_log WHERE due_at < now() LIMIT 1").fetchall()
    yield Query("summary", message_log.totals)
    yield Query("per zone", messages_by_timezone.zones)
    yield Query("upcoming load, 48 hours", partial(messages_by_timezone.load, end=now + timedelta(hours=48)))
    parts_of: dict[str, dict[str, Any]] = {
        "": {},
        " of a zone": {"timezone": "Asia/Kolkata"},
        " of a type": {"message_type": "BIRTHDAY"},
    }
    for name, asked in parts_of.items():
        by_hour = partial(analytics_view.throughput, first=month, last=today, by="hour", **asked)
        yield Query(f"throughput{name}, hours of 31 days", by_hour)
        yield Query(f"throughput{name}, 366 days", partial(analytics_view.throughput, first=year, last=today, by="day", **asked))
    yield Query("lateness, 366 days", partial(analytics_view.lateness, first=year, last=today))
    yield Query("failures by reason, 366 days", partial(analytics_view.failures, first=year, last=today))
    yield Query("one message", partial(message_log.one, message_id=message_id))
    yield from _lists(owner, now)
    yield Query("count of the abandoned", partial(message_log.count, asked=Asked(status="abandoned")))
    yield from _users(parts, user_id)


def _lists(owner: UUID, now: datetime) -> Iterator[Query]:
    day = now - timedelta(days=100)
    asked: dict[str, Asked] = {
        "all messages": Asked(),
        "of a user": Asked(user_id=owner),
        "of a day": Asked(due_from=day, due_before=day + timedelta(days=1)),
        "of a zone": Asked(timezone="Asia/Kolkata"),
        "of a zone and a day": Asked(timezone="Asia/Kolkata", due_from=day, due_before=day + timedelta(days=1)),
        "of a type": Asked(message_type="HOLIDAY"),
        "of a type that nobody has": Asked(message_type="NAME_DAY"),
        **{f"that are {status}": Asked(status=status) for status in ("scheduled", "sent", "abandoned", "in_doubt", "requested")},
        "abandoned with an error": Asked(status="abandoned", error="rejected:400"),
        "abandoned on a day": Asked(status="abandoned", failed_from=day, failed_before=day + timedelta(days=1)),
        "late": Asked(reason="late"),
        "that failed on a day": Asked(failed_from=day, failed_before=day + timedelta(days=1)),
    }
    for name, wanted in asked.items():
        yield Query(f"list {name}", partial(message_log.page, asked=wanted, limit=100))


def _users(parts: Parts, user_id: UUID) -> Iterator[Query]:
    def sealed(ask: Callable[..., object], **asked: Any) -> Callable[[Cursor], object]:
        return lambda cursor: ask(cursor, UserSealer(parts.store.keyring, cursor), **asked)

    yield Query("one user", sealed(users_view.one, user_id=user_id))
    yield Query("list all users", sealed(users_view.page, asked=users_view.Asked(), limit=100))
    yield Query("list users of a zone", sealed(users_view.page, asked=users_view.Asked(timezone="Pacific/Auckland"), limit=100))


def _times(parts: Parts, query: Query) -> list[float]:
    times = []
    for _ in range(BEFORE + TIMES):
        with parts.database.transaction() as cursor:
            began = monotonic()
            query.ask(cursor)
            times.append((monotonic() - began) * 1_000)
    return times[BEFORE:]


def _plans(parts: Parts, query: Query) -> list[dict[str, Any]]:
    with parts.database.direct() as connection, connection.transaction():
        cursor = Explained(connection)
        cursor.plans = []
        query.ask(cursor)
        return cursor.plans


def _named(plans: Sequence[dict[str, Any]], nodes: Container[str] | None = None) -> set[str]:
    """The tables that nodes of these types read, or any."""
    found: set[str] = set()
    for plan in plans:
        if "Relation Name" in plan and (nodes is None or plan["Node Type"] in nodes):
            found.add(plan["Relation Name"])
        found |= _named(plan.get("Plans", ()), nodes)
    return found


def _partitions(connection: psycopg.Connection[tuple[Any, ...]]) -> set[str]:
    return {f"message_log_{year}_{month:02}" for year, month in months_made(connection.cursor(), "message_log")}


def _large_tables(connection: psycopg.Connection[tuple[Any, ...]]) -> set[str]:
    return {
        name
        for (name,) in connection.execute("SELECT relname FROM pg_class WHERE relkind = 'r' AND reltuples > %s", [SMALL_TABLE])
    }
