"""`ninebell messages`: the commands for one message and for the dead letter."""

from dataclasses import dataclass
from typing import Annotated, Literal
from uuid import UUID

from cyclopts import App, Parameter

from domain.scheduled_message import Reason, Status
from ops.settings import read_settings

messages = App(name="messages", help="Scheduled messages and the dead letter: list, cancel, reschedule, redrive, resolve.")


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which messages are meant."""

    type: str | None = None
    """A message type."""
    timezone: str | None = None
    """A zone, under any of its names."""
    error: str | None = None
    """The code of what went wrong last, such as rejected:400."""
    from_: Annotated[str | None, Parameter(name="--from")] = None
    """Due at this instant or later."""
    to: str | None = None
    """Due before this instant."""
    failed_from: str | None = None
    """Failed, expired or came into doubt (changed last) at this instant or later."""
    failed_to: str | None = None
    """Failed, expired or came into doubt (changed last) before this instant."""


ANY = Filter()


@messages.command(name="list")
def list_messages(
    *,
    status: Status | None = None,
    reason: Reason | None = None,
    user: str | None = None,
    meant: Filter = ANY,
    limit: int = 100,
    cursor: str | None = None,
    json: bool = False,
) -> int:
    """List messages by due instant, with what went wrong last and since when they stand as they do.

    For example:
      ninebell messages list --status abandoned --error rejected:400
      ninebell messages list --status in_doubt
      ninebell messages list --user crm-7 --from 2027-05-01T00:00:00Z

    Parameters
    ----------
    status
        Abandoned is the dead letter; what is in doubt may have been delivered.
    reason
        Why a message stands where it stands.
    user
        A UUID or an external_id.
    limit
        At most so many, 500 at the most; the answer says how to see the next ones.
    cursor
        Go on after this page.
    json
        Print it as JSON.
    """
    from ops.messages import list_messages as list_

    return list_(read_settings(), meant, status, reason, user, limit, cursor, as_json=json)


@messages.command
def cancel(message: UUID, /) -> int:
    """Send nothing for this occasion. Refused (exit 1) once a worker has the message.

    Example: ninebell messages cancel 01a4b2c3-d400-8222-8222-222222222222
    """
    from ops.messages import cancel as cancel_

    return cancel_(read_settings(), message)


@messages.command
def reschedule(message: UUID, /, *, due_at: str) -> int:
    """Send a message at another instant. Refused (exit 1) once a worker has it.

    Example: ninebell messages reschedule 01a4b2c3-d400-8222-8222-222222222222 --due-at 2027-05-15T18:00:00Z
    """
    from ops.messages import reschedule as move

    return move(read_settings(), message, due_at)


@messages.command
def resolve(message: UUID, outcome: Literal["sent", "not_sent"], /) -> int:
    """Say what became of a message in doubt: sent records it as sent, not_sent has it tried again now, if not too late.

    Example: ninebell messages resolve 01a4b2c3-d400-8222-8222-222222222222 not_sent
    """
    from ops.messages import resolve as resolve_

    return resolve_(read_settings(), message, outcome)


@messages.command
def redrive(
    *message: UUID,
    reason: str = "",
    status: Literal["abandoned", "expired", "in_doubt"] = "abandoned",
    message_reason: Reason | None = None,
    meant: Filter = ANY,
    accept_duplicates: bool = False,
    due_at: str | None = None,
    late_window: str | None = None,
    per_minute: int | None = None,
    dry_run: bool = False,
    json: bool = False,
) -> int:
    """Try again what was given up: these messages, or all that a filter finds. Again is harmless: each is redriven once.

    Exits 1 if some stay as they are, with the reason why: of an annual type one a year stays the most.

    For example:
      ninebell messages redrive 01a4b2c3-d400-8222-8222-222222222222
      ninebell messages redrive --error not_accepted:500 --reason "provider was down" --dry-run
      ninebell messages redrive --status expired --failed-from 2027-05-15T00:00:00Z --reason outage --per-minute 1000

    Parameters
    ----------
    message
        IDs; without any, what the filter finds.
    reason
        Why, in at most 100 characters. It is kept for ever beside who did it: write nothing about a person. Needed with a filter.
    status
        Abandoned is the dead letter. What is in doubt needs --accept-duplicates.
    message_reason
        Only those that show this reason.
    accept_duplicates
        Also send what a provider may have accepted: some people may get it twice.
    due_at
        The new due instant, or the first of them; now, if it is not said.
    late_window
        How long after its new due instant each may still go out, such as 6h; its type's own but at least 12h, if it is not said.
    per_minute
        Due instants are spread so that at most so many fall due in any minute; 6000, if it is not said.
    dry_run
        Count, and change nothing.
    json
        Print the result as JSON.
    """
    from ops.redrive import Wish
    from ops.redrive import redrive as redrive_

    wish = Wish(
        reason=reason,
        status=status,
        message_reason=message_reason,
        accept_duplicates=accept_duplicates,
        due_at=due_at,
        late_window=late_window,
        per_minute=per_minute,
        dry_run=dry_run,
    )
    return redrive_(read_settings(), message, wish, meant, as_json=json)
