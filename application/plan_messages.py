"""Process manager: how do people's facts and the calendar become scheduled messages, exactly once?"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.bring_in_line import Outcome, bring_in_line
from application.calendar_rules import rules_of, to_derive
from application.parked_types import Pair
from application.planned_slot import LONG_AGO, Person
from application.planner_ports import NextOccasion, PlannerWork
from application.ports import Begin, Deposed, Log, Origin, PositionLost, Recorded, StoreUnavailable
from application.readable import kind_of, readable
from domain import user as users
from domain.delivery_policy import WINDOW
from domain.event import Event
from domain.message_type import MessageType, MessageTypes, TypeFailed
from domain.scheduled_message import (
    DeliveryInDoubt,
    DoubtResolved,
    MessageAbandoned,
    MessageCancelled,
    MessageExpired,
    MessageFailed,
    MessageReleased,
)
from domain.timezones import TZDATA_VERSION
from domain.wanted_message import next_occasion, taken_types

Ahead = Callable[[int, datetime], bool]
"""Has others follow whole pages of the users log, or does not: told how many events wait, says whether it did."""

PEOPLE_AT_ONCE: Final = 1000
OUTCOMES_AT_ONCE: Final = 2000
FORGOTTEN_AT_ONCE: Final = 5000
KEPT: Final = timedelta(days=400)
EASTERNMOST: Final = timedelta(hours=14)
PLANNER: Final = "planner"
SWEEP: Final = Origin(PLANNER, causation_id="sweep")
REDERIVE: Final = Origin(PLANNER, causation_id="rederive")
PARKED: Final = Origin(PLANNER, causation_id="parked")
A_DAY: Final = timedelta(days=1)
FACTS: Final[frozenset[type[Event]]] = frozenset(
    {
        users.UserRegistered,
        users.TimezoneChanged,
        users.BirthdayChanged,
        users.AnniversaryChanged,
        users.CountryChanged,
        users.PreferredTimeChanged,
        users.MessageTypesChanged,
        users.AttributesChanged,
        users.UserSuppressed,
        users.UserUnsuppressed,
        users.UserErased,
    }
)
"""What may change an occasion; a name, an address or a language never does."""
OUTCOMES: Final[frozenset[type[Event]]] = frozenset(
    {MessageFailed, MessageReleased, DoubtResolved, MessageCancelled, MessageExpired, MessageAbandoned, DeliveryInDoubt}
)
"""After which a message is no longer in a worker's hands, or its year is free again."""

log: Final = logging.getLogger(__name__)


def horizon(now: datetime) -> date:
    """Every occasion dated up to and including this is planned: at least 48 h ahead, also where the day begins first."""
    return (now + WINDOW + EASTERNMOST).date()


class Cause(Struct, frozen=True):
    """Why a person is looked at; see Person."""

    origin: Origin
    since: datetime
    first: date


class Planner:
    """Each step is one transaction, the sweep one a page: read, decide, append, keep its own tables, record the position."""

    def __init__(self, begin: Begin[PlannerWork], types: MessageTypes, ahead: Ahead = lambda _behind, _now: False) -> None:
        self._begin, self._types, self._rules, self._ahead = begin, types, rules_of(types), ahead
        windows = (kind.late_window for kind in types.values() if kind.late_window)
        self._reach = max((timedelta(days=2), *windows)) + timedelta(days=1)
        self._forgotten: UUID | None = None
        self._forgotten_until = date.min
        self._rederived: UUID | None = None
        self._all_rederived = False
        self._retried: UUID | None = None
        self._all_retried = False

    def step(self, now: datetime) -> bool:
        """Go on wherever there is something to do, a page of each; False when there was nothing. Raises Deposed, PositionLost."""
        with self._begin() as work:
            todo = work.todo(horizon(now))
        # Sweeping goes first: whoever's facts are followed then has no occasion before the horizon left unplanned.
        if todo.occasions and self._sweep_page(now):
            return True
        followed = self._ahead(todo.users_behind, now) or (todo.users_behind > 0 and self.follow_users(now))
        decided = todo.messages_moved and self.follow_messages(now)
        rederived, retried, forgot = self.rederive(now), self.retry_parked(now), self.forget_old(now)
        asked = todo.asked_again and self.retry_asked(now)
        derives = to_derive(todo.derived, self._rules) != todo.derived or not (todo.derived and todo.derived.done)
        return (derives and self.derive_everybody(now)) or rederived or retried or asked or followed or decided or forgot

    def sweep(self, now: datetime) -> bool:
        """Plan every occasion whose date has come into the window, however long nobody looked."""
        found = False
        while self._sweep_page(now):
            found = True
        return found

    def follow_users(self, now: datetime) -> bool:
        """Bring the messages of everybody in line of whom something was said."""
        with self._begin() as work:
            stretch = work.notice("users", PEOPLE_AT_ONCE, FACTS)
            causes: dict[UUID, Cause] = {}
            for event in stretch.events:
                known = causes.get(event.stream_id)
                causes[event.stream_id] = self._seen_from(known.since if known else event.at, _because("users", event), now)
            if causes:
                self._look_at(work, causes, now)
            work.followed("users", stretch.position)
        return stretch.more or bool(causes)

    def follow_messages(self, now: datetime) -> bool:
        """Decide again what had to wait for a worker's, a dispatcher's or an operator's outcome."""
        with self._begin() as work:
            stretch = work.notice("messages", OUTCOMES_AT_ONCE, OUTCOMES)
            foreign = {event.stream_id: event for event in stretch.events if event.origin.who != PLANNER}
            if foreign:
                planned = work.users_planned(list(foreign))
                causes = {user: self._seen_from(now, _because("messages", foreign[each]), now) for each, user in planned.items()}
                self._bring_in_line(work, self._people(work, causes, now), now)
            work.followed("messages", stretch.position)
        return stretch.more or bool(foreign)

    def rederive(self, now: datetime) -> bool:
        """Derive again, page by page and once after the start, what was planned under an older tzdata."""
        if self._all_rederived:
            return False
        with self._begin() as work:
            since = (now - self._reach).date()
            page = work.planned_under_other(TZDATA_VERSION, since, self._rederived, PEOPLE_AT_ONCE)
            if page:
                causes = dict.fromkeys((row.user_id for row in page), self._seen_from(now, REDERIVE, now))
                self._bring_in_line(work, self._people(work, causes, now), now)
                work.put_planned([replace(row, tzdata=TZDATA_VERSION) for row in page])
        # Only now that it is committed: a page that failed comes again.
        self._rederived, self._all_rederived = (page[-1].message_id, False) if page else (None, True)
        return bool(page)

    def derive_everybody(self, now: datetime) -> bool:
        """Look at everybody again, page by page, when a type or its settings changed, or by an operator's wish."""
        with self._begin() as work:
            before = work.derived()
            derived = to_derive(before, self._rules)
            if not derived.done:
                page = work.everybody_after(derived.reached, PEOPLE_AT_ONCE)
                causes = dict.fromkeys(page, self._seen_from(now, REDERIVE, now))
                self._look_at(work, causes, now)
                derived = replace(derived, reached=page[-1]) if page else replace(derived, reached=None, done=True)
            if derived != before:
                work.put_derived(derived)
        return not derived.done

    def retry_parked(self, now: datetime) -> bool:
        """Ask the types again that failed, page by page and once after the start: another version may be installed now."""
        if self._all_retried:
            return False
        with self._begin() as work:
            page = work.parked_after(self._retried, PEOPLE_AT_ONCE)
            if page:
                causes = dict.fromkeys((row.user_id for row in page), self._seen_from(now, PARKED, now))
                self._look_at(work, causes, now)
        self._retried, self._all_retried = (page[-1].user_id, False) if page else (None, True)
        return bool(page)

    def retry_asked(self, now: datetime) -> bool:
        """Look at those again whom an operator wants looked at: what could not be read, or a type that failed.

        Where that fails on one of them, they are looked at one by one, and that one is left alone as before.
        """
        failed = ""
        for limit in (PEOPLE_AT_ONCE, 1):
            try:
                found = self._look_again(now, limit)
            except (Deposed, PositionLost, StoreUnavailable):
                raise
            except Exception as error:  # noqa: BLE001  whatever it holds, it would come again with every page
                failed = kind_of(error)
            else:
                return found or limit == 1  # then there are others
        with self._begin() as work:
            work.ask_no_more(1)
        log.error("someone who was left alone, and asked for again, is left alone: %s", failed)
        return True

    def _look_again(self, now: datetime, limit: int) -> bool:
        with self._begin() as work:
            asked = work.people_asked_again(limit)
            if asked:
                causes = {user_id: self._seen_from(min(since, now), PARKED, now) for user_id, since in asked.items()}
                self._look_at(work, causes, now)
        return bool(asked)

    def forget_old(self, now: datetime) -> bool:
        """Drop what is kept long enough, page by page and once a day: by itself, as whoever appends keeps others waiting."""
        until = (now - KEPT).date()
        if until <= self._forgotten_until:
            return False
        with self._begin() as work:
            last = work.forget_old(until, self._forgotten, FORGOTTEN_AT_ONCE)
        self._forgotten = last
        if last is None:
            self._forgotten_until = until
        return last is not None

    def _sweep_page(self, now: datetime) -> bool:
        with self._begin() as work:
            page = work.occasions_until(horizon(now), PEOPLE_AT_ONCE)
            if page:
                # Oldest first, so that a person's first row here is their first of all.
                causes = {row.user_id: Cause(SWEEP, LONG_AGO, row.occasion) for row in reversed(page)}
                self._look_at(work, causes, now)
        return bool(page)

    def _seen_from(self, since: datetime, origin: Origin, now: datetime) -> Cause:
        """As far back as the planner knows what it planned: what is earlier may be archived."""
        return Cause(origin, since, max(since - self._reach, now - KEPT).date())

    def _look_at(self, work: PlannerWork, causes: Mapping[UUID, Cause], now: datetime) -> None:
        """Bring these people's messages in line, and note what comes next of each of them."""
        people = self._people(work, causes, now)
        outcome = self._bring_in_line(work, people, now)
        work.put_occasions(list(causes), self._next_occasions(people, now, outcome))

    def _people(self, work: PlannerWork, causes: Mapping[UUID, Cause], now: datetime) -> list[Person]:
        streams = readable(work.load_users, causes)
        known = [(user_id, stream.state, causes[user_id]) for user_id, stream in streams.items() if stream.state]
        return [
            Person(
                user_id=user_id,
                user=user,
                takes=taken_types(user, self._types),
                first=(now - KEPT).date() if user.erased else cause.first,
                since=cause.since,
                origin=cause.origin,
            )
            for user_id, user, cause in known
        ]

    def _bring_in_line(self, work: PlannerWork, people: Sequence[Person], now: datetime) -> Outcome:
        outcome = bring_in_line(work, people, self._types, now, horizon(now))
        waiting = {user_id for user_id, _ in outcome.waiting}
        if gone := [person.user_id for person in people if person.user.erased and person.user_id not in waiting]:
            work.forget(gone)
        if outcome.moved_by_tzdata:
            work.count_moved(TZDATA_VERSION, outcome.moved_by_tzdata)
        return outcome

    def _next_occasions(self, people: Sequence[Person], now: datetime, outcome: Outcome) -> list[NextOccasion]:
        """Of the erased, what has the sweep of tomorrow look again: a message that was sent calls nobody."""
        last = horizon(now)
        waiting = [NextOccasion(user_id, message_type, last + A_DAY) for user_id, message_type in outcome.waiting]
        return waiting + [
            NextOccasion(person.user_id, kind.name, found)
            for person in people
            for kind in person.takes
            if (found := _next_occasion(person, kind, last, outcome.parked))
        ]


def _next_occasion(person: Person, kind: MessageType, last: date, parked: frozenset[Pair]) -> date | None:
    """Where the type's own code fails, the sweep of tomorrow asks again."""
    if parked and (person.user_id, kind.name) in parked:
        return last + A_DAY
    try:
        return next_occasion(person.user, kind, last)
    except TypeFailed:
        return last + A_DAY


def _because(of: Log, event: Recorded[Event]) -> Origin:
    return Origin(PLANNER, event.origin.correlation_id, f"{of}:{event.position}")
