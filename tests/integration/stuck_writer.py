"""A process that stops for good in the middle of an append, with the log's lock in its hand: `stuck_writer.py DSN HOW`."""

import os
import signal
import sys
from uuid import uuid4

from infrastructure.database import Database
from infrastructure.event_log import TABLES, NewRow
from tests.store_stage import NOW

HOW = ("between statements", "inside a statement", "inside a copy")
ROW = NewRow(uuid4(), 1, "message.cancelled.v1", b"{}", NOW)


def main(dsn: str, how: str) -> None:
    with Database(dsn, application_name="stuck") as database, database.transaction() as cursor:
        TABLES["messages"].lock(cursor)
        TABLES["messages"].insert(cursor, [ROW])
        if how == "inside a statement":
            # the server waits for the rest of this query, as it does when a client freezes while sending a big one
            os.write(cursor.connection.fileno(), b"Q\x00\x00\xff\xffSELECT 1")
        elif how == "inside a copy":
            copy = cursor.copy("COPY messages (originator_id, originator_version, topic, state, recorded_at) FROM STDIN")
            copy.__enter__().write_row([uuid4(), *ROW[1:]])
        print("holding", flush=True)
        os.kill(os.getpid(), signal.SIGSTOP)


if __name__ == "__main__":
    main(*sys.argv[1:])
