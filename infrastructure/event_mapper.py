"""How do events become the bytes that are stored, and back, with personal data sealed per user?"""

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any, Final, Generic, TypeVar, get_args, get_type_hints

import msgspec
from cryptography.exceptions import InvalidTag
from msgspec import Struct, json
from msgspec.structs import asdict

from application.ports import Log, Origin
from domain.dispatch import DispatchEvent
from domain.event import Event, stored_name
from domain.scheduled_message import ScheduledMessageEvent
from domain.user import PERSONAL, UserEvent
from infrastructure.keyring import DataKey, KeyGone
from infrastructure.upcasters import UPCASTERS, Fields, Upcaster

E = TypeVar("E", bound=Event)
SOMETHING: Final = Event()
"""Said, and not looked at."""
# What bytes of another shape, of another key or damaged can cause. msgspec's errors are ValueErrors, as is Python's own, which
# it lets through for a text that is no UTF-8.
DAMAGED: Final = (ValueError, InvalidTag, LookupError, TypeError, AttributeError)

EVENTS: Final[dict[Log, tuple[type[Event], ...]]] = {
    "users": get_args(UserEvent),
    "messages": get_args(ScheduledMessageEvent),
    "dispatches": get_args(DispatchEvent),
}


class Written(Struct, Generic[E], frozen=True, gc=False):
    """A log's `state`: the event, and who caused it."""

    event: E
    who: str
    correlation_id: str = ""
    causation_id: str = ""


class Stored(Written[E], Generic[E], frozen=True):
    """The same as it is read."""

    sealed: bytes = b""  # the personal fields, as they stand in the log

    @property
    def origin(self) -> Origin:
        """Who caused it."""
        return Origin(self.who, self.correlation_id, self.causation_id)


class Unreadable(Exception):
    """A stored event that this code can't make sense of: an unknown name, or bytes that are not of that name's shape."""

    def __init__(self, topic: str, error: str) -> None:
        super().__init__(f"{topic}: {error}")
        self.topic, self.error = topic, error


class _Open(Generic[E]):
    """Stores every field as it is."""

    def __init__(self, kind: type[E]) -> None:
        self._encode = json.Encoder().encode
        self._decode = json.Decoder(Stored[kind]).decode  # type: ignore[valid-type]

    def encode(self, event: E, origin: Origin, key: DataKey | None) -> bytes:
        return self._encode(Written(event, origin.who, origin.correlation_id, origin.causation_id))

    def decode(self, state: bytes, key: DataKey | None) -> Stored[E]:
        return self._decode(state)


class _Sealed(Generic[E]):
    """Stores personal fields as one blob in the place of them all."""

    def __init__(self, kind: type[E], personal: list[str]) -> None:
        hints = get_type_hints(kind)
        self._name = stored_name(kind)
        self._kind = kind
        self._clear = [name for name in kind.__struct_fields__ if name not in personal]
        self._blanks = {name: PERSONAL[name] for name in personal}
        self._clear_of, self._personal_of = _values(self._clear), _values(personal)
        shape = [*((name, hints[name]) for name in self._clear), ("sealed", bytes)]
        self._shape = msgspec.defstruct(kind.__name__, shape, tag=self._name, frozen=True)
        self._personal = msgspec.defstruct("Personal", [(name, hints[name]) for name in personal], frozen=True)
        self._encode = json.Encoder().encode
        self._decode = json.Decoder(Stored[self._shape]).decode  # type: ignore[name-defined]
        self._decode_personal = json.Decoder(self._personal).decode

    def encode(self, event: E, origin: Origin, key: DataKey | None) -> bytes:
        """Raises KeyGone."""
        if key is None:
            raise KeyGone
        personal = self._encode(self._personal(*self._personal_of(event)))
        shaped = self._shape(*self._clear_of(event), key.seal(self._name, personal))
        return self._encode(Written(shaped, origin.who, origin.correlation_id, origin.causation_id))

    def decode(self, state: bytes, key: DataKey | None) -> Stored[E]:
        stored = self._decode(state)
        fields = asdict(stored.event)
        sealed = fields.pop("sealed")
        if key is None:
            fields |= self._blanks
        else:
            fields |= asdict(self._decode_personal(key.open(self._name, sealed)))
        return Stored(self._kind(**fields), stored.who, stored.correlation_id, stored.causation_id, sealed)


class EventMapper:
    """Structs ↔ stored events, by stored name."""

    def __init__(self, upcasters: Mapping[str, Upcaster] = UPCASTERS) -> None:
        self._upcasters = upcasters
        self._kinds = {stored_name(kind): kind for kinds in EVENTS.values() for kind in kinds}
        self._codecs = {name: _codec(kind) for name, kind in self._kinds.items()}
        self._decode_origin = json.Decoder(Origin).decode  # goes past the field of the event
        self._names = {kind: name for name, kind in self._kinds.items()}

    def names(self, kinds: frozenset[type[Event]]) -> list[str]:
        """Under which names events of these kinds are stored today."""
        return [self._names[kind] for kind in kinds]

    def others(self, kinds: frozenset[type[Event]] | None) -> list[str]:
        """The stored names that surely hold no event of these kinds: an old or unknown one may."""
        return [] if kinds is None else [name for name, kind in self._kinds.items() if kind not in kinds]

    def may_be_sealed(self, topic: str) -> bool:
        """Whether events of this stored name may take a key to read."""
        return not isinstance(self._codecs.get(topic), _Open)

    def encode(self, event: Event, origin: Origin, key: DataKey | None) -> tuple[str, bytes]:
        """Stored name and bytes. Raises KeyGone where the event has personal data and no key seals it."""
        name = self._names[type(event)]
        return name, self._codecs[name].encode(event, origin, key)

    def decode(self, topic: str, state: bytes, key: DataKey | None) -> Stored[Event]:
        """Without the key, personal fields read as in `domain.user.PERSONAL`. Raises Unreadable."""
        codec = self._codecs.get(topic)
        try:
            return codec.decode(state, key) if codec else self._decode_old(topic, state, key)
        except DAMAGED as error:
            raise Unreadable(topic, type(error).__name__) from error  # the texts of these can quote values

    def unread(self, topic: str, state: bytes, *_: object) -> Stored[Event]:
        """Who caused it; what it says is not looked at. Raises Unreadable."""
        if topic not in self._codecs and topic not in self._upcasters:
            raise Unreadable(topic, "unknown")
        try:
            by = self._decode_origin(state)
        except DAMAGED as error:
            raise Unreadable(topic, type(error).__name__) from error
        return Stored(SOMETHING, by.who, by.correlation_id, by.causation_id)

    def _decode_old(self, topic: str, state: bytes, key: DataKey | None) -> Stored[Event]:
        if topic not in self._upcasters:
            raise Unreadable(topic, "unknown")
        stored = json.decode(state, type=dict[str, Any])
        name, fields = topic, _opened(topic, stored["event"], key)
        while name in self._upcasters:
            name, fields = self._upcasters[name](fields)
        kind = self._kinds[name]
        blanks = {field: PERSONAL[field] for field in kind.__struct_fields__ if field in PERSONAL}
        stored["event"] = msgspec.convert(blanks | fields | {"type": name}, kind)
        return Stored(**stored)


def _codec(kind: type[E]) -> _Open[E] | _Sealed[E]:
    personal = [name for name in kind.__struct_fields__ if name in PERSONAL]
    return _Sealed(kind, personal) if personal else _Open(kind)


def _opened(topic: str, fields: Fields, key: DataKey | None) -> Fields:
    sealed = fields.pop("sealed", None)
    fields.pop("type")
    if sealed is None or key is None:
        return fields
    return fields | json.decode(key.open(topic, msgspec.convert(sealed, bytes)), type=Fields)


def _values(names: Sequence[str]) -> Callable[[object], tuple[Any, ...]]:
    """What reads these attributes, all at once."""
    if len(names) < 2:
        return lambda event: tuple(getattr(event, name) for name in names)
    return attrgetter(*names)


def needs_key(kind: type[Event]) -> bool:
    """Whether events of this kind hold personal data."""
    return any(name in PERSONAL for name in kind.__struct_fields__)
