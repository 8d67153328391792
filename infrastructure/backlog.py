"""How many messages wait for a worker, as the dispatcher's tables have it?"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from application.pause_sending import is_paused
from application.scale_workers import LOOK_AHEAD, Backlog
from domain.region import REGIONS
from infrastructure.database import Database
from infrastructure.pauses import paused_names

# Of each channel, region and priority one stretch of the index, no longer than matters: two days of rows lie behind it.
BACKLOG: Final = """
    SELECT coalesce(sum(ready), 0) + (SELECT coalesce(sum(members), 0) FROM in_flight WHERE worker = ''), coalesce(sum(soon), 0)
    FROM unnest(%b::text[]) AS c, unnest(%b::text[]) AS r, unnest(%b::int[]) AS p, LATERAL (
        SELECT count(*) FILTER (WHERE ready_at <= %b) AS ready, count(*) FILTER (WHERE ready_at > %b) AS soon
        FROM (
            SELECT ready_at FROM due WHERE channel = c AND region = r AND priority = p AND ready_at <= %b
                AND message_type <> ALL(%b)
            ORDER BY ready_at, message_id LIMIT %b
        ) AS first
    ) AS found"""


def read_backlog(database: Database, channels: Sequence[str], priorities: Sequence[int], now: datetime, most: int) -> Backlog:
    """Counted up to about `most`, without what is paused, which wants no worker. Raises StoreUnavailable."""
    with database.cursor() as cursor:
        paused = paused_names(cursor)
        sending = [channel for channel in channels if not is_paused(paused, channel)]
        parameters = (sending, list(REGIONS), list(priorities), now, now, now + LOOK_AHEAD, list(paused), most)
        waiting, coming = cursor.execute(BACKLOG, parameters, prepare=True).fetchall()[0]
    return Backlog(int(waiting), int(coming))
