"""How is a process stopped just while it holds the lock of a log, or before it hears that its append has landed?"""

from __future__ import annotations

import signal
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

import psycopg

from infrastructure.event_log import LOCK_SPACE

if TYPE_CHECKING:
    from tests.e2e.processes import Program

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
    """Stopped it is in any case; whether in an append, that is, with the lock of a log in its hands."""
    over = time.monotonic() + within_seconds
    with closing(psycopg.connect(dsn, autocommit=True)) as looking:

        def holders() -> set[tuple[object, ...]]:
            return set(looking.execute(HOLDERS, (LOCK_SPACE, _name(program)), prepare=True))

        while time.monotonic() < over:
            if not (seen := holders()):
                continue
            program.send(signal.SIGSTOP)
            time.sleep(STILL_SECONDS)
            if seen & holders():  # of two processes of one name it may have been the other's
                return True
            program.send(signal.SIGCONT)
    program.send(signal.SIGSTOP)
    return False


def stop_before_answer(dsn: str, program: Program, within_seconds: float) -> bool:
    """Stopped it is in any case; whether after it has asked for an append and before it could read the server's answer."""
    over = time.monotonic() + within_seconds
    with closing(psycopg.connect(dsn, autocommit=True)) as looking:
        while time.monotonic() < over:
            if not (seen := [pid for (pid,) in looking.execute(APPENDING, (_name(program),), prepare=True)]):
                continue
            program.send(signal.SIGSTOP)
            stopped_at = looking.execute("SELECT clock_timestamp()", prepare=True).fetchall()[0][0]
            time.sleep(STILL_SECONDS)
            if answered := set(looking.execute(ANSWERED_SINCE, (seen, stopped_at), prepare=True)):
                time.sleep(UNUSED_SECONDS)  # of two processes of one name it may have been the other's
                if answered & set(looking.execute(ANSWERED_SINCE, (seen, stopped_at), prepare=True)):
                    return True
            program.send(signal.SIGCONT)
    program.send(signal.SIGSTOP)
    return False


def _name(program: Program) -> str:
    """Under which PostgreSQL knows its sessions."""
    return f"ninebell {program.words[1]}"
