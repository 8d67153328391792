"""What came of one message, why, and what would help? In sentences, from its events."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from application.never_planned import Because
from application.pause_sending import EVERYTHING, PastPause
from application.ports import Recorded
from domain.delivery_policy import ITS_MINUTE
from domain.event import Event, stored_name
from domain.scheduled_message import (
    DeliveryInDoubt,
    MessageAbandoned,
    MessageFailed,
    MessageRedriven,
    MessageReinstated,
    MessageReleased,
    MessageRescheduled,
    MessageScheduled,
    ScheduledMessage,
    SendRequested,
)
from domain.timezones import zone

REDRIVE: Final = "ninebell messages redrive"
ENDS: Final[Mapping[str, tuple[str, str]]] = {
    "suppressed": ("nothing might be sent to the person any more", "Unsuppressed in time, it comes back by itself."),
    "erased": ("the person was erased", ""),
    "type_removed": ("they had not chosen its type any more", "Chosen again in time, it comes back by itself."),
    "birthday_changed": ("their facts gave no occasion on that date any more", ""),
    "already_sent": ("another one of its year was sent, and one a year is the most", ""),
    "operator": ("an operator decided so", "What an operator cancelled stays cancelled."),
    "not_allowed": (
        "NINEBELL_ONLY_TO does not allow their address, or it had had the day's share of its type",
        "See NINEBELL_ONLY_TO and per_address_per_day in ninebell doctor.",
    ),
    "late_window": ("its late window was over before it could go out", f"{REDRIVE} sends it all the same."),
    "zone_moved": ("they moved to where its day was over already", f"{REDRIVE} sends it all the same."),
    "rejected": ("the provider refused it for good", f"Mend what it names, then {REDRIVE}."),
    "retries_exhausted": (
        "the provider did not take it, nor at five more tries",
        f"{REDRIVE}, once the provider takes messages.",
    ),
    "plugin_error": ("its message type, or what it takes to write it, failed", f"Mend that, then {REDRIVE}."),
}
"""By reason: why, and what would help."""
RESOLVE: Final = "Ask the provider, then ninebell messages resolve ID --outcome sent|not_sent."


def told_message(
    message_id: UUID,
    message: ScheduledMessage,
    history: Sequence[Recorded[Event]],
    person: Sequence[Recorded[Event]],
    pauses: Sequence[PastPause],
) -> Because:
    """`history` is the message's own, `person` that of whom it is for."""
    told = _Told(message, history, person, pauses)
    sentence, helps = told.sent() if message.status == "sent" else told.in_doubt() if message.in_doubt else told.otherwise()
    return Because(
        code=" ".join(filter(None, (message.status, "" if message.status == "sent" else message.reason))),
        sentence=sentence,
        helps=helps,
        occasion=message.occasion,
        message_id=message_id,
        planned=True,
    )


class _Told:
    def __init__(
        self,
        message: ScheduledMessage,
        history: Sequence[Recorded[Event]],
        person: Sequence[Recorded[Event]],
        pauses: Sequence[PastPause],
    ) -> None:
        self._message, self._history, self._person, self._pauses = message, history, person, pauses
        self._last = history[-1]

    def sent(self) -> tuple[str, str]:
        message, at = self._message, self._message.sent_at or self._last.at
        said = f"Sent for {message.occasion} at {_local(at, message.timezone)}{self._through()}."
        late = at - message.due_at
        return (said if late < ITS_MINUTE else f"{said} It was due at {_instant(message.due_at)}: {self._why_late(at)}."), ""

    def in_doubt(self) -> tuple[str, str]:
        doubts = [fact for fact in self._history if isinstance(fact.event, DeliveryInDoubt)]
        why = getattr(doubts[-1].event, "reason", "")
        when = _instant(doubts[-1].at)
        said = (
            f"Nobody can tell whether it was sent for {self._message.occasion}: in doubt since {when} ({why}){self._through()}."
        )
        goes_on = " It is tried again all the same, as was accepted." if self._message.duplicates_accepted else ""
        return said + goes_on, "" if goes_on else RESOLVE

    def otherwise(self) -> tuple[str, str]:
        message = self._message
        if message.pending:
            return self._pending(), ""
        why, helps = ENDS.get(message.reason, (message.reason, ""))
        error = getattr(self._last.event, "error", "") if isinstance(self._last.event, MessageAbandoned) else ""
        detail = f" ({error})" if error else ""
        done = f"{message.status} at {_instant(self._last.at)} by {self._last.origin.who}"
        said = f"Planned for {message.occasion} (due {_instant(message.due_at)}), and {done}: {why}{detail}{self._cause()}."
        held = self._held(self._last.at) if message.reason == "late_window" else ""
        return said + (f" Meanwhile {held}." if held else ""), helps

    def _pending(self) -> str:
        message = self._message
        due = f"{_local(message.due_at, message.timezone)}"
        if message.status == "requested":
            return f"Due for {message.occasion} at {due}, and handed to the workers{self._through()}."
        if message.status == "retrying":
            failed = [fact.event for fact in self._history if isinstance(fact.event, MessageFailed | MessageReleased)]
            last = failed[-1] if failed else None
            why = getattr(last, "error", "") or getattr(last, "reason", "")
            again = _instant(message.retry_at) if message.retry_at else "as soon as it may"
            return f"Due for {message.occasion} at {due}, tried {message.retry_count} times ({why}), and tried again {again}."
        held = self._held(None)
        return f"Planned for {message.occasion}, due at {due}." + (f" It waits: {held}." if held else "")

    def _through(self) -> str:
        if not self._message.channel:
            return ""
        tries = f", try {self._message.attempts}" if self._message.attempts > 1 else ""
        return f" through {self._message.channel}{tries}"

    def _why_late(self, sent_at: datetime) -> str:
        """What the events say came in between, the weightiest first."""
        due = self._message.due_at
        kinds = {type(fact.event): fact for fact in self._history}
        if fact := kinds.get(MessageRedriven):
            return f"it was redriven at {_instant(fact.at)} by {fact.origin.who}"
        if fact := kinds.get(DeliveryInDoubt):
            return f"it was in doubt from {_instant(fact.at)} on ({getattr(fact.event, 'reason', '')})"
        if fact := kinds.get(MessageFailed):
            return f"the provider did not take it at first ({getattr(fact.event, 'error', '')})"
        for kind, how in ((MessageScheduled, "planned"), (MessageRescheduled, "moved"), (MessageReinstated, "planned again")):
            if (fact := kinds.get(kind)) and fact.at > due:
                return f"it was {how} at {_instant(fact.at)} only{self._cause(fact)}"
        if held := self._held(sent_at):
            return held
        if fact := kinds.get(MessageReleased):
            return f"a worker gave it back untried ({getattr(fact.event, 'reason', '')})"
        first = next((fact for fact in self._history if isinstance(fact.event, SendRequested)), None)
        if first and first.at - due >= ITS_MINUTE:
            return f"it was handed to the workers at {_instant(first.at)} only (an outage, a full channel or a limit)"
        return "the workers or the provider took so long"

    def _held(self, until: datetime | None) -> str:
        """The pauses between its due instant and then."""
        names = (EVERYTHING, self._message.message_type, self._message.channel)
        for pause in self._pauses:
            begun = until is None or pause.at < until
            lasted = pause.resumed_at is None or pause.resumed_at > self._message.due_at
            if pause.name in names and begun and lasted:
                end = f" to {_instant(pause.resumed_at)}" if pause.resumed_at else " on"
                what = pause.name or "everything"
                return f"{what} was paused from {_instant(pause.at)}{end} by {pause.who} ({pause.reason})"
        return ""

    def _cause(self, fact: Recorded[Event] | None = None) -> str:
        """What was said of the person that had the planner do so."""
        cause = (fact or self._last).origin.causation_id
        said = next((each for each in self._person if f"users:{each.position}" == cause), None)
        return f", after {stored_name(type(said.event))} at {_instant(said.at)} by {said.origin.who}" if said else ""


def _local(at: datetime, timezone: str) -> str:
    return f"{at.astimezone(zone(timezone)):%Y-%m-%d %H:%M:%S} in {timezone} ({_instant(at)})"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
