"""How is a process stopped just while it holds the lock of a log?"""

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

HOLDERS: Final = """
    SELECT pid, xact_start FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND classid = %s AND objsubid = 2 AND granted AND application_name = %s"""


def stop_in_append(dsn: str, program: Program, within_seconds: float) -> bool:
    """Stopped it is in any case; whether in an append, that is, with the lock of a log in its hands."""
    over = time.monotonic() + within_seconds
    name = f"ninebell {' '.join(program.words[1:])}"
    with closing(psycopg.connect(dsn, autocommit=True)) as looking:

        def holders() -> set[tuple[object, ...]]:
            return set(looking.execute(HOLDERS, (LOCK_SPACE, name), prepare=True))

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
