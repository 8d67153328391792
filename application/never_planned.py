"""Why has an occasion, or a whole year, no message? What were the facts when it would have been due?"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.plan_messages import horizon
from application.planned_slot import stands
from application.ports import Recorded
from domain.event import Event
from domain.message_type import MessageType, MessageTypes, TypeFailed
from domain.scheduled_message import ScheduledMessage
from domain.timezones import local_date
from domain.user import User, UserSuppressed
from domain.wanted_message import WantedMessage, next_occasion, occasions, wanted_message, why_silent

A_DAY: Final = timedelta(days=1)
PLANNED_AHEAD: Final = "Messages are planned about two days ahead."


class Because(Struct, frozen=True, kw_only=True):
    """What came of an occasion, or of a year, and why: `code` for a script, sentences for a person."""

    code: str
    sentence: str
    helps: str = ""
    occasion: date | None = None
    message_id: UUID | None = None
    planned: bool = False


class Life(Struct, frozen=True):
    """What was known of a person, from a fact until the next one; `until` is None for what is known now."""

    user: User
    fact: Recorded[Event]
    until: datetime | None

    def reaches(self, wanted: WantedMessage) -> bool:
        """Whether it was so at some time when the message could have gone out."""
        return self.fact.at < wanted.send_before and (self.until is None or wanted.due_at < self.until)


class NeverPlanned:
    """A person's facts and a type, in the face of what the calendar says."""

    def __init__(self, user_id: UUID, message_type: str, types: MessageTypes, lives: Sequence[Life], now: datetime) -> None:
        self._user_id, self._name, self._lives, self._now = user_id, message_type, lives, now
        self._kind = types.get(message_type)
        self._failed = ""

    def occasions(self, first: date, last: date, messages: Sequence[ScheduledMessage]) -> dict[date, Because]:
        """Each occasion that the facts of its own time gave, and why it has no message."""
        found: dict[date, Because] = {}
        for life, wanted in self._wanted(first, last):
            if life.reaches(wanted) and wanted.occasion not in found:
                found[wanted.occasion] = self._why(life, wanted, messages)
        return found

    def year(self, first: date, last: date) -> Because:
        """Why it has no occasion at all."""
        now = self._lives[-1].user
        if now.erased:
            at = _instant(self._lives[-1].fact.at)
            return _of("erased", f"The person was erased at {at}: nothing tells any more which dates they had.")
        if self._kind is None:
            return _of("unknown_type", f"No message type {self._name} is installed.", "Install it, or ask for one that is.")
        if later := self._registered_later(first, last):
            return later
        life = self._known_by(last)
        if silent := why_silent(life.user, self._kind):
            nor = "" if self._name in life.user.message_types else " Nor had they chosen it."
            return _of("no_fact", f"{silent} So nothing of {self._name} ever comes.{nor}", "Tell it: PATCH /v1/users/{id}.")
        if self._failed:
            return self._fails()
        if self._skips_leap_day(life.user, first, last):
            return _of(
                "leap_day",
                f"February 29 is not in {first.year}, and leap_day of {self._name} is `skip`.",
                "leap_day = feb28 or mar1 in [types.NAME] of the settings file.",
            )
        if passed := self._passed_over(first, last):
            return passed
        return self._no_date(life.user, first, last)

    def _why(self, life: Life, wanted: WantedMessage, messages: Sequence[ScheduledMessage]) -> Because:
        user, day = life.user, wanted.occasion
        about: dict[str, Any] = {"occasion": day, "message_id": wanted.message_id}
        due = f"{_instant(wanted.due_at)}, in {wanted.timezone}"
        if user.suppressed:
            since = self._last(UserSuppressed, life)
            why = f" ({since.event.reason})" if since and isinstance(since.event, UserSuppressed) else ""
            said = f"Due on {day} ({due}), when nothing might be sent to them: suppressed at {_said(since)}{why}."
            return _of("suppressed", said, "POST /v1/users/{id}/unsuppress, for what is still to come.", **about)
        if self._name not in user.message_types:
            chosen = ", ".join(user.message_types) or "none"
            said = f"Due on {day} ({due}), when they had not chosen {self._name}, but {chosen}."
            return _of("not_chosen", said, "PATCH /v1/users/{id} with message_types, for what is still to come.", **about)
        if day < user.first_occasion:
            said = f"{day} is before their first occasion, {user.first_occasion}, as their registration said."
            return _of("before_first_occasion", said, **about)
        if taken := self._year_taken(day, messages):
            said = f"Not planned for {day}: {self._name} goes out once a year, and the one of {taken.occasion} is {taken.status}."
            return _of("year_used", said, **about)
        if day > horizon(self._now):
            return _of("not_yet", f"To come on {day} ({due}). {PLANNED_AHEAD}", **about)
        said = f"Due on {day} ({due}), and nothing in the events says why it is not planned: the planner may not have got so far."
        return _of("not_planned", said, "See that the planner runs (ninebell doctor), then ninebell plan rederive.", **about)

    def _wanted(self, first: date, last: date) -> Iterator[tuple[Life, WantedMessage]]:
        """What each life would have been sent, chosen or not."""
        for life in self._lives:
            if self._kind is None or life.user.erased:
                continue
            try:
                for occasion in occasions(replace(life.user, first_occasion=first), self._kind, first, last):
                    yield life, wanted_message(self._user_id, life.user, self._kind, occasion)
            except TypeFailed as failure:
                self._failed = failure.error

    def _registered_later(self, first: date, last: date) -> Because | None:
        registered = self._lives[0]
        at = registered.fact.at
        if local_date(at, registered.user.timezone) > last:
            return _of("registered_later", f"They were registered at {_said(registered.fact)}, after {first.year}.")
        over = [wanted for life, wanted in self._wanted(first, last) if life is registered and wanted.send_before <= at]
        if not over or self._kind is None or not self._kind.annual:
            return None
        said = f"They were registered at {_said(registered.fact)}, when {over[-1].occasion} was over."
        return _of("registered_later", said, occasion=over[-1].occasion)

    def _passed_over(self, first: date, last: date) -> Because | None:
        """The date moved from before its own coming to after it."""
        dates: dict[date, Life] = {}
        for life, wanted in self._wanted(first, last):
            dates.setdefault(wanted.occasion, life)
        if len(dates) < 2:
            return None
        (before, _), *_, (after, changed) = dates.items()
        said = f"{before} was still to come when their facts changed at {_said(changed.fact)}, and {after} was over by then."
        return _of("passed_over", said)

    def _no_date(self, user: User, first: date, last: date) -> Because:
        assert self._kind is not None
        found = next_occasion(replace(user, first_occasion=first), self._kind, last)
        after = f" The next one is {found}." if found else ""
        return _of("no_date", f"{self._name} has no date for them in {first.year}, as their facts were.{after}")

    def _fails(self) -> Because:
        said = f"The code of {self._name} fails on this person ({self._failed}), so it is left alone, and asked again daily."
        return _of("type_fails", said, "Mend the message type, then ninebell parked retry (ninebell parked list names it).")

    def _skips_leap_day(self, user: User, first: date, last: date) -> bool:
        kind: Any = self._kind  # a plugin's need not be a struct
        if not isinstance(kind, Struct) or self._kind is None or self._kind.leap_day != "skip":
            return False
        moved: Any = replace(kind, leap_day="feb28")
        return bool(occasions(replace(user, first_occasion=first), moved, first, last))

    def _known_by(self, last: date) -> Life:
        """What was known at the year's end, or is now."""
        end = datetime(last.year, 12, 31, tzinfo=UTC) + A_DAY
        return [self._lives[0], *(life for life in self._lives if life.fact.at < end)][-1]

    def _year_taken(self, day: date, messages: Iterable[ScheduledMessage]) -> ScheduledMessage | None:
        kind: MessageType | None = self._kind
        if kind is None or not kind.annual:
            return None
        return next((message for message in messages if message.occasion != day and stands(message)), None)

    def _last(self, kind: type[Event], life: Life) -> Recorded[Event] | None:
        facts = [
            each.fact for each in self._lives if each.fact.version <= life.fact.version and isinstance(each.fact.event, kind)
        ]
        return facts[-1] if facts else None


def _of(code: str, sentence: str, helps: str = "", **about: Any) -> Because:
    return Because(code=code, sentence=sentence, helps=helps, **about)


def _said(fact: Recorded[Event] | None) -> str:
    return f"{_instant(fact.at)} by {fact.origin.who}" if fact else "an unknown time"


def _instant(at: datetime) -> str:
    return f"{at:%Y-%m-%dT%H:%M:%SZ}"
