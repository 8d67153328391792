"""Who brings the people? A client that imports them in parts, and imports a part again until it is answered."""

from __future__ import annotations

from datetime import UTC, datetime
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, Self

from tests.chaos.provider import TYPES
from tests.e2e import people
from tests.e2e.people import person, zones_for

if TYPE_CHECKING:
    from tests.e2e.processes import Site

PART: Final = 50  # people
PAUSE_SECONDS: Final = 0.4
TRY_AGAIN_SECONDS: Final = 0.5


COLUMNS: Final = (*people.COLUMNS.split(","), "anniversary", "message_types")


class Feeder:
    """Some of the people are brought at once, the others in a thread, so that all roles are at work meanwhile."""

    def __init__(self, site: Site, messages: int, due_at: datetime) -> None:
        """So many, all of them due at this whole minute, two a person."""
        zones = zones_for(due_at)
        self._parts = [part(due_at, zones, first) for first in range(0, messages // len(TYPES), PART)]
        self._site = site
        self._stopping = Event()
        self._thread = Thread(target=self._feed, name="feeder")
        self.fed_at: datetime | None = None
        """When the last part was answered for."""

    def bring(self, share: float) -> None:
        """So many of them without a pause; returns when they are in the store."""
        for _ in range(round(len(self._parts) * share)):
            self._bring(self._parts.pop())

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join()

    def _feed(self) -> None:
        for part in self._parts:
            self._bring(part)
            if self._stopping.wait(PAUSE_SECONDS):
                return
        self.fed_at = datetime.now(UTC)

    def _bring(self, people: bytes) -> None:
        while not self._brought(people):
            if self._stopping.wait(TRY_AGAIN_SECONDS):
                return

    def _brought(self, people: bytes) -> bool:
        try:
            answer = self._site.ask("POST", "/v1/users/import", people, media="text/csv")
        except OSError:
            return False
        return answer.status == 200 and answer.body["rejected"] == 0


def part(due_at: datetime, zones: list[str], first: int) -> bytes:
    """A CSV file of people whose birthday and anniversary are one day."""
    rows = [",".join(COLUMNS)]
    for number in range(first, first + PART):
        one = person(due_at, zones[number % len(zones)], number)
        rows.append(",".join({**one, "anniversary": one["birthday"], "message_types": ";".join(TYPES)}[name] for name in COLUMNS))
    return "\n".join([*rows, ""]).encode()
