"""Retain: months of messages that are long over were put into files, and dropped where nothing can need them any more."""

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Final, Literal, Protocol
from uuid import UUID

from msgspec import Struct

from application.plan_messages import KEPT

YOUNGEST: Final = KEPT + timedelta(days=1)
"""A month stays until its last day is so old; the planner knows what it planned for KEPT, by dates that differ by zone."""

Told = Callable[[str, int, int], None]
"""What is being done to a month, to how many of its events it was done, and of how many."""


class MonthStanding(Struct, frozen=True, kw_only=True):
    """What a month's messages, and all who read them, have come to."""

    month: date  # its first day
    events: int
    messages: int
    last_position: int
    unfinished: Mapping[str, int] = {}  # by status: scheduled, requested, retrying, in doubt
    such_as: Sequence[UUID] = ()  # some of them
    contradictions: Sequence[str] = ()
    behind: Sequence[str] = ()  # followers that have not read it to its end
    unplanned: int = 0  # people's occasions up to its end, and what was said of people by then, that wait for the planner
    parked: int = 0  # what was left alone: its events, and people from its days on
    in_flight: int = 0  # dispatches with members in it


class Archive(Struct, frozen=True, kw_only=True):
    """The file that a month lies in."""

    month: date  # its first day
    directory: str
    file: str
    sha256: str  # of the file as it lies there
    events: int
    messages: int
    first_position: int
    last_position: int


class Busy(Exception):
    """It can't be done just now; the text says why."""


class ArchiveDamaged(Exception):
    """A file is not there, or not what was written; the text says which."""


class Months(Protocol):
    """The months of messages in the database, and the files they go into."""

    def closed(self, before: date) -> list[date]:
        """The months that end before this date, the earliest first."""

    def standing(self, month: date) -> MonthStanding: ...

    def kept(self, standing: MonthStanding) -> Archive | None:
        """The file of an earlier try, written to its end. Raises ArchiveDamaged."""

    def export(self, standing: MonthStanding, told: Told) -> Archive:
        """Into a file of its own, which is there whole or not at all."""

    def verify(self, archive: Archive, told: Told) -> None:
        """Read the file back: its checksum, and every row beside the database's. Raises ArchiveDamaged for any difference."""

    def drop(self, archive: Archive, now: datetime) -> None:
        """Its sums, the mark that it is archived and its end, all in one transaction. Raises Busy."""


class Retained(Struct, frozen=True, kw_only=True):
    """What became of a month."""

    month: str  # YYYY-MM
    status: Literal["dropped", "would be dropped", "kept"]
    why: Sequence[str] = ()  # it was kept
    events: int
    messages: int
    file: str = ""
    sha256: str = ""


def month_after(month: date) -> date:
    """The first day of the next one."""
    return (month + timedelta(days=31)).replace(day=1)


def retain_month(months: Months, month: date, now: datetime, told: Told, *, dry_run: bool) -> Retained:
    """Stopped anywhere, it goes on where it is called again: nothing is dropped before it was seen to lie in its file."""
    standing = months.standing(month)
    if why := why_kept(standing, now.date()):
        return _retained(standing, "kept", why)
    if dry_run:
        return _retained(standing, "would be dropped")
    try:
        archive = months.kept(standing) or months.export(standing, told)
        months.verify(archive, told)
        months.drop(archive, now)
    except (ArchiveDamaged, Busy) as error:
        return _retained(standing, "kept", [str(error)])
    return _retained(standing, "dropped", archive=archive)


def why_kept(standing: MonthStanding, today: date) -> list[str]:
    """Every reason for which the month must stay; none where it may go."""
    why = []
    if month_after(standing.month) > today - YOUNGEST:
        why.append(f"younger than {YOUNGEST.days} days: that one message a year is the most is decided on it")
    if standing.unfinished:
        many = ", ".join(f"{messages} {status.replace('_', ' ')}" for status, messages in sorted(standing.unfinished.items()))
        why.append(f"not finished: {many} (such as {', '.join(map(str, standing.such_as))})")
    if standing.contradictions:
        why.append(f"does not add up, ninebell audit says more: {'; '.join(standing.contradictions)}")
    if standing.behind:
        why.append(f"not read to its end by {', '.join(standing.behind)}")
    if standing.unplanned:
        why.append(f"the planner has yet to look at {standing.unplanned} people's facts or occasions up to its end")
    if standing.parked:
        why.append(f"{standing.parked} of what was left alone belong to it: ninebell parked list")
    if standing.in_flight:
        why.append(f"{standing.in_flight} dispatches with messages of it are in flight")
    return why


def _retained(
    standing: MonthStanding,
    status: Literal["dropped", "would be dropped", "kept"],
    why: Sequence[str] = (),
    archive: Archive | None = None,
) -> Retained:
    return Retained(
        month=f"{standing.month:%Y-%m}",
        status=status,
        why=why,
        events=standing.events,
        messages=standing.messages,
        file=f"{archive.directory}/{archive.file}" if archive else "",
        sha256=archive.sha256 if archive else "",
    )
