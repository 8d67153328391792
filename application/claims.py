"""Claims: which of a dispatch's messages are to be sent after all, and with which calls?"""

import logging
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.delivery_outcomes import Doubtful, GivenUp, Outcome, Outcomes, TooLate, Unwanted
from application.delivery_ports import Letter
from application.ports import Stream
from application.readable import kind_of
from application.texts import Render, own_words
from domain.delivery_policy import send_before
from domain.dispatch import Dispatch, DispatchEvent, evolve, requested_at
from domain.message_type import MessageType, NoSuchOccasion, Rendered
from domain.scheduled_message import ScheduledMessage
from domain.user import User

log: Final = logging.getLogger(__name__)
UNREADABLE: Final = "unreadable"
KEY_LIFETIME: Final = "key_lifetime"


class Prepared(Struct, frozen=True):
    letter: Letter
    template_version: int


class Call(Struct, frozen=True):
    """What goes to the provider at once, under one key."""

    key: str
    letters: tuple[Prepared, ...]
    repeat: bool
    doubted: frozenset[UUID] = frozenset()  # the provider is asked about these first: they go along only if never taken
    question: bool = False  # it is only asked about

    @property
    def messages(self) -> int:
        """That the provider is to send."""
        return 0 if self.question else len(self.letters)


class Claim(Struct, frozen=True):
    """A dispatch that is ours: the calls to make, what is settled without a call, and the streams as read after the claim."""

    dispatch_id: UUID
    incarnation: UUID
    dispatch: Dispatch
    version: int
    messages: Mapping[UUID, Stream[ScheduledMessage]]  # these and more
    calls: tuple[Call, ...]
    settled: Outcomes

    def members(self) -> int:
        return len(self.dispatch.members)


class Started(Struct, frozen=True):
    """A dispatch as it is after the claim."""

    dispatch_id: UUID
    incarnation: UUID
    stream: Stream[Dispatch]


class Decision(Struct, frozen=True):
    """What the last decision before sending needs to know besides the message and its user."""

    types: Mapping[str, MessageType]
    only_to: str | None
    now: datetime
    steady: bool  # else nothing is too late
    render: Render = own_words
    key_lifetime: timedelta | None = None  # how long the provider knows a key, if that is what clears a doubt
    askable: bool = False  # it can be asked whether it has a message


def word_on(message: ScheduledMessage, message_id: UUID, user: Stream[User] | None, decision: Decision) -> Prepared | Outcome:
    """The letter to send, or why there is none; without a stream, the user can't be read. What fails, fails for this one."""
    if user is None:
        return unreadable(message)
    try:
        return last_word(message, message_id, user.state, decision)
    except Exception as error:  # noqa: BLE001  pure code on one message
        log.error("message %s could not be decided on: %s", message_id, kind_of(error))
        return GivenUp("plugin_error", kind_of(error))


def unreadable(message: ScheduledMessage) -> Outcome:
    """What it takes to send it can't be read: the dead letter, or in doubt as before."""
    return Doubtful(UNREADABLE) if message.in_doubt else GivenUp("plugin_error", UNREADABLE)


def key_is_known(message: ScheduledMessage, firsts: Mapping[UUID, Stream[Dispatch]]) -> bool:
    """Whether the dispatch can be read whose bulk call this message has to repeat, if it has to repeat one."""
    return not message.doubts or message.doubts[0] is None or message.doubts[0] in firsts


def last_word(message: ScheduledMessage, message_id: UUID, user: User | None, decision: Decision) -> Prepared | Outcome:
    """The letter to send, or why there is none."""
    if user is None or user.erased:
        return Unwanted("erased")
    if user.suppressed:
        return Unwanted("suppressed")
    if message.message_type not in user.message_types:
        return Unwanted("type_removed")
    kind = decision.types.get(message.message_type)
    if kind is None:
        return GivenUp("plugin_error", "unknown_type")
    if decision.steady and decision.now >= too_late_from(message, kind):
        # What may have been accepted is not expired: it stays in doubt, for a person.
        return Doubtful("late_window") if message.in_doubt else TooLate()
    if message.waits_for_a_person and _key_is_forgotten(message, decision) and not _may_go_unheard(kind, decision):
        return Doubtful(KEY_LIFETIME)
    if decision.only_to is not None and not fnmatchcase(user.email.casefold(), decision.only_to.casefold()):
        return Unwanted("not_allowed")
    return _rendered(message, message_id, user, kind, decision.render)


def is_asked_about(message: ScheduledMessage | None, decision: Decision) -> bool:
    """Whether only the word of a provider that can be asked tells if it may be sent again: by key it is simply repeated."""
    if message is None or not message.waits_for_a_person:
        return False
    return decision.key_lifetime is None or _key_is_forgotten(message, decision)


def calls_of(
    dispatch_id: UUID,
    letters: Mapping[UUID, Prepared],
    messages: Mapping[UUID, Stream[ScheduledMessage]],
    repeated: Mapping[UUID, Stream[Dispatch]],
    asked_about: Collection[UUID],
    bulk: int,
) -> tuple[Call, ...]:
    """One call a letter under the message's own key; or bulk calls, each under the key of the call it repeats, if it repeats one.

    A bulk call is a fixed stretch of its first dispatch's members, so that its key always names the same messages. What the
    provider is `asked_about` is no repeat: if it has never taken it, it goes in a call of its own.
    """
    doubted = frozenset(letters).intersection(asked_about)
    if bulk == 1:
        return tuple(_single(letter, messages, doubted) for letter in letters.values())
    firsts = {id_: first for id_ in letters.keys() - doubted if (first := _first_in_doubt(messages[id_])) is not None}
    places = {first: places_of(repeated[first]) for first in {dispatch_id, *firsts.values()}}
    stretches: dict[tuple[UUID, int], list[UUID]] = {}
    for id_ in letters:
        first = firsts.get(id_, dispatch_id)
        if id_ not in places[first]:
            first = dispatch_id
        stretches.setdefault((first, places[first][id_] // bulk), []).append(id_)
    return tuple(
        Call(f"{first}/{number}", tuple(letters[id_] for id_ in ids), first != dispatch_id, doubted.intersection(ids))
        for (first, number), ids in stretches.items()
    )


def places_of(dispatch: Stream[Dispatch]) -> dict[UUID, int]:
    """Which of its members each is; asked of the tuple, every ID would be compared with half of the others."""
    return {id_: place for place, id_ in enumerate(members_of(dispatch))}


def _single(letter: Prepared, messages: Mapping[UUID, Stream[ScheduledMessage]], doubted: frozenset[UUID]) -> Call:
    id_ = letter.letter.message_id
    if doubted and id_ in doubted:
        return Call(str(id_), (letter,), repeat=False, doubted=frozenset((id_,)))
    return Call(str(id_), (letter,), repeat=_attempted(messages[id_]))


def claim_of(
    started: Started,
    words: Sequence[tuple[UUID, Prepared | Outcome]],
    messages: Mapping[UUID, Stream[ScheduledMessage]],
    repeated: Mapping[UUID, Stream[Dispatch]],
    decision: Decision,
    bulk: int,
) -> Claim:
    """`words` are the last ones about its members; `repeated` the dispatches whose calls may be made again, this one included."""
    assert started.stream.state is not None
    letters = {id_: word for id_, word in words if isinstance(word, Prepared)}
    asked_about = {id_ for id_ in letters if is_asked_about(messages[id_].state, decision)} if decision.askable else set()
    return Claim(
        dispatch_id=started.dispatch_id,
        incarnation=started.incarnation,
        dispatch=started.stream.state,
        version=started.stream.version,
        messages=messages,
        calls=calls_of(started.dispatch_id, letters, messages, repeated, asked_about, bulk),
        settled={id_: word for id_, word in words if not isinstance(word, Prepared)},
    )


def gone_on(stream: Stream[Dispatch], events: Sequence[DispatchEvent]) -> Stream[Dispatch]:
    """As it is after these events."""
    state = stream.state
    for event in events:
        state = evolve(state, event)
    return Stream(state, stream.version + len(events))


def current_members(
    dispatch_id: UUID, stream: Stream[Dispatch], messages: Mapping[UUID, Stream[ScheduledMessage]]
) -> list[tuple[UUID, ScheduledMessage]]:
    """Those that still wait for this dispatch, in its order."""
    found = []
    for id_ in members_of(stream):
        message = messages.get(id_)
        state = message and message.state
        if state and state.status == "requested" and state.dispatch_id == dispatch_id:
            found.append((id_, state))
    return found


def members_of(stream: Stream[Dispatch]) -> tuple[UUID, ...]:
    return stream.state.members if stream.state else ()


def questions_of(call: Call) -> list[Call]:
    """One for each of its letters that is in doubt."""
    if not call.doubted:
        return []
    doubted = [letter for letter in call.letters if letter.letter.message_id in call.doubted]
    return [replace(call, letters=(letter,), question=True) for letter in doubted]


def left_of(call: Call, settled: Outcomes) -> Call | None:
    """What is to be sent of it after the answers to its questions."""
    if not call.doubted:
        return call
    left = tuple(letter for letter in call.letters if letter.letter.message_id not in settled)
    return replace(call, letters=left, doubted=call.doubted - settled.keys()) if left else None


def repeated_dispatches(messages: Mapping[UUID, Stream[ScheduledMessage]]) -> set[UUID]:
    """The dispatches whose calls these messages' doubts make us repeat."""
    return {first for stream in messages.values() if (first := _first_in_doubt(stream)) is not None}


def too_late_from(message: ScheduledMessage, kind: MessageType) -> datetime:
    """The instant from which it is not to be sent any more."""
    return message.send_before or send_before(message.occasion, message.timezone, message.due_at, kind.late_window)


def _may_go_unheard(kind: MessageType, decision: Decision) -> bool:
    return decision.askable or kind.doubt == "prefer_delivery"


def _key_is_forgotten(message: ScheduledMessage, decision: Decision) -> bool:
    """Whether the provider may no longer tell the same call from another one."""
    if decision.key_lifetime is None:
        return False
    first = message.doubts[0]
    used_at = (requested_at(first) if first else None) or message.due_at
    return decision.now - used_at >= decision.key_lifetime


def _rendered(message: ScheduledMessage, message_id: UUID, user: User, kind: MessageType, render: Render) -> Prepared | Outcome:
    try:
        words: Rendered = render(kind, user, message.occasion)
    except NoSuchOccasion:
        return Unwanted("birthday_changed")
    except Exception as error:  # noqa: BLE001  (a message type is somebody's plugin; its words might quote the user)
        log.error("message %s could not be rendered: %s", message_id, type(error).__name__)
        return GivenUp("plugin_error", type(error).__name__)
    letter = Letter(message_id, message.message_type, user.email, words.subject, words.body)
    return Prepared(letter, words.template_version)


def _attempted(stream: Stream[ScheduledMessage]) -> bool:
    return stream.state is not None and stream.state.attempted


def _first_in_doubt(stream: Stream[ScheduledMessage]) -> UUID | None:
    return stream.state.doubts[0] if stream.state is not None and stream.state.doubts else None
