"""Outcomes: what a worker learnt about one message, and which events say so."""

from datetime import datetime, timedelta
from typing import Final, assert_never
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from application.delivery_ports import Accepted, Ambiguous, Answer, NotAccepted, Rejected, Throttled
from domain import message_decisions as decide
from domain.delivery_policy import MAX_RETRIES, retry_delay
from domain.message_decisions import Events
from domain.scheduled_message import MessageFailed, Reason, ScheduledMessage, evolve

LONGEST_THROTTLE: Final = timedelta(days=1)
LOOKUP: Final = "lookup"


class Sent(Struct, frozen=True):
    """Accepted; `at` is when the answer came."""

    at: datetime
    response_code: int
    provider_id: str
    template_version: int


class Failed(Struct, frozen=True):
    """Known as not accepted. `chance`, drawn once, makes the same retry instant however often the outcome is decided."""

    error: str
    at: datetime
    chance: float  # in [0, 1)
    counts: bool = True  # as a try
    retry_after: timedelta | None = None  # as the provider asked
    go_on_to: str | None = None  # the channel that is to try next


class GivenUp(Struct, frozen=True):
    """Nothing will make it go out: refused for good, or it can't be rendered."""

    reason: Reason
    error: str


class Doubtful(Struct, frozen=True):
    """It may have been accepted."""

    error: str


class Unwanted(Struct, frozen=True):
    """Never attempted: not to be sent any more."""

    reason: Reason


class TooLate(Struct, frozen=True):
    """Never attempted: past its late window."""


class Released(Struct, frozen=True):
    """Never attempted: another worker may have it."""

    reason: str


class NeverTaken(Struct, frozen=True):
    """It was in doubt, and the provider said that it has never taken it; then this came of it."""

    then: "Outcome"


Outcome = Sent | Failed | GivenUp | Doubtful | Unwanted | TooLate | Released | NeverTaken
Outcomes = dict[UUID, Outcome]
"""Message ID → outcome, for one dispatch."""


def outcome_of(
    answer: Answer, at: datetime, template_version: int, chance: float, *, trial: bool = False, go_on_to: str | None = None
) -> Outcome:
    """What a provider's answer, come at `at`, means for a message.

    A `trial` of a half-open breaker burns no try. `go_on_to` is the channel that tries next what this one did not accept.
    """
    match answer:
        case Accepted():
            return Sent(at, answer.response_code, answer.provider_id, template_version)
        case Rejected():
            return GivenUp("rejected", answer.error)
        case Throttled():
            return Failed(answer.error, at, chance, counts=False, retry_after=_asked(answer.retry_after_seconds))
        case NotAccepted():
            return Failed(answer.error, at, chance, counts=not trial, go_on_to=go_on_to)
        case Ambiguous():
            return Doubtful(answer.error)
        case _:
            assert_never(answer)


def events_of(outcome: Outcome, message: ScheduledMessage, dispatch_id: UUID, channel: str) -> Events:
    """The events that record `outcome`; when the message has gone on without this dispatch, those that say it came late."""
    match outcome:
        case Sent():
            return decide.record_sent(
                message,
                sent_at=outcome.at,
                response_code=outcome.response_code,
                provider_id=outcome.provider_id,
                template_version=outcome.template_version,
                dispatch_id=dispatch_id,
            )
        case Failed():
            return _failed(outcome, message, dispatch_id, channel)
        case GivenUp():
            return decide.abandon(message, reason=outcome.reason, error=outcome.error, dispatch_id=dispatch_id)
        case Doubtful():
            return decide.put_in_doubt(message, reason=outcome.error, channel=channel, dispatch_id=dispatch_id)
        case Released():
            return decide.release(message, dispatch_id=dispatch_id, reason=outcome.reason)
        case Unwanted() | TooLate():
            return _not_attempted(outcome, message, dispatch_id)
        case NeverTaken():
            cleared = decide.clear_doubt(message, dispatch_id=dispatch_id, by=LOOKUP)
            return [*cleared, *events_of(outcome.then, replace(message, doubts=()) if cleared else message, dispatch_id, channel)]
        case _:
            assert_never(outcome)


def _failed(outcome: Failed, message: ScheduledMessage, dispatch_id: UUID, channel: str) -> Events:
    if outcome.counts and message.retry_count >= MAX_RETRIES:
        return decide.abandon(message, reason="retries_exhausted", error=outcome.error, dispatch_id=dispatch_id)
    # A throttled try does not count, so that its back-off is one step longer from the start.
    back_off = retry_delay(message.retry_count + (not outcome.counts), lambda: outcome.chance)
    retry_at = outcome.at + (back_off if outcome.retry_after is None else outcome.retry_after)
    failed = decide.record_failed(message, error=outcome.error, counts=outcome.counts, retry_at=retry_at, dispatch_id=dispatch_id)
    after = evolve(message, failed[0])
    # not what an older dispatch, through whichever channel, may have sent
    if outcome.go_on_to is None or not isinstance(failed[0], MessageFailed) or after is None or after.in_doubt:
        return failed
    return [*failed, *decide.fail_over(after, from_channel=channel, to_channel=outcome.go_on_to)]


def _not_attempted(outcome: Unwanted | TooLate, message: ScheduledMessage, dispatch_id: UUID) -> Events:
    if (message.status, message.dispatch_id) != ("requested", dispatch_id):
        # Recovery took this worker for dead: what it called in doubt was never attempted, and the next claim decides again.
        return decide.release(message, dispatch_id=dispatch_id, reason="not_attempted")
    if isinstance(outcome, Unwanted):
        return decide.cancel(message, outcome.reason, given_up=dispatch_id)
    return decide.expire(message, "late_window", given_up=dispatch_id)


def _asked(seconds: float | None) -> timedelta | None:
    return None if seconds is None else min(timedelta(seconds=min(seconds, 1e6)), LONGEST_THROTTLE)
