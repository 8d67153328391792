"""Where are a provider's breaker, limit and throttling kept, for all processes at once and by the database's clock?"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import Struct
from psycopg import Cursor
from psycopg.types.json import Jsonb

from application.channel_states import (
    LONGEST_HOLD_SECONDS,
    OPEN_SECONDS,
    SMALL_STEP_SECONDS,
    UNTROUBLED,
    ChannelState,
    Used,
    crept_up,
    hold_seconds,
    lowered,
    state_of,
)
from application.provider_limit import Grant, ProviderLimit, Usage, take
from infrastructure.database import Database, Row

NEVER_LOWERED_SECONDS: Final = 1e9
STATES: Final = """
    SELECT channel, extract(epoch FROM open_until - clock_timestamp())::float8,
           extract(epoch FROM hold_until - clock_timestamp())::float8, share::float8,
           coalesce(extract(epoch FROM clock_timestamp() - lowered_at), 0)::float8
    FROM channel_states"""
STATE: Final = STATES + " WHERE channel = %b"
USED: Final = """
    SELECT c, coalesce(usage, '{}'), coalesce(share, 1)::float8,
           coalesce(extract(epoch FROM clock_timestamp() - lowered_at), 0)::float8, clock_timestamp()
    FROM unnest(%b::text[]) AS c LEFT JOIN channel_states ON channel = c"""
LOCK: Final = """
    INSERT INTO channel_states (channel) VALUES (%b) ON CONFLICT (channel) DO UPDATE SET channel = excluded.channel
    RETURNING usage, share, lowered_at, clock_timestamp()"""
USE: Final = "UPDATE channel_states SET usage = %b WHERE channel = %b"
TRIP: Final = """
    INSERT INTO channel_states (channel, open_until, trips) VALUES (%b, clock_timestamp() + %b * interval '1 second', 1)
    ON CONFLICT (channel) DO UPDATE SET open_until = excluded.open_until, trips = channel_states.trips + 1
    WHERE channel_states.open_until IS NULL
       OR channel_states.open_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + %b * interval '1 second'"""
CLOSE: Final = """
    UPDATE channel_states SET open_until = NULL
    WHERE channel = %b AND open_until NOT BETWEEN clock_timestamp() AND clock_timestamp() + %b * interval '1 second'"""
LOWER: Final = "UPDATE channel_states SET share = %b, lowered_at = %b WHERE channel = %b"
HOLD: Final = """
    UPDATE channel_states SET hold_until = CASE
        WHEN hold_until BETWEEN %b AND clock_timestamp() + %b * interval '1 second' THEN hold_until ELSE %b END
    WHERE channel = %b"""
LONGEST_OPEN: Final = OPEN_SECONDS + SMALL_STEP_SECONDS
LONGEST_HOLD: Final = LONGEST_HOLD_SECONDS + SMALL_STEP_SECONDS


class _Locked(Struct, frozen=True):
    usage: Usage
    share: float
    lowered_seconds: float  # ago
    now: datetime


class PostgresChannels:
    """`application.channel_states.SharedChannels` on the table `channel_states`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def state(self, channel: str) -> ChannelState:
        with self._database.cursor() as cursor:
            return _state(cursor, channel)

    def states(self) -> Mapping[str, ChannelState]:
        with self._database.cursor() as cursor:
            return channel_states(cursor)

    def used(self, channels: Sequence[str]) -> Mapping[str, Used]:
        with self._database.cursor() as cursor:
            return used(cursor, channels)

    def take(self, channel: str, limit: ProviderLimit, calls: Sequence[int]) -> Grant:
        with self._database.transaction() as cursor:
            row = _locked(cursor, channel)
            usage, grant = take(row.usage, limit, calls, row.now, crept_up(row.share, row.lowered_seconds))
            if usage != row.usage:
                cursor.execute(USE, (Jsonb(msgspec.to_builtins(usage)), channel), prepare=True)
        return grant

    def trip(self, channel: str) -> ChannelState:
        with self._database.cursor() as cursor:
            cursor.execute(TRIP, (channel, OPEN_SECONDS, LONGEST_OPEN), prepare=True)
            return _state(cursor, channel)

    def close(self, channel: str) -> ChannelState:
        with self._database.cursor() as cursor:
            cursor.execute(CLOSE, (channel, LONGEST_OPEN), prepare=True)
            return _state(cursor, channel)

    def throttled(self, channel: str, retry_after_seconds: float | None) -> ChannelState:
        with self._database.transaction() as cursor:
            row = _locked(cursor, channel)
            share = lowered(row.share, row.lowered_seconds)
            if share is not None:
                cursor.execute(LOWER, (share, row.now, channel), prepare=True)
            until = row.now + timedelta(seconds=hold_seconds(retry_after_seconds, row.share if share is None else share))
            cursor.execute(HOLD, (until, LONGEST_HOLD, until, channel), prepare=True)
            return _state(cursor, channel)


def channel_states(cursor: Cursor[Row]) -> dict[str, ChannelState]:
    """Every channel's, in the transaction of a dispatcher, say."""
    cursor.execute(STATES, prepare=True)
    return {channel: state_of(*row) for channel, *row in cursor}


def used(cursor: Cursor[Row], channels: Sequence[str]) -> dict[str, Used]:
    """What of the limit of each of these is used up, in the transaction of a dispatcher, say."""
    cursor.execute(USED, (list(channels),), prepare=True)
    return {
        channel: Used(msgspec.convert(usage, Usage), crept_up(share, lowered_seconds), at)
        for channel, usage, share, lowered_seconds, at in cursor
    }


def _state(cursor: Cursor[Row], channel: str) -> ChannelState:
    cursor.execute(STATE, (channel,), prepare=True)
    row = cursor.fetchone()
    return state_of(*row[1:]) if row else UNTROUBLED


def _locked(cursor: Cursor[Row], channel: str) -> _Locked:
    """Its row, ours until the transaction ends, and the time after it became ours."""
    cursor.execute(LOCK, (channel,), prepare=True)
    usage, share, lowered_at, now = cursor.fetchall()[0]
    return _Locked(
        msgspec.convert(usage, Usage), share, (now - lowered_at).total_seconds() if lowered_at else NEVER_LOWERED_SECONDS, now
    )
