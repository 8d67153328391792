"""How is a process stopped just while it holds the lock of a log, or before it hears that its append has landed?"""

from __future__ import annotations

import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final, TypeVar

import psycopg

from infrastructure.event_log import LOCK_SPACE

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.e2e.processes import Program

S = TypeVar("S")

STILL_SECONDS: Final = 0.05
"""An append is over long before."""
UNUSED_SECONDS: Final = 1.0
"""Who is not stopped asks for something else long before."""

HOLDERS: Final = """
    SELECT pid, xact_start FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted AND application_name = %s"""
APPENDING: Final = """
    SELECT pid FROM pg_stat_activity WHERE application_name = %s AND state = 'active' AND query LIKE '%%"append_to_%%'"""
ANSWERED_SINCE: Final = """
    SELECT pid, state_change FROM pg_stat_activity WHERE pid = ANY(%s) AND state = 'idle' AND state_change > %s"""


def stop_in_append(dsn: str, program: Program, within_seconds: float) -> bool:
    """Whether it was stopped in an append, that is, with the lock of a log in its hands."""
    with closing(psycopg.connect(dsn, autocommit=True)) as looking:

        def holders() -> set[tuple[object, ...]]:
            return set(looking.execute(HOLDERS, (LOCK_SPACE, _name(program)), prepare=True))

        def still_holds(seen: set[tuple[object, ...]]) -> bool:
            time.sleep(STILL_SECONDS)
            return bool(seen & holders())  # of two processes of one name it may have been the other's

        return _stopped(program, holders, still_holds, within_seconds)


def stop_before_answer(dsn: str, program: Program, within_seconds: float) -> bool:
    """Whether it was stopped after it has asked for an append and before it could read the server's answer."""
    with closing(psycopg.connect(dsn, autocommit=True)) as looking:

        def asking() -> list[int]:
            return [pid for (pid,) in looking.execute(APPENDING, (_name(program),), prepare=True)]

        def answered_since(seen: list[int]) -> bool:
            [(stopped_at,)] = looking.execute("SELECT clock_timestamp()", prepare=True).fetchall()
            time.sleep(STILL_SECONDS)
            answered = set(looking.execute(ANSWERED_SINCE, (seen, stopped_at), prepare=True))
            if not answered:
                return False
            time.sleep(UNUSED_SECONDS)  # of two processes of one name it may have been the other's
            return bool(answered & set(looking.execute(ANSWERED_SINCE, (seen, stopped_at), prepare=True)))

        return _stopped(program, asking, answered_since, within_seconds)


def _stopped(program: Program, look: Callable[[], S], caught: Callable[[S], bool], within_seconds: float) -> bool:
    """Stop it whenever a look finds something, and leave it so once it is caught."""
    over = time.monotonic() + within_seconds
    while time.monotonic() < over:
        if not (seen := look()):
            continue
        program.send(signal.SIGSTOP)
        if caught(seen):
            return True
        program.send(signal.SIGCONT)
    return False


def _name(program: Program) -> str:
    """Under which PostgreSQL knows its sessions."""
    return f"ninebell {program.words[1]}"
