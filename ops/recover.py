"""`ninebell recover --restored-to`: after a restore from backup, nothing that may have been sent since is sent again."""

import math
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Final

import msgspec
from msgspec import Struct
from psycopg import Rollback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from application.dispatcher_ports import DispatcherWork, LostSpan
from application.pause_sending import EVERYTHING, Pause
from application.ports import Begin
from application.recover_restored import RecoverRestored, alive, record_loss
from domain.region import REGIONS
from infrastructure.dispatcher_tables import PostgresDispatcherWork
from infrastructure.leader import SILENCE_SECONDS
from infrastructure.lost_spans import PostgresLostSpans
from infrastructure.pauses import PostgresPauses
from infrastructure.region_leaders import RegionLeaders
from ops.at_hand import at_hand
from ops.instants import given_instant
from ops.settings import Settings, WrongSettings
from ops.wiring import Parts, of_dispatcher

WHO: Final = "recover"
LEAD_SECONDS: Final = 10.0
LOST: Final = """\
Lost is what people did since then: registrations, changes, suppressions, erasures, cancellations, texts and pauses. Do it again
before workers run, erasures first. Who had moved to another zone or date by then might be written to twice.
"""


class Recovered(Struct, frozen=True):
    """What was done, or would be."""

    restored_to: datetime
    found_at: datetime
    in_doubt: int
    dry_run: bool


def recover(settings: Settings, restored_to: str, *, dry_run: bool, as_json: bool) -> int:
    """Raises WrongSettings, also while a dispatcher or worker is alive on this database."""
    instant = given_instant("--restored-to", restored_to)
    assert instant is not None
    with at_hand(settings, "recover") as parts:
        now, done = parts.clock.now(), PostgresLostSpans(parts.database).recovered(instant)
        if instant > now:
            raise WrongSettings(f"--restored-to {restored_to}: lies in the future, as the database's clock has it")
        if done is not None:
            span, at = done
            _say(
                Recovered(span.restored_to, span.found_at, 0, dry_run),
                f"That was dealt with at {at:%Y-%m-%dT%H:%M:%SZ}.\n",
                as_json,
            )
            return 0
        _nobody_is_alive(parts)
        found = _counted(parts, LostSpan(instant, now)) if dry_run else _recovered(parts, instant, now)
    _say(found, _told(found), as_json)
    return 0


def _say(found: Recovered, told: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
    else:
        print(told, end="")


def _nobody_is_alive(parts: Parts) -> None:
    seconds = math.ceil(max(SILENCE_SECONDS, parts.settings.lease_seconds))
    print(f"Looking for up to {seconds} s whether a dispatcher or worker is alive on this database ...", file=sys.stderr)
    moved = alive(PostgresLostSpans(parts.database).counters, time.sleep, seconds)
    if moved:
        names = ", ".join(sorted({" ".join(filter(None, who[:2])) for who in moved}))
        raise WrongSettings(f"{names}: alive on this database; stop every dispatcher and worker before you recover")


def _counted(parts: Parts, span: LostSpan) -> Recovered:
    """All of it in one transaction that comes to nothing."""
    with parts.database.transaction() as cursor:

        @contextmanager
        def begin() -> Iterator[PostgresDispatcherWork]:
            work = PostgresDispatcherWork(cursor, parts.store, "dispatcher")
            yield work
            work.move_positions()

        counting = RecoverRestored(begin, parts.types, parts.channels, span)
        counting.catch_up(span.found_at)
        found = Recovered(span.restored_to, span.found_at, counting.count(), dry_run=True)
        _undo()
    return found


def _undo() -> None:
    """The transaction this is called in."""
    raise Rollback


def _recovered(parts: Parts, restored_to: datetime, now: datetime) -> Recovered:
    """Under a pause of everything, which stays if this is stopped half way."""
    with RegionLeaders(parts.database, "dispatcher", take_over_at_once=True) as leaders:
        if not leaders.wait(LEAD_SECONDS, regions=len(REGIONS)):
            raise WrongSettings("a dispatcher has just come to life on this database; stop it before you recover")
        pauses = PostgresPauses(parts.database)
        pauses.begin(
            Pause(EVERYTHING, WHO, f"recover --restored-to {restored_to:%Y-%m-%dT%H:%M:%SZ} must be run to its end", now)
        )
        begin = of_dispatcher(parts, "dispatcher", leaders.term())
        span = record_loss(begin, restored_to, now)
        in_doubt = _doubted(parts, begin, span)
        PostgresLostSpans(parts.database).end(span, parts.clock.now())
        if any((pause.name, pause.who) == (EVERYTHING, WHO) for pause in pauses.open()):
            pauses.end(Pause(EVERYTHING, WHO, "done", parts.clock.now()))
    return Recovered(span.restored_to, span.found_at, in_doubt, dry_run=False)


def _doubted(parts: Parts, begin: Begin[DispatcherWork], span: LostSpan) -> int:
    recovering, total = RecoverRestored(begin, parts.types, parts.channels, span), 0
    recovering.catch_up(parts.clock.now())
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task("putting in doubt", total=recovering.count())
        for page in (recovering.call_off, recovering.doubt):
            while (doubted := page(parts.clock.now())) is not None:
                total += doubted
                bar.update(task, advance=doubted)
    return total


def _told(found: Recovered) -> str:
    span = f"from {found.restored_to:%Y-%m-%dT%H:%M:%SZ} to {found.found_at:%Y-%m-%dT%H:%M:%SZ}"
    if found.dry_run:
        return f"{found.in_doubt} messages may have been sent {span}, and would be in doubt (dry run: nothing was changed).\n"
    return (
        f"{found.in_doubt} messages may have been sent {span}: they are in doubt, and so will be what is planned anew for then.\n"
        f"See ninebell messages list --reason restored, then resolve or redrive them. {LOST}"
    )
