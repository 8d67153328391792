"""Where does the dispatcher keep what is due and what is in flight, in the transaction of its appends?"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from msgspec.structs import astuple, replace
from psycopg import Cursor

from application.channel_states import ChannelState, Used
from application.dispatcher_ports import DueMessage, Glance, InFlight, LostSpan, Route
from application.pause_sending import PausedNames
from application.ports import Followed, Log
from application.region_events import concerns
from domain.event import Event
from domain.region import REGIONS, seen_to_by
from infrastructure.channel_states import channel_states, used
from infrastructure.database import SCHEMA, Row
from infrastructure.event_log import LOCK_SPACE
from infrastructure.event_store import PostgresEventStore
from infrastructure.leader import SILENCE_SECONDS
from infrastructure.lost_spans import lost_spans, recorded_span
from infrastructure.pauses import paused_names
from infrastructure.region_leaders import role_in
from infrastructure.work import PostgresWork

# A sequence tells at once that a log may have gone on; what it gave to a transaction that failed only costs a look.
GLANCE: Final = """
    SELECT coalesce((SELECT last_value FROM messages_position WHERE is_called), 0),
           ARRAY(SELECT coalesce((SELECT position FROM positions WHERE follower = f AND log = 'messages' AND version = 1), 0)
               FROM unnest(%b::text[]) WITH ORDINALITY AS mine (f, place) ORDER BY place),
           coalesce((SELECT last_value FROM dispatches_position WHERE is_called), 0),
           ARRAY(SELECT coalesce((SELECT position FROM positions WHERE follower = f AND log = 'dispatches' AND version = 1), 0)
               FROM unnest(%b::text[]) WITH ORDINALITY AS mine (f, place) ORDER BY place),
           (SELECT min(ready_at) FROM unnest(%b::text[]) AS c, unnest(%b::text[]) AS r, unnest(%b::int[]) AS p, LATERAL (
               SELECT ready_at FROM due WHERE channel = c AND region = r AND priority = p ORDER BY ready_at LIMIT 1) AS earliest),
           EXISTS (SELECT FROM channel_states WHERE open_until IS NOT NULL OR hold_until > clock_timestamp()
               OR lowered_at > clock_timestamp() - interval '1 minute')
           OR EXISTS (SELECT FROM pauses WHERE resumed_at IS NULL)"""
PUT_DUE: Final = """
    INSERT INTO due
        (message_id, version, message_type, timezone, due_at, region, channel, priority, ready_at, send_before, attempt,
         story)
    SELECT * FROM unnest(%b::uuid[], %b::bigint[], %b::text[], %b::text[], %b::timestamptz[], %b::text[], %b::text[], %b::int[],
                         %b::timestamptz[], %b::timestamptz[], %b::int[], %b::text[])
    ON CONFLICT (message_id) DO UPDATE SET
        version = excluded.version, message_type = excluded.message_type, timezone = excluded.timezone, due_at = excluded.due_at,
        region = excluded.region, channel = excluded.channel, priority = excluded.priority, ready_at = excluded.ready_at,
        send_before = excluded.send_before, attempt = excluded.attempt, story = excluded.story
    WHERE due.version <= excluded.version"""
DROP_DUE: Final = """
    DELETE FROM due USING unnest(%b::uuid[], %b::bigint[]) AS gone (message_id, version)
    WHERE due.message_id = gone.message_id AND due.version <= gone.version"""
# Each priority of a region is one stretch of the index: a scan over several would have to sort all that is due.
DUE: Final = """
    SELECT message_id, version, message_type, timezone, due_at, found.region, channel, found.priority, ready_at, send_before,
           attempt, story
    FROM unnest(%b::text[]) AS led (region), unnest(%b::int[]) AS wanted (priority), LATERAL (
        SELECT * FROM due
        WHERE channel = %b AND due.region = led.region AND due.priority = wanted.priority AND ready_at <= %b
            AND (%b::text[] IS NULL OR message_type = ANY(%b)) AND message_type <> ALL(%b)
        ORDER BY ready_at, message_id LIMIT %b) AS found
    ORDER BY found.priority, ready_at, message_id LIMIT %b"""
TOO_LATE: Final = """
    SELECT message_id, version, message_type, timezone, due_at, region, channel, found.priority, ready_at, send_before, attempt,
           story
    FROM unnest(%b::text[]) AS c, unnest(%b::text[]) AS r, unnest(%b::int[]) AS p, LATERAL (
        SELECT * FROM due WHERE channel = c AND region = r AND priority = p AND ready_at <= %b AND send_before <= %b
        LIMIT %b) AS found
    LIMIT %b"""
WITHIN: Final = """
    SELECT message_id, version, message_type, timezone, due_at, region, channel, priority, ready_at, send_before, attempt, story
    FROM due WHERE message_id > %b AND ready_at < %b AND send_before > %b ORDER BY message_id LIMIT %b"""
COUNT_WITHIN: Final = "SELECT count(*) FROM due WHERE ready_at < %b AND send_before > %b"
REROUTE: Final = """
    UPDATE due SET priority = route.priority, channel = CASE WHEN due.channel = ANY(%b) THEN due.channel ELSE route.channel END
    FROM unnest(%b::text[], %b::text[], %b::int[]) AS route (message_type, channel, priority)
    WHERE due.region = ANY(%b) AND due.message_type = route.message_type
        AND (due.priority <> route.priority OR due.channel <> ALL(%b))"""
REROUTE_OTHERS: Final = """
    UPDATE due SET priority = %b, channel = CASE WHEN channel = ANY(%b) THEN channel ELSE %b END
    WHERE region = ANY(%b) AND message_type <> ALL(%b) AND (priority <> %b OR channel <> ALL(%b))"""
# Among the locks of logs, so that the watchdog sees to this one, too: who freezes with it would hold up every region.
TURN: Final = f"SELECT pg_advisory_xact_lock({LOCK_SPACE}, hashtext('{SCHEMA}.in_flight'))"
# What nobody leads is neither published nor taken over from the dead: it must not fill the room, or pass for a trial, for good.
IN_FLIGHT_AND_LED: Final = f"""
    SELECT channel, sum(members) FROM in_flight
    WHERE region = ANY(%b) OR '{role_in("dispatcher", "")}' || region IN (
        SELECT role FROM leader_bumps WHERE NOT released AND bumped_at > clock_timestamp() - interval '{SILENCE_SECONDS} s')
    GROUP BY channel"""
PUT_IN_FLIGHT: Final = """
    INSERT INTO in_flight (dispatch_id, channel, region, members, requested_at, worker, incarnation, publish_at)
    SELECT id, channel, region, members, requested_at, worker, incarnation, requested_at + interval '30 seconds'
    FROM unnest(%b::uuid[], %b::text[], %b::text[], %b::int[], %b::timestamptz[], %b::text[], %b::uuid[])
        AS flight (id, channel, region, members, requested_at, worker, incarnation)
    ON CONFLICT DO NOTHING"""
STARTED: Final = """
    UPDATE in_flight SET worker = claim.worker, incarnation = claim.incarnation
    FROM unnest(%b::uuid[], %b::text[], %b::uuid[]) AS claim (dispatch_id, worker, incarnation)
    WHERE in_flight.dispatch_id = claim.dispatch_id AND region = ANY(%b)"""
WITHDRAWN: Final = """
    UPDATE in_flight SET members = members - fewer
    FROM unnest(%b::uuid[], %b::int[]) AS withdrawn (dispatch_id, fewer)
    WHERE in_flight.dispatch_id = withdrawn.dispatch_id AND region = ANY(%b)"""
FINISHED: Final = "DELETE FROM in_flight WHERE dispatch_id = ANY(%b) AND region = ANY(%b)"
# What is over makes room for every region, also where it was another's that nobody leads now. Who leads that may be at the same
# row: it waits for its own alone, so that they never wait for each other, and whoever comes later finds the row gone.
FINISHED_ELSEWHERE: Final = """
    DELETE FROM in_flight WHERE dispatch_id IN (
        SELECT dispatch_id FROM in_flight WHERE dispatch_id = ANY(%b) AND region <> ALL(%b) FOR UPDATE SKIP LOCKED)"""
# A row that the dispatcher works on is passed over, here and by recovery, so that none of them ever waits for the other's rows.
PUBLISHED: Final = """
    UPDATE in_flight SET publications = publications + 1,
        publish_at = %b::timestamptz + interval '30 seconds' * (1 << least(publications, 4))
    WHERE dispatch_id IN (SELECT dispatch_id FROM in_flight WHERE dispatch_id = ANY(%b) FOR UPDATE SKIP LOCKED)"""
UNSTARTED: Final = """
    SELECT dispatch_id FROM in_flight WHERE worker = '' AND publish_at <= %b AND region = ANY(%b)
    ORDER BY publish_at, dispatch_id LIMIT %b"""
UNSTARTED_ELSEWHERE: Final = """
    SELECT dispatch_id FROM in_flight WHERE worker = '' AND channel <> ALL(%b) AND region = ANY(%b) ORDER BY 1 LIMIT %b"""
CLAIMANTS: Final = "SELECT DISTINCT worker, incarnation FROM in_flight WHERE incarnation IS NOT NULL ORDER BY 1, 2"
CLAIMED_BY: Final = """
    SELECT dispatch_id FROM in_flight
    JOIN unnest(%b::text[], %b::uuid[]) AS dead (worker, incarnation) USING (worker, incarnation)
    WHERE region = ANY(%b) ORDER BY dispatch_id FOR UPDATE OF in_flight SKIP LOCKED"""
FORGET: Final = """
    DELETE FROM workers USING unnest(%b::text[], %b::uuid[], %b::bigint[]) AS gone (worker, incarnation, counter)
    WHERE (workers.worker, workers.incarnation, workers.counter) = (gone.worker, gone.incarnation, gone.counter)"""

ASKED_AGAIN: Final = """
    WITH asked AS (
        DELETE FROM parked_events WHERE (follower, log, position) IN (
            SELECT follower, log, position FROM parked_events WHERE follower = ANY(%b) AND again LIMIT %b)
        RETURNING log, position)
    SELECT log, originator_id FROM asked JOIN messages ON notification_id = position WHERE log = 'messages'
    UNION SELECT log, originator_id FROM asked JOIN dispatches ON notification_id = position WHERE log = 'dispatches'"""


class PostgresDispatcherWork(PostgresWork):
    """`application.ports.DispatcherWork` on the tables `due` and `in_flight`, as far as they belong to its regions.

    A region's events are followed by whoever leads it, from that region's own position on. Rows go by the version that they
    were made from, so that one shard, behind another, undoes nothing of a message that came from its region to the other's.
    """

    def __init__(self, cursor: Cursor[Row], store: PostgresEventStore, follower: str, regions: Sequence[str] = REGIONS) -> None:
        super().__init__(cursor, store, follower)
        self._regions = list(regions)
        self._names = [role_in(follower, region) for region in regions]
        self._told_of = list(REGIONS)  # once it has followed the dispatches log, those whose stretch that was

    def follow(self, log: Log, limit: int, kinds: frozenset[type[Event]] | None = None) -> Followed:
        """Of the regions that have read the least, what concerns them."""
        read = self._read(log)
        low = min(read.values())
        lowest = [region for region, name in zip(self._regions, self._names, strict=True) if read[name] == low]
        if log == "dispatches":
            self._told_of = lowest
        followed = super().follow(log, limit, kinds)
        if len(lowest) == len(REGIONS):
            return followed
        return replace(followed, events=[one for one in followed.events if concerns(one.event, lowest)])

    def glance(self, channels: Sequence[str], priorities: Sequence[int]) -> Glance:
        parameters = (self._names, self._names, list(channels), self._regions, list(priorities))
        messages, messages_read, dispatches, dispatches_read, first, troubled = self.cursor.execute(
            GLANCE, parameters, prepare=True
        ).fetchall()[0]
        self._last_given = {"messages": messages, "dispatches": dispatches}
        self._positions["messages"] = dict(zip(self._names, messages_read, strict=True))
        self._positions["dispatches"] = dict(zip(self._names, dispatches_read, strict=True))
        return Glance(messages > min(messages_read), dispatches > min(dispatches_read), first, troubled)

    def channel_states(self) -> Mapping[str, ChannelState]:
        return channel_states(self.cursor)

    def used(self, channels: Sequence[str]) -> Mapping[str, Used]:
        return used(self.cursor, channels)

    def put_due(self, rows: Sequence[DueMessage]) -> None:
        if rows:
            columns = [list(column) for column in zip(*map(astuple, rows), strict=True)]
            self.cursor.execute(PUT_DUE, columns, prepare=True)

    def drop_due(self, up_to_versions: Mapping[UUID, int]) -> None:
        if up_to_versions:
            self.cursor.execute(DROP_DUE, (list(up_to_versions), list(up_to_versions.values())), prepare=True)

    def reroute(self, routes: Sequence[Route], channels: Sequence[str], usual: Route) -> None:
        known = list(channels)
        types = [route.message_type for route in routes]
        to = [route.channel for route in routes]
        mine, priorities = self._regions, [route.priority for route in routes]
        self.cursor.execute(REROUTE, (known, types, to, priorities, mine, known))
        self.cursor.execute(REROUTE_OTHERS, (usual.priority, known, usual.channel, mine, types, usual.priority, known))

    def paused(self) -> PausedNames:
        return paused_names(self.cursor)

    def due(
        self,
        channel: str,
        priorities: Sequence[int],
        now: datetime,
        limit: int,
        only: Sequence[str] | None = None,
        without: Collection[str] = (),
    ) -> list[DueMessage]:
        types = None if only is None else list(only)
        asked = (self._regions, list(priorities), channel, now, types, types, list(without), limit, limit)
        self.cursor.execute(DUE, asked, prepare=True)
        return [DueMessage(*row) for row in self.cursor.fetchall()]

    def too_late(self, channels: Sequence[str], priorities: Sequence[int], now: datetime, limit: int) -> list[DueMessage]:
        asked = (list(channels), self._regions, list(priorities), now, now, limit, limit)
        self.cursor.execute(TOO_LATE, asked, prepare=True)
        return [DueMessage(*row) for row in self.cursor.fetchall()]

    def lost_spans(self) -> list[LostSpan]:
        return lost_spans(self.cursor)

    def record_lost_span(self, restored_to: datetime, who: str, now: datetime) -> LostSpan:
        return recorded_span(self.cursor, restored_to, who, now)

    def within(self, span: LostSpan, after: UUID, limit: int) -> list[DueMessage]:
        self.cursor.execute(WITHIN, (after, span.found_at, span.restored_to, limit), prepare=True)
        return [DueMessage(*row) for row in self.cursor.fetchall()]

    def count_within(self, span: LostSpan) -> int:
        return int(self.cursor.execute(COUNT_WITHIN, (span.found_at, span.restored_to)).fetchall()[0][0])

    def due_count(self) -> int:
        return int(self.cursor.execute("SELECT count(*) FROM due").fetchall()[0][0])

    def put_in_flight(self, rows: Sequence[InFlight]) -> None:
        if rows:
            columns = [list(column) for column in zip(*map(_flight_columns, rows), strict=True)]
            self.cursor.execute(PUT_IN_FLIGHT, columns, prepare=True)

    def started(self, claims: Sequence[tuple[UUID, str, UUID]]) -> None:
        if claims:
            columns = [list(column) for column in zip(*claims, strict=True)]
            self.cursor.execute(STARTED, (*columns, self._told_of), prepare=True)

    def withdrawn(self, members: Mapping[UUID, int]) -> None:
        if members:
            self.cursor.execute(WITHDRAWN, (list(members), list(members.values()), self._told_of), prepare=True)

    def finished(self, dispatch_ids: Sequence[UUID]) -> None:
        if dispatch_ids:
            self.cursor.execute(FINISHED, (list(dispatch_ids), self._told_of), prepare=True)
            if len(self._told_of) < len(REGIONS):
                self.cursor.execute(FINISHED_ELSEWHERE, (list(dispatch_ids), self._told_of), prepare=True)

    def members_in_flight(self) -> dict[str, int]:
        self.cursor.execute(TURN, prepare=True)
        if len(self._regions) == len(REGIONS):
            self.cursor.execute("SELECT channel, sum(members) FROM in_flight GROUP BY channel", prepare=True)
        else:
            self.cursor.execute(IN_FLIGHT_AND_LED, (self._regions,), prepare=True)
        return {channel: int(members) for channel, members in self.cursor}

    def unstarted(self, now: datetime, limit: int) -> list[UUID]:
        self.cursor.execute(UNSTARTED, (now, self._regions, limit), prepare=True)
        return [dispatch_id for (dispatch_id,) in self.cursor]

    def unstarted_elsewhere(self, channels: Sequence[str], limit: int) -> list[UUID]:
        self.cursor.execute(UNSTARTED_ELSEWHERE, (list(channels), self._regions, limit))
        return [dispatch_id for (dispatch_id,) in self.cursor]

    def published(self, dispatch_ids: Sequence[UUID], now: datetime) -> None:
        if dispatch_ids:
            self.cursor.execute(PUBLISHED, (now, list(dispatch_ids)), prepare=True)

    def claimed_by(self, workers: Sequence[tuple[str, UUID]]) -> list[UUID]:
        names, incarnations = [name for name, _ in workers], [incarnation for _, incarnation in workers]
        self.cursor.execute(CLAIMED_BY, (names, incarnations, self._regions), prepare=True)
        return [dispatch_id for (dispatch_id,) in self.cursor]

    def claimants(self) -> list[tuple[str, UUID]]:
        self.cursor.execute(CLAIMANTS, prepare=True)
        return [(worker, incarnation) for worker, incarnation in self.cursor]

    def counters(self) -> dict[tuple[str, UUID], int]:
        self.cursor.execute("SELECT worker, incarnation, counter FROM workers", prepare=True)
        return {(worker, incarnation): counter for worker, incarnation, counter in self.cursor}

    def forget_workers(self, counters: Mapping[tuple[str, UUID], int]) -> None:
        if counters:
            gone = [(*worker, counter) for worker, counter in counters.items()]
            self.cursor.execute(FORGET, [list(column) for column in zip(*gone, strict=True)], prepare=True)

    def asked_again(self, followers: Sequence[str], limit: int) -> list[tuple[Log, UUID]]:
        self.cursor.execute(ASKED_AGAIN, (list(followers), limit), prepare=True)
        return [(log, stream_id) for log, stream_id in self.cursor]


def _flight_columns(row: InFlight) -> tuple[object, ...]:
    return row.dispatch_id, row.channel, seen_to_by(row.region), row.members, row.requested_at, row.worker, row.incarnation
