"""How are pages of the users log planned side by side, and yet committed one after another?"""

import time
from datetime import datetime
from typing import Final

from msgspec import Struct
from msgspec.structs import replace
from psycopg import Cursor

from application.ports import Followed, Log, PositionLost
from domain.event import Event
from infrastructure.database import Row
from infrastructure.event_store import PostgresEventStore
from infrastructure.planner_tables import PostgresPlannerWork
from infrastructure.work import read_position

TURN_SECONDS: Final = 5.0
LOOK_SECONDS: Final = 0.002
TOLD_BEFORE: Final = """
    SELECT EXISTS (SELECT FROM users WHERE notification_id > %b AND notification_id <= %b AND originator_id = ANY(%b))"""


class Page(Struct, frozen=True):
    """A stretch of the users log, all of whose events are committed."""

    settled: int  # up to here everything is planned and committed; others may be planning what lies between this and `after`
    after: int
    until: int
    now: datetime


class PostgresPageWork(PostgresPlannerWork):
    """The planner's transaction for one page, which others plan the pages before. It reads and decides without waiting for them.

    It waits for its turn before it appends and, if a page before tells of one of its people, before it looks at them:
    what is planned of somebody is to be seen whole. Whose turn does not come, as a page before has failed, keeps nothing.
    """

    def __init__(self, cursor: Cursor[Row], store: PostgresEventStore, follower: str, *, page: Page) -> None:
        super().__init__(cursor, store, follower)
        self._page, self._waited = page, False
        self._positions["users"], self._last_given["users"] = {follower: page.after}, page.until

    def notice(self, log: Log, limit: int, kinds: frozenset[type[Event]]) -> Followed:
        """The page, whole. Raises PositionLost."""
        found = replace(super().notice(log, limit, kinds), position=self._page.until)
        people = list({event.stream_id for event in found.events})
        self.cursor.execute(TOLD_BEFORE, (self._page.settled, self._page.after, people), prepare=True)
        if self.cursor.fetchall()[0][0]:
            self._wait_for_turn()
        return found

    def move_positions(self) -> None:
        self._wait_for_turn()
        super().move_positions()

    def _take_turn(self, logs: set[Log]) -> None:
        self._wait_for_turn()
        super()._take_turn(logs)

    def _wait_for_turn(self) -> None:
        """Until the page before is committed. Raises PositionLost."""
        if self._waited:
            return
        until = time.monotonic() + TURN_SECONDS
        while (position := read_position(self.cursor, self._follower, "users")) < self._page.after:
            if time.monotonic() >= until:
                raise PositionLost(self._follower)
            time.sleep(LOOK_SECONDS)
        if position > self._page.after:
            raise PositionLost(self._follower)
        self._waited = True
