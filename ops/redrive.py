"""`ninebell messages redrive`: these messages, or all that a filter finds, with a progress bar and a line per thousand."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final
from uuid import UUID

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from application.redrive_found import USUAL_PER_MINUTE, FoundRedriven, redrive_found
from application.redrive_messages import Redrive
from domain.scheduled_message import Reason, Status
from ops.at_hand import at_hand
from ops.cli_messages import ANY, Filter
from ops.instants import given_instant, given_stretch
from ops.messages import CLI, asked_of, print_json, told_if_behind, wrong_usage_named
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts, planning
from projections import message_log
from projections.message_filter import to_redrive
from projections.message_log import Page

A_LINE_PER: Final = 1_000


class Wish(Struct, frozen=True, kw_only=True):
    """What the options say."""

    reason: str
    status: Status
    message_reason: Reason | None
    accept_duplicates: bool
    due_at: str | None
    late_window: str | None
    per_minute: int | None
    dry_run: bool

    def how(self) -> Redrive:
        """Raises WrongSettings."""
        return Redrive(
            reason=self.reason,
            due_at=given_instant("--due-at", self.due_at),
            late_window=given_stretch("--late-window", self.late_window),
            accept_duplicates=self.accept_duplicates,
        )


def redrive(settings: Settings, named: Sequence[UUID], wish: Wish, meant: Filter, *, as_json: bool) -> int:
    """1 if some stay as they are. Raises WrongSettings."""
    _check(named, wish, meant)
    with at_hand(settings, "messages") as parts, wrong_usage_named():
        matched, pages = (len(named), _cut(named)) if named else _found(parts, wish, meant)
        done = None if wish.dry_run else _redriven(parts, pages, matched, wish)
    if as_json:
        print_json(_as_json(matched, done))
    else:
        _show(matched, done)
    return 1 if done and done.refused else 0


def _check(named: Sequence[UUID], wish: Wish, meant: Filter) -> None:
    if named and (meant != ANY or wish.message_reason or wish.status != "abandoned" or wish.dry_run):
        raise WrongSettings("name either messages or a filter, which a dry run counts, not both")
    if not (named or wish.dry_run or wish.reason.strip()):
        raise WrongSettings("--reason: say why, in a few words; it is kept beside who did it")
    if not named and wish.status == "in_doubt" and not wish.accept_duplicates:
        raise WrongSettings("--status in_doubt: add --accept-duplicates to send again what may have been accepted")


def _found(parts: Parts, wish: Wish, meant: Filter) -> tuple[int, Iterator[list[UUID]]]:
    said = asked_of(parts, meant, status=wish.status, reason=wish.message_reason)
    asked = to_redrive(said, accept_duplicates=wish.accept_duplicates, until=parts.clock.now())
    told_if_behind(parts)

    def turn(after: str | None) -> Page:
        with parts.database.transaction() as cursor:
            return message_log.page(cursor, asked, after)

    with parts.database.transaction() as cursor:
        return message_log.count(cursor, asked), message_log.id_pages(turn)


def _cut(named: Sequence[UUID]) -> Iterator[list[UUID]]:
    ids = list(dict.fromkeys(named))
    return (ids[start : start + A_LINE_PER] for start in range(0, len(ids), A_LINE_PER))


def _redriven(parts: Parts, pages: Iterator[list[UUID]], matched: int, wish: Wish) -> FoundRedriven:
    per_minute = USUAL_PER_MINUTE if wish.per_minute is None else wish.per_minute
    with _watched(matched) as progress:
        return redrive_found(pages, wish.how(), per_minute, planning(parts), parts.types, CLI, parts.clock, progress)


@contextmanager
def _watched(matched: int) -> Iterator[Callable[[int, int], None]]:
    """A bar for whoever watches, and a line for each further thousand."""
    columns: list[Any] = [TextColumn("looked at"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn()]
    console = Console(stderr=True, highlight=False)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task, told = bar.add_task("", total=matched), 0

        def progress(redriven: int, looked_at: int) -> None:
            nonlocal told
            bar.update(task, completed=looked_at)
            if redriven // A_LINE_PER > told:
                told = redriven // A_LINE_PER
                console.print(f"{redriven} redriven of {looked_at} looked at")

        yield progress


def _as_json(matched: int, done: FoundRedriven | None) -> dict[str, Any]:
    refused = [{"why": why, "messages": messages} for why, messages in sorted(done.refused.items())] if done else []
    return {
        "matched": matched,
        "redriven": done.redriven if done else 0,
        "refused": refused,
        "last_due_at": done.last_due_at if done else None,
    }


def _show(matched: int, done: FoundRedriven | None) -> None:
    if done is None:
        print(f"{matched} match (dry run: nothing was changed)")
        return
    until = f", the last one due at {done.last_due_at:%Y-%m-%dT%H:%M:%SZ}" if done.last_due_at else ""
    print(f"{done.redriven} redriven{until}")
    for why, messages in sorted(done.refused.items()):
        print(f"{messages} stay as they are: {why}", file=sys.stderr)
