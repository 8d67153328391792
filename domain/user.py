"""User: who is greeted, where they live, what they want; suppression and erasure."""

from datetime import date, time
from types import MappingProxyType
from typing import Any, Final, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import asdict, replace

from domain.errors import UserErasedError, UserExists, UserUnknown
from domain.event import Event

PERSONAL: Final = MappingProxyType[str, Any](
    {"external_id": None, "first_name": "", "last_name": "", "email": "", "birthday": None, "anniversary": None, "attributes": {}}
)
"""The fields sealed with the user's key wherever an event has them, and what each reads as once that key is destroyed."""


class Details(Struct, frozen=True, kw_only=True):
    """What a client says of a person, already validated (see user_details)."""

    external_id: str | None = None
    first_name: str
    last_name: str = ""
    email: str
    timezone: str
    birthday: str | None = None  # "1990-05-15", or "--05-15" without a year
    anniversary: date | None = None
    country: str | None = None  # ISO 3166-1 alpha-2
    language: str | None = None  # BCP 47
    preferred_time: time | None = None  # local; stands above the type's send time
    message_types: tuple[str, ...] = ("BIRTHDAY",)
    attributes: dict[str, str] = {}


class UserRegistered(Event, frozen=True, kw_only=True, tag="user.registered.v1"):
    external_id: str | None
    first_name: str
    last_name: str
    email: str
    timezone: str
    birthday: str | None
    anniversary: date | None
    country: str | None
    language: str | None
    preferred_time: time | None
    message_types: tuple[str, ...]
    attributes: dict[str, str]
    first_occasion: date  # nothing earlier is ever scheduled


class UserRenamed(Event, frozen=True, tag="user.renamed.v1"):
    first_name: str
    last_name: str


class EmailChanged(Event, frozen=True, tag="user.email_changed.v1"):
    email: str


class TimezoneChanged(Event, frozen=True, tag="user.timezone_changed.v1"):
    timezone: str


class BirthdayChanged(Event, frozen=True, tag="user.birthday_changed.v1"):
    birthday: str | None


class AnniversaryChanged(Event, frozen=True, tag="user.anniversary_changed.v1"):
    anniversary: date | None


class CountryChanged(Event, frozen=True, tag="user.country_changed.v1"):
    country: str | None


class LanguageChanged(Event, frozen=True, tag="user.language_changed.v1"):
    language: str | None


class PreferredTimeChanged(Event, frozen=True, tag="user.preferred_time_changed.v1"):
    preferred_time: time | None


class MessageTypesChanged(Event, frozen=True, tag="user.message_types_changed.v1"):
    message_types: tuple[str, ...]


class AttributesChanged(Event, frozen=True, tag="user.attributes_changed.v1"):
    attributes: dict[str, str]


class UserSuppressed(Event, frozen=True, tag="user.suppressed.v1"):
    reason: str


class UserUnsuppressed(Event, frozen=True, tag="user.unsuppressed.v1"):
    pass


class UserErased(Event, frozen=True, tag="user.erased.v1"):
    pass


DetailChanged = (
    UserRenamed
    | EmailChanged
    | TimezoneChanged
    | BirthdayChanged
    | AnniversaryChanged
    | CountryChanged
    | LanguageChanged
    | PreferredTimeChanged
    | MessageTypesChanged
    | AttributesChanged
)
UserEvent = UserRegistered | DetailChanged | UserSuppressed | UserUnsuppressed | UserErased

CHANGES: Final[tuple[tuple[type[DetailChanged], tuple[str, ...]], ...]] = (
    (UserRenamed, ("first_name", "last_name")),
    (EmailChanged, ("email",)),
    (TimezoneChanged, ("timezone",)),
    (BirthdayChanged, ("birthday",)),
    (AnniversaryChanged, ("anniversary",)),
    (CountryChanged, ("country",)),
    (LanguageChanged, ("language",)),
    (PreferredTimeChanged, ("preferred_time",)),
    (MessageTypesChanged, ("message_types",)),
    (AttributesChanged, ("attributes",)),
)
"""Which event says that which details changed. The external ID is for life."""


class User(Details, frozen=True, kw_only=True):
    """A person as the decisions see them."""

    first_occasion: date
    suppressed: bool = False
    erased: bool = False

    @property
    def reachable(self) -> bool:
        """Whether anything may be sent to this person."""
        return not (self.suppressed or self.erased)


def evolve(user: User | None, event: UserEvent) -> User | None:
    """Fold one fact in. Never refuses, so that old histories always load."""
    match event:
        case UserRegistered():
            return User(**asdict(event))
        case UserSuppressed():
            return user and replace(user, suppressed=True)
        case UserUnsuppressed():
            return user and replace(user, suppressed=False)
        case UserErased():
            return user and replace(user, erased=True, **PERSONAL)
        case (
            UserRenamed()
            | EmailChanged()
            | TimezoneChanged()
            | BirthdayChanged()
            | AnniversaryChanged()
            | CountryChanged()
            | LanguageChanged()
            | PreferredTimeChanged()
            | MessageTypesChanged()
            | AttributesChanged()
        ):
            return user and replace(user, **asdict(event))
        case _:
            assert_never(event)


def register(user: User | None, user_id: UUID, details: Details, first_occasion: date) -> list[UserEvent]:
    """Greet this person from `first_occasion` (a local date) on.

    Raises UserExists, UserErasedError.
    """
    if user is not None and user.erased:
        raise UserErasedError
    if user is not None:
        raise UserExists(user_id)
    return [registration(details, first_occasion)]


def registration(details: Details, first_occasion: date) -> UserRegistered:
    """What is said of somebody who registers."""
    return UserRegistered(**asdict(details), first_occasion=first_occasion)


def change(user: User | None, details: Details) -> list[UserEvent]:
    """Bring every detail in line with `details`; what stays the same is not news.

    Raises UserUnknown, UserErasedError.
    """
    known = _known(user)
    return [
        kind(**{field: getattr(details, field) for field in fields})
        for kind, fields in CHANGES
        if any(getattr(known, field) != getattr(details, field) for field in fields)
    ]


def suppress(user: User | None, reason: str) -> list[UserEvent]:
    """Send nothing more until unsuppressed. Raises UserUnknown, UserErasedError."""
    return [] if _known(user).suppressed else [UserSuppressed(reason=reason)]


def unsuppress(user: User | None) -> list[UserEvent]:
    """Send again. Raises UserUnknown, UserErasedError."""
    return [UserUnsuppressed()] if _known(user).suppressed else []


def erase(user: User | None) -> list[UserEvent]:
    """Forget the person for good; again is not news. Raises UserUnknown."""
    if user is None:
        raise UserUnknown
    return [] if user.erased else [UserErased()]


def details_of(user: User | UserRegistered) -> Details:
    """The details as a client would say them now."""
    return Details(**{field: getattr(user, field) for field in Details.__struct_fields__})


def _known(user: User | None) -> User:
    if user is None:
        raise UserUnknown
    if user.erased:
        raise UserErasedError
    return user
