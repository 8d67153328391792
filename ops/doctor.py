"""`ninebell doctor`: every setting, and whether what they name is there and fit for use."""

import asyncio
import shutil
import sys
from collections.abc import Callable, Iterator
from typing import Final, Literal

import msgspec
from msgspec import Struct
from psycopg import Connection
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from application.channel_states import UNTROUBLED, ChannelState
from application.delivery_ports import BusUnavailable
from application.ports import StoreUnavailable
from domain.timezones import NAMES, TZDATA_VERSION
from infrastructure.broker_urls import urls_of
from infrastructure.channel_states import PostgresChannels
from infrastructure.clock import SystemClock
from infrastructure.database import Row
from infrastructure.derivation_tables import moved_by_tzdata
from infrastructure.partitions import strays
from infrastructure.postgres_cluster import PostgresNotStarted
from infrastructure.region_leaders import leaders_heard
from ops.at_hand import at_hand
from ops.pausing import paused_now
from ops.replica_wiring import read_replica
from ops.settings import Settings, described
from ops.watching import LONGEST_LAG_SECONDS, doubts_told, limits_told, measures
from ops.wiring import Parts

Verdict = Literal["ok", "warning", "unreachable"]
ECHO_SECONDS: Final = 2.0
LARGEST_CLOCK_DIFFERENCE_SECONDS: Final = 5.0
LEAST_FREE_BYTES: Final = 1 << 30
WAIT_FOR_BUS_SECONDS: Final = 5.0


class Finding(Struct, frozen=True):
    """One thing looked at."""

    what: str
    verdict: Verdict
    said: str


def doctor(settings: Settings, *, as_json: bool) -> int:
    """0 when all is well, 1 with a warning, 3 when something is not reachable."""
    findings = [*_examined(settings), *_disk(settings)]
    if as_json:
        shown = [{"name": name, "value": value} for name, value, _ in described(settings)]
        sys.stdout.buffer.write(msgspec.json.encode({"settings": shown, "findings": findings}) + b"\n")
    else:
        _show(settings, findings)
    verdicts = {finding.verdict for finding in findings}
    return 3 if "unreachable" in verdicts else 1 if "warning" in verdicts else 0


def _examined(settings: Settings) -> Iterator[Finding]:
    yield Finding("time zones", "ok", f"tzdata {TZDATA_VERSION} of the pinned package, {len(NAMES)} names")
    try:
        with at_hand(settings, "doctor") as parts:
            for look in LOOKS:
                yield look(parts)
    except StoreUnavailable as error:
        yield Finding("database", "unreachable", f"DATABASE_URL does not answer ({error})")
    except PostgresNotStarted as error:
        yield Finding("database", "unreachable", str(error))
    yield asyncio.run(_broker(settings))


def _database(parts: Parts) -> Finding:
    with parts.database.connect() as connection:
        version = _one(connection, "SELECT current_setting('server_version')")
        migrations = _one(connection, "SELECT max(number) FROM schema_migrations")
    return Finding("database", "ok", f"PostgreSQL {version}, schema {migrations}, master key fits")


def _replica(parts: Parts) -> Finding:
    replica = read_replica(parts.settings)
    if replica is None:
        return Finding("read replica", "ok", "none: the database answers queries, too")
    found = replica.look()
    if found.trouble:
        verdict: Verdict = "unreachable" if found.trouble.startswith("does not answer") else "warning"
        return Finding("read replica", verdict, f"READ_DATABASE_URL {found.trouble}; the primary answers queries meanwhile")
    said = f"a standby of this database, {found.behind_bytes or 0} bytes and {found.behind_seconds:.0f} s behind"
    return Finding("read replica", "warning" if found.behind_seconds > LONGEST_LAG_SECONDS else "ok", said)


def _pooler(parts: Parts) -> Finding:
    """A transaction pooler between us and PostgreSQL loses notifications, and every session setting."""
    with parts.database.direct() as ear, parts.database.direct() as mouth:
        ear.execute("LISTEN ninebell_doctor")
        mouth.execute("NOTIFY ninebell_doctor")
        if any(True for _ in ear.notifies(timeout=ECHO_SECONDS, stop_after=1)):
            return Finding("notifications", "ok", "heard at once")
    return Finding("notifications", "warning", "LISTEN hears nothing: connect to PostgreSQL itself, not to a transaction pooler")


def _clock(parts: Parts) -> Finding:
    difference = (parts.clock.now() - SystemClock().now()).total_seconds()
    verdict: Verdict = "ok" if abs(difference) < LARGEST_CLOCK_DIFFERENCE_SECONDS else "warning"
    return Finding("clock", verdict, f"the database's clock, which decides, is {difference:+z.1f} s from this machine's")


def _months(parts: Parts) -> Finding:
    with parts.database.connect() as connection:
        count = strays(connection)
    if count:
        return Finding("months", "warning", f"{count} rows lie in the default partition of messages: IDs that are no message's")
    return Finding("months", "ok", "the default partition of messages is empty")


def _leaders(parts: Parts) -> Finding:
    """Whoever is stopped in good order hands over: with nothing running at all, nobody is missing."""
    with parts.database.cursor() as cursor:
        heard = leaders_heard(cursor)
    unled = [role for role, found in heard.items() if not found.leads]
    if not unled:
        return Finding("leaders", "ok", "planner and every region of the dispatcher have one")
    if all(found.released for found in heard.values()):
        return Finding("leaders", "ok", "none: neither a planner nor a dispatcher runs")
    return Finding("leaders", "warning", f"nobody leads {', '.join(unled)}: does a process run that may?")


def _followers(parts: Parts) -> Finding:
    followers = parts.followers.status(parts.clock.now())
    left = [f"{follower.name} has left {follower.parked} alone" for follower in followers if follower.parked]
    parked = [*left, "ninebell parked list says which"] if left else []
    behind = [
        f"{follower.name} is {follower.lag_events} events and {follower.lag_seconds:.0f} s behind: does it run?"
        for follower in followers
        if follower.lag_seconds > LONGEST_LAG_SECONDS
    ]
    troubles = [*parked, *behind]
    return Finding("followers", "warning" if troubles else "ok", "; ".join(troubles) or f"all {len(followers)} have caught up")


def _tzdata(parts: Parts) -> Finding:
    moved = moved_by_tzdata(parts.database)[TZDATA_VERSION]
    said = f"the rules of {TZDATA_VERSION} have moved {moved} pending messages"
    return Finding("tzdata", "ok", f"{said}; those that still wait: GET /v1/messages?reason=tzdata&status=scheduled")


def _channels(parts: Parts) -> Finding:
    states, limits = PostgresChannels(parts.database).states(), limits_told(parts)
    told = {
        name: ", ".join(filter(None, (_told(states.get(name, UNTROUBLED)), limits.get(name)))) for name in parts.channels.names
    }
    said = "; ".join(f"{name} {what or 'takes calls'}" for name, what in told.items())
    return Finding("channels", "warning" if any(told.values()) else "ok", said)


def _audit(parts: Parts) -> Finding:
    found = measures(parts).audited()
    if found.contradictions:
        return Finding("audit", "warning", f"{found.contradictions} do not add up: ninebell audit says which")
    return Finding("audit", "ok", f"{found.scheduled} scheduled, and they add up")


def _doubts(parts: Parts) -> Finding:
    doubts = doubts_told(measures(parts).audited(), parts.clock.now())
    return Finding("doubts", "warning" if doubts else "ok", doubts or "no message is in doubt")


def _told(state: ChannelState) -> str:
    if state.breaker != "closed":
        return f"fails: its circuit breaker is {state.breaker.replace('_', ' ')}" + (
            f" for {state.open_seconds:.0f} s more" if state.open_seconds else ""
        )
    if state.hold_seconds:
        return f"throttles: it is left alone for {state.hold_seconds:.0f} s more"
    return f"throttled: {state.share:.0%} of its limit are used" if state.share < 1 else ""


def _paused(parts: Parts) -> Finding:
    lines = paused_now(parts)
    return Finding("pauses", "warning" if lines else "ok", "; ".join(lines) or "nothing is paused")


LOOKS: Final[tuple[Callable[[Parts], Finding], ...]] = (
    _database,
    _replica,
    _pooler,
    _clock,
    _months,
    _leaders,
    _followers,
    _tzdata,
    _channels,
    _audit,
    _doubts,
    _paused,
)


async def _broker(settings: Settings) -> Finding:
    if settings.amqp_url is None:
        return Finding("broker", "ok", "none: send commands stay within the process")
    nodes = urls_of(settings.amqp_url.get_secret_value())
    found = await asyncio.gather(*(_node(settings, url) for url in nodes))
    answers = [one for one in found if one.verdict != "unreachable"]
    silent = "; ".join(one.said for one in found if one.verdict == "unreachable")
    if not answers:
        return Finding("broker", "unreachable", f"AMQP_URL: {silent}")
    return Finding("broker", "warning", f"{silent}; {answers[0].said}") if silent else answers[0]


async def _node(settings: Settings, url: str) -> Finding:
    """One of a cluster's, which tells of all."""
    from infrastructure.rabbitmq import RabbitBus

    bus = RabbitBus(url)
    try:
        await bus.connect(WAIT_FOR_BUS_SECONDS)
        dead = await bus.dead()
        waiting = [f"{await bus.depth(one.name)} send commands wait for {one.name}" for one in settings.channels_in_use]
    except BusUnavailable as error:
        return Finding("broker", "unreachable", str(error))
    finally:
        await bus.close()
    if dead:
        return Finding("broker", "warning", f"{dead} dead send commands lie there: ninebell parked list --follower bus")
    return Finding("broker", "ok", f"answers; {', '.join(waiting)}")


def _disk(settings: Settings) -> Iterator[Finding]:
    if settings.data_dir.exists():
        free = shutil.disk_usage(settings.data_dir).free
        verdict: Verdict = "ok" if free > LEAST_FREE_BYTES else "warning"
        yield Finding("disk", verdict, f"{free / LEAST_FREE_BYTES:.1f} GiB free for {settings.data_dir}")


def _one(connection: Connection[Row], query: str) -> object:
    row = connection.execute(query).fetchone()
    return row[0] if row else None


def _show(settings: Settings, findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    table = Table("setting", "value", "meaning")
    for row in described(settings):
        table.add_row(*map(escape, row))
    console.print(table)
    for finding in findings:
        console.print(f"{finding.verdict:12}{finding.what}: {finding.said}", markup=False)
