"""A process that archives or restores May 2027, and is killed with -9 at a point of it.

Arguments: DSN, directory, `retain` or `restore`; then what is being done to how many events when it is killed, if it is.
"""

import os
import signal
import sys
from pathlib import Path

from application.retain_months import retain_month
from infrastructure.archive import all_archived
from infrastructure.database import Database
from infrastructure.month_archiver import MonthArchiver
from infrastructure.month_restorer import MonthRestorer
from tests.retention_scene import LONG_AFTER, MAY


def main(dsn: str, directory: str, what: str, doing: str = "", events: str = "0") -> None:
    def told(does: str, done: int, _of: int) -> None:
        if (does, done) == (doing, int(events)):
            os.kill(os.getpid(), signal.SIGKILL)

    with Database(dsn, application_name="killed") as database:
        if what == "retain":
            done = retain_month(MonthArchiver(database, Path(directory)), MAY, LONG_AFTER, told, dry_run=False)
            print(done.status, *done.why)
        else:
            for archived in all_archived(database):
                MonthRestorer(database).restore(archived, told)


main(*sys.argv[1:])
