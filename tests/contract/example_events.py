"""What does one event of each stored name look like?"""

from datetime import UTC, date, datetime, time
from typing import Any, Final
from uuid import UUID

from domain.dispatch import DispatchFinished, DispatchMemberWithdrawn, DispatchRequested, DispatchStarted
from domain.event import Event
from domain.scheduled_message import (
    DeliveryInDoubt,
    DoubtResolved,
    FailedOver,
    LateResultRecorded,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageRedriven,
    MessageReinstated,
    MessageReleased,
    MessageRescheduled,
    MessageScheduled,
    MessageSent,
    SendRequested,
)
from domain.user import (
    AnniversaryChanged,
    AttributesChanged,
    BirthdayChanged,
    CountryChanged,
    EmailChanged,
    LanguageChanged,
    MessageTypesChanged,
    PreferredTimeChanged,
    TimezoneChanged,
    UserErased,
    UserRegistered,
    UserRenamed,
    UserSuppressed,
    UserUnsuppressed,
)

USER: Final = UUID("11111111-1111-4111-8111-111111111111")
MESSAGE: Final = UUID("01a4b2c3-d400-8222-8222-222222222222")
DISPATCH: Final = UUID("33333333-3333-4333-8333-333333333333")
OTHER: Final = UUID("44444444-4444-4444-8444-444444444444")
DUE: Final = datetime(2027, 3, 14, 9, tzinfo=UTC)
LATER: Final = datetime(2027, 3, 14, 9, 0, 12, 345678, tzinfo=UTC)
REPEATED: Final[dict[str, Any]] = {"message_type": "BIRTHDAY", "timezone": "Europe/London", "due_at": DUE}

EXAMPLES: Final[tuple[Event, ...]] = (
    UserRegistered(
        external_id="crm-7",
        first_name="Ada",
        last_name="Lovelace",
        email="ada@example.com",
        timezone="Europe/London",
        birthday="1990-12-10",
        anniversary=date(2015, 7, 8),
        country="GB",
        language="en",
        preferred_time=time(8, 30),
        message_types=("BIRTHDAY", "ANNIVERSARY"),
        attributes={"nickname": "Countess"},
        first_occasion=date(2027, 1, 1),
    ),
    UserRenamed(first_name="Augusta", last_name="King"),
    EmailChanged(email="augusta@example.com"),
    TimezoneChanged(timezone="Asia/Kathmandu"),
    BirthdayChanged(birthday="--12-10"),
    AnniversaryChanged(anniversary=date(2016, 2, 29)),
    CountryChanged(country="NP"),
    LanguageChanged(language=None),
    PreferredTimeChanged(preferred_time=time(7)),
    MessageTypesChanged(message_types=("BIRTHDAY",)),
    AttributesChanged(attributes={"nickname": "Ada"}),
    UserSuppressed(reason="operator"),
    UserUnsuppressed(),
    UserErased(),
    MessageScheduled(**REPEATED, user_id=USER, occasion=date(2027, 3, 14), rule="plain", tzdata="2026f", type_version=1),
    MessageRescheduled(**REPEATED, reason="zone_moved", rule="gap", tzdata="2026f"),
    MessageCancelled(**REPEATED, reason="birthday_changed"),
    MessageExpired(**REPEATED, reason="late_window"),
    MessageReinstated(**REPEATED, reason="", rule="plain", tzdata="2026f"),
    SendRequested(**REPEATED, attempt=2, channel="http", dispatch_id=DISPATCH, repeat_of=OTHER),
    MessageSent(**REPEATED, sent_at=LATER, response_code=200, provider_id="p-1", template_version=1, dispatch_id=DISPATCH),
    MessageFailed(**REPEATED, error="not_accepted:500", retry_count=1, retry_at=LATER, dispatch_id=DISPATCH),
    LateResultRecorded(**REPEATED, dispatch_id=OTHER, result="accepted"),
    MessageReleased(**REPEATED, dispatch_id=DISPATCH, reason="lease"),
    DeliveryInDoubt(**REPEATED, reason="timeout", channel="http", dispatch_id=DISPATCH),
    DoubtResolved(**REPEATED, outcome="not_sent", by="key:operator"),
    FailedOver(**REPEATED, from_channel="http", to_channel="smtp"),
    MessageAbandoned(**REPEATED, reason="rejected", error="rejected:400", dispatch_id=DISPATCH),
    MessageRedriven(**REPEATED, by="cli", send_before=LATER, reason="the provider was down"),
    DispatchRequested(channel="http", region="europe", message_ids=(MESSAGE, OTHER)),
    DispatchMemberWithdrawn(message_id=MESSAGE),
    DispatchStarted(worker="host-1", incarnation=OTHER, claim_token=USER),
    DispatchFinished(how="recorded"),
)
