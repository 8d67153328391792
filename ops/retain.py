"""`ninebell retain` and `ninebell restore`: months of messages go into files and come back."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from application.forget_dispatches import forget_dispatches
from application.retain_months import ArchiveDamaged, Busy, Retained, retain_month
from infrastructure.database import Database
from infrastructure.finished_dispatches import PostgresFinishedDispatches
from infrastructure.month_archiver import MonthArchiver
from infrastructure.month_restorer import MonthRestorer
from infrastructure.month_tables import in_turn
from ops.at_hand import at_hand
from ops.progress import watched
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts

FOUND: Final = 1
ARCHIVE: Final = "archive"
"""In the data directory, where nothing else is said."""


class Report(Struct, frozen=True):
    """What became of every month before the date, and how many dispatches were, or would be, forgotten."""

    months: Sequence[Retained]
    dispatches: int


class Restored(Struct, frozen=True):
    """What became of one month."""

    month: str
    status: str  # restored; is there; or not restored
    events: int = 0
    why: str = ""


def retain(settings: Settings, before: date, to: Path | None, *, dry_run: bool, as_json: bool) -> int:
    """0 if every month before the date is in a file, or may go there, else 1. Raises WrongSettings while another one runs."""
    directory = to or settings.data_dir / ARCHIVE
    with at_hand(settings, "retain") as parts, _one_at_a_time(parts.database):
        done = []
        for month in _retained(parts, directory, before, dry_run=dry_run):
            done.append(month)
            if not as_json:
                print(_told(month))
        forgotten = _forgotten(parts, before, dry_run=dry_run)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(Report(done, forgotten)) + b"\n")
    else:
        if not done:
            print(f"No month that ends before {before} is in the database.")
        print(f"{forgotten} dispatches {'would be forgotten' if dry_run else 'forgotten'}: their messages are over.")
    return FOUND if any(month.status == "kept" for month in done) else 0


def restore(settings: Settings, month: str, directory: Path | None, *, as_json: bool) -> int:
    """0 if the month is in the database, else 1. Raises WrongSettings."""
    first = _month(month)
    with at_hand(settings, "restore") as parts, _one_at_a_time(parts.database):
        done = _restored(parts, first, directory)
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(done) + b"\n")
    else:
        print(f"{done.month} {done.status}" + (f": {done.why}" if done.why else f", {done.events} events" if done.events else ""))
    return 0 if not done.why else FOUND


def _retained(parts: Parts, directory: Path, before: date, *, dry_run: bool) -> Iterator[Retained]:
    months = MonthArchiver(parts.database, directory)
    for month in months.closed(before):
        with watched(f"{month:%Y-%m}") as told:
            yield retain_month(months, month, parts.clock.now(), told, dry_run=dry_run)


def _forgotten(parts: Parts, before: date, *, dry_run: bool) -> int:
    dispatches = PostgresFinishedDispatches(parts.database)
    with watched("dispatches") as told:
        now = parts.clock.now()
        return forget_dispatches(
            dispatches, parts.store, before, now, lambda done: told(f"{done} forgotten", 0, 0), dry_run=dry_run
        )


def _restored(parts: Parts, month: date, directory: Path | None) -> Restored:
    restorer, name = MonthRestorer(parts.database, directory), f"{month:%Y-%m}"
    archived = restorer.archived(month)
    if archived is None:
        return Restored(name, "is not archived: the database has all there is of it")
    try:
        with watched(name) as told:
            restorer.restore(archived, told)
    except (ArchiveDamaged, Busy) as error:
        return Restored(name, "not restored", why=str(error))
    return Restored(name, "restored", archived.events)


def _month(text: str) -> date:
    try:
        return date.fromisoformat(f"{text}-01")
    except ValueError as error:
        raise WrongSettings(f"MONTH: {text} is not a month such as 2025-03") from error


@contextmanager
def _one_at_a_time(database: Database) -> Iterator[None]:
    try:
        with in_turn(database):
            yield
    except Busy as error:
        raise WrongSettings(str(error)) from error


def _told(done: Retained) -> str:
    line = f"{done.month} {done.status}: {done.messages} messages, {done.events} events"
    if done.file:
        line += f", {done.file}, SHA-256 {done.sha256}"
    return "\n".join((line, *(f"  {why}" for why in done.why)))
