"""How often may messages of a type be written to one address for a day, and which messages are too many?"""

from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from typing import Final, Protocol
from uuid import UUID

from msgspec import Struct

from application.claims import Prepared
from application.delivery_outcomes import Outcome, Unwanted
from application.ports import Stream
from domain.scheduled_message import ScheduledMessage

KEPT: Final = timedelta(days=40)
"""How long after its day a place is remembered."""


class Place(Struct, frozen=True):
    """What a message needs before it may be sent: one of the `most` places at its address."""

    message_id: UUID
    message_type: str
    day: date  # the occasion's
    address: str
    most: int
    in_doubt: bool  # it may have arrived already: it has a place whatever the others took


class AddressesWrittenTo(Protocol):
    """Which messages have a place at which address, over all workers."""

    def take(self, places: Sequence[Place]) -> set[UUID]:
        """Take these places, in this order, as far as there are any; the IDs of the messages that there was none for.

        A message keeps the place it has, so that the same call again is safe. Workers that call at once don't take more than
        there are between them. Addresses are compared in lower case. Raises StoreUnavailable.
        """

    def forget(self, before: date) -> None:
        """Drop the places of earlier days."""


class AddressCap:
    """The types that may write to an address only so often for a day; `most` by type, from 1 on."""

    def __init__(self, most: Mapping[str, int], addresses: AddressesWrittenTo) -> None:
        self._most, self._addresses = most, addresses

    def too_many(
        self, words: Mapping[UUID, Prepared | Outcome], messages: Mapping[UUID, Stream[ScheduledMessage]]
    ) -> dict[UUID, Outcome]:
        """What becomes of the letters that their address has no place for; the others have one. Raises StoreUnavailable."""
        letters = [word for word in words.values() if isinstance(word, Prepared)]
        places = [place for word in letters if (place := self._place(word, messages))]
        refused = self._addresses.take(places) if places else set()
        return dict.fromkeys(refused, Unwanted("not_allowed"))

    def _place(self, word: Prepared, messages: Mapping[UUID, Stream[ScheduledMessage]]) -> Place | None:
        letter = word.letter
        message, most = messages[letter.message_id].state, self._most.get(letter.message_type)
        if message is None or most is None:
            return None
        return Place(letter.message_id, letter.message_type, message.occasion, letter.email, most, message.in_doubt)
