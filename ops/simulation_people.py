"""Who lives in which shard of a simulation, and under which ID?"""

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from itertools import accumulate
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.import_users import LastLines, StagedPerson, Staging
from domain.timezones import zone
from ops.simulation_parts import Ids


class Shard(Struct, frozen=True):
    """Which part of the people, of how many: the first is number 0 of 1, everybody."""

    number: int = 0
    of: int = 1


class Cut:
    """People by what their clocks show, from west to east, cut into equal parts.

    Those who share an instant live together so, but for the zone or two in which the cut falls.
    """

    def __init__(self, living: Counter[str], parts: int, at: datetime) -> None:
        """`living` counts people by zone."""
        zones = sorted(living, key=lambda name: (at.astimezone(zone(name)).utcoffset() or timedelta(), name))
        self._next = dict(zip(zones, accumulate((living[name] for name in zones), initial=0), strict=False))
        self._parts, self._people = parts, living.total()

    def place(self, timezone: str) -> int:
        """The part of the next person of that zone."""
        before = self._next[timezone]
        self._next[timezone] = before + 1
        return before * self._parts // self._people


class People:
    """`application.import_users.Staging` that hands on one shard's people.

    Everybody has the ID that they would have if there were but one shard: what is spread over minutes is spread by it.
    """

    def __init__(self, staging: Staging, shard: Shard, at: datetime, ids: Ids) -> None:
        self._staging, self._shard, self._at, self._ids = staging, shard, at, ids
        self._living: Counter[str] = Counter()
        self._shard_of: dict[str, int] = {}
        self.names: dict[UUID, str] = {}
        """What each is called in the answer."""

    def put(self, people: list[StagedPerson], *, register: bool) -> None:
        self._living.update(person.said.timezone for person in people)
        self._staging.put(people, register=False)

    def last_lines(self) -> Iterator[LastLines]:
        cut = Cut(self._living, self._shard.of, self._at)
        for last in self._staging.last_lines():
            housed = ((person, self._housed(person, cut)) for person in last.others)
            yield LastLines(0, [replace(person, user_id=user_id) for person, user_id in housed if user_id])

    def here(self, external_id: str) -> bool:
        """Whether it is for this shard to say what becomes of that person; of nobody, for the first."""
        return self._shard_of.get(external_id, 0) == self._shard.number

    def _housed(self, person: StagedPerson, cut: Cut) -> UUID | None:
        """The ID of one who lives here."""
        user_id, name = self._ids(), str(person.said.external_id)
        self._shard_of[name] = cut.place(person.said.timezone)
        if not self.here(name):
            return None
        self.names[user_id] = name
        return user_id
