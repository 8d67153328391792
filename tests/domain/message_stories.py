"""A birthday message in each of its states, told by the facts that lead there."""

from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

from domain.event import Event
from domain.scheduled_message import (
    DeliveryInDoubt,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageScheduled,
    MessageSent,
    SendRequested,
)

USER: Final = UUID(int=7)
DISPATCH, OTHER_DISPATCH = UUID(int=11), UUID(int=12)
DUE: Final = datetime(2027, 5, 15, 8, tzinfo=UTC)
LATER: Final = datetime(2027, 5, 15, 9, tzinfo=UTC)
REPEATED: Final[dict[str, Any]] = {"message_type": "BIRTHDAY", "timezone": "Europe/London", "due_at": DUE}

SCHEDULED = MessageScheduled(**REPEATED, user_id=USER, occasion=date(2027, 5, 15), rule="plain", tzdata="2026f", type_version=1)
REQUESTED = SendRequested(**REPEATED, attempt=1, channel="sink", dispatch_id=DISPATCH)
FAILED = MessageFailed(**REPEATED, error="not_accepted:500", retry_count=1, retry_at=LATER, dispatch_id=DISPATCH)
SENT = MessageSent(**REPEATED, sent_at=LATER, response_code=200, provider_id="p-1", template_version=1, dispatch_id=DISPATCH)
IN_DOUBT = DeliveryInDoubt(**REPEATED, reason="timeout", channel="sink", dispatch_id=DISPATCH)
SUPPRESSED = MessageCancelled(**REPEATED, reason="suppressed")
BY_OPERATOR = MessageCancelled(**REPEATED, reason="operator")
EXPIRED = MessageExpired(**REPEATED, reason="late_window")
ABANDONED = MessageAbandoned(**REPEATED, reason="rejected", error="rejected:400", dispatch_id=None)

HISTORIES: Final[dict[str, tuple[Event, ...]]] = {
    "nothing": (),
    "scheduled": (SCHEDULED,),
    "requested": (SCHEDULED, REQUESTED),
    "retrying": (SCHEDULED, REQUESTED, FAILED),
    "sent": (SCHEDULED, REQUESTED, SENT),
    "cancelled": (SCHEDULED, SUPPRESSED),
    "expired": (SCHEDULED, EXPIRED),
    "abandoned": (SCHEDULED, REQUESTED, ABANDONED),
    "in_doubt": (SCHEDULED, REQUESTED, IN_DOUBT),
}
