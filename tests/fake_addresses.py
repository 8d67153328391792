"""Which messages would have a place at an address if the table were nothing but memory?"""

import threading
from collections import defaultdict
from collections.abc import Sequence
from datetime import date
from uuid import UUID

from application.address_cap import Place


class FakeAddresses:
    """AddressesWrittenTo. Callers may be threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken: defaultdict[tuple[date, str, str], set[UUID]] = defaultdict(set)
        self.asked = 0

    def take(self, places: Sequence[Place]) -> set[UUID]:
        with self._lock:
            self.asked += 1
            return {place.message_id for place in sorted(places, key=lambda one: not one.in_doubt) if not self._took(place)}

    def forget(self, before: date) -> None:
        with self._lock:
            for key in [key for key in self._taken if key[0] < before]:
                del self._taken[key]

    def _took(self, place: Place) -> bool:
        taken = self._taken[place.day, place.message_type, place.address.lower()]
        if place.in_doubt or len(taken) < place.most:
            taken.add(place.message_id)
        return place.message_id in taken
