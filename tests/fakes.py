"""What would the planner's transactions do on a store that is nothing but memory?"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from functools import partial
from uuid import UUID

from msgspec.structs import replace

from application.planner_ports import Derived, NextOccasion, ParkedType, PlannedMessage, PlannerWork, Todo
from application.ports import Begin, Followed, Log
from domain.event import Event
from domain.user import UserErased
from tests.fake_dispatcher_work import FakeDispatcherWork, Memory


class PlannerMemory(Memory):
    """The logs and the planner's tables, as one transaction finds and leaves them."""

    def __init__(self) -> None:
        super().__init__()
        self.planned: dict[UUID, PlannedMessage] = {}
        self.occasions: dict[tuple[UUID, str], NextOccasion] = {}
        self.parked: list[ParkedType] = []
        self.again: dict[UUID, datetime] = {}
        self.derived: Derived | None = None
        self.moved: dict[str, int] = {}

    def begin_planning(self, follower: str = "planner", epoch: int = 1) -> Begin[PlannerWork]:
        return partial(self._planning, follower, epoch)

    @contextmanager
    def _planning(self, follower: str, epoch: int) -> Iterator[PlannerWork]:
        with self._transaction(follower, epoch):
            yield FakePlannerWork(self, follower)


class FakePlannerWork(FakeDispatcherWork):
    """PlannerWork over PlannerMemory: a Work with the planner's tables."""

    def __init__(self, memory: PlannerMemory, follower: str) -> None:
        super().__init__(memory, follower)
        self._tables = memory

    def todo(self, last: date) -> Todo:
        tables = self._tables
        users, messages = (
            len(tables.logs[log]) - tables.positions.get((self._follower, log), 0) for log in ("users", "messages")
        )
        occasions = any(row.occasion <= last for row in tables.occasions.values())
        return Todo(occasions, users, messages > 0, bool(tables.again), tables.derived)

    def notice(self, log: Log, limit: int, kinds: frozenset[type[Event]]) -> Followed:
        followed = self.follow(log, limit, kinds)
        return replace(followed, events=[replace(recorded, event=Event()) for recorded in followed.events])

    def planned(
        self, user_ids: Sequence[UUID], since: date, *, earlier: date | None = None, annual: Collection[str] = ()
    ) -> list[PlannedMessage]:
        rows = [row for row in self._tables.planned.values() if row.user_id in user_ids]
        found = [row for row in rows if row.occasion >= (earlier if earlier and row.message_type in annual else since)]
        return sorted(found, key=lambda row: row.message_id)

    def users_planned(self, message_ids: Sequence[UUID]) -> dict[UUID, UUID]:
        known = self._tables.planned
        return {message_id: known[message_id].user_id for message_id in message_ids if message_id in known}

    def put_planned(self, rows: Sequence[PlannedMessage]) -> None:
        self._tables.planned.update({row.message_id: row for row in rows})

    def put_occasions(self, user_ids: Sequence[UUID], rows: Sequence[NextOccasion]) -> None:
        self._drop_occasions(user_ids)
        self._tables.occasions.update({(row.user_id, row.message_type): row for row in rows})

    def occasions_until(self, last: date, limit: int) -> list[NextOccasion]:
        due = [row for row in self._tables.occasions.values() if row.occasion <= last]
        return sorted(due, key=lambda row: (row.occasion, row.user_id))[:limit]

    def planned_under_other(self, tzdata: str, since: date, after: UUID | None, limit: int) -> list[PlannedMessage]:
        rows = [row for row in self._tables.planned.values() if row.tzdata < tzdata and row.occasion >= since]
        rest = [row for row in rows if after is None or row.message_id > after]
        return sorted(rest, key=lambda row: row.message_id)[:limit]

    def parked(self, user_ids: Sequence[UUID]) -> list[ParkedType]:
        return [row for row in self._tables.parked if row.user_id in user_ids]

    def parked_after(self, after: UUID | None, limit: int) -> list[ParkedType]:
        rows = [row for row in self._tables.parked if after is None or row.user_id > after]
        return sorted(rows, key=lambda row: (row.user_id, row.message_type))[:limit]

    def put_parked(self, user_ids: Sequence[UUID], rows: Sequence[ParkedType], now: datetime) -> None:
        self._tables.parked = [*(row for row in self._tables.parked if row.user_id not in user_ids), *rows]

    def people_asked_again(self, limit: int) -> dict[UUID, datetime]:
        asked = dict(list(self._tables.again.items())[:limit])
        for user_id in asked:
            del self._tables.again[user_id]
        return asked

    def ask_no_more(self, limit: int) -> None:
        types = {row.user_id for row in self._tables.parked}
        for user_id in self.people_asked_again(limit):
            if user_id not in types:
                self.park("users", user_id, "asked")

    def derived(self) -> Derived | None:
        return self._tables.derived

    def put_derived(self, derived: Derived) -> None:
        self._tables.derived = derived

    def everybody_after(self, after: UUID | None, limit: int) -> Sequence[UUID]:
        said = self._tables.logs["users"]
        erased = {recorded.stream_id for recorded in said if isinstance(recorded.event, UserErased)}
        known = {recorded.stream_id for recorded in said} - erased
        return sorted(user_id for user_id in known if after is None or user_id > after)[:limit]

    def count_moved(self, tzdata: str, messages: int) -> None:
        self._tables.moved[tzdata] = self._tables.moved.get(tzdata, 0) + messages

    def forget(self, user_ids: Sequence[UUID]) -> None:
        planned = self._tables.planned.values()
        self._tables.planned = {row.message_id: row for row in planned if row.user_id not in user_ids}
        self._drop_occasions(user_ids)

    def forget_old(self, before: date, after: UUID | None, limit: int) -> UUID | None:
        old = sorted(row.message_id for row in self._tables.planned.values() if row.occasion < before)
        page = [message_id for message_id in old if after is None or message_id > after][:limit]
        for message_id in page:
            del self._tables.planned[message_id]
        return page[-1] if page else None

    def _drop_occasions(self, user_ids: Sequence[UUID]) -> None:
        rows = self._tables.occasions
        self._tables.occasions = {key: row for key, row in rows.items() if row.user_id not in user_ids}
