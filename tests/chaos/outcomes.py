"""Where does a message stand, by the events alone?"""

from __future__ import annotations

from datetime import datetime
from typing import Final

import psycopg
from msgspec import Struct

from tests.chaos.provider import DEDUPLICATES

SENT: Final = frozenset({"message.sent.v1"})
DOUBT: Final = "message.in_doubt.v1"
ENDED: Final = frozenset({*SENT, "message.cancelled.v1", "message.expired.v1", "message.abandoned.v1"})
SILENT: Final = frozenset({"message.late_result_recorded.v1"})
"""What does not change where a message stands."""

# A doubt ends by itself where the provider can be called again with the same key; else it waits for a person.
STANDING: Final = """
    WITH last AS (
        SELECT DISTINCT ON (originator_id) topic, convert_from(state, 'utf8')::jsonb -> 'event' AS event
        FROM ninebell.messages WHERE topic <> ALL(%(silent)s) ORDER BY originator_id, originator_version DESC)
    SELECT count(*) FILTER (WHERE topic = ANY(%(ended)s)
            OR topic = %(doubt)s AND (event ->> 'channel' <> %(keyed)s OR event ->> 'reason' = 'restored')),
        max(CASE topic WHEN 'message.failed.v1' THEN event ->> 'retry_at' END)::timestamptz
    FROM last"""


class Standing(Struct, frozen=True):
    settled: int  # messages that have their outcome; a doubt is one, but where it ends by itself
    retry_at: datetime | None  # the last one's of those to be tried again


def standing_in(dsn: str) -> Standing:
    """Of all messages."""
    names = {"silent": list(SILENT), "ended": list(ENDED), "doubt": DOUBT, "keyed": DEDUPLICATES}
    with psycopg.connect(dsn) as connection:
        row = connection.execute(STANDING, names).fetchone()
    assert row is not None
    return Standing(*row)
