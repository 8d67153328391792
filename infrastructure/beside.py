"""How does a process begin that works beside another one, and how does it end with it?"""

import gc
import os
import signal
from multiprocessing import connection, parent_process
from threading import Thread
from typing import Final

COLLECT_AFTER_OBJECTS: Final = 200_000


def begin_beside() -> None:
    """To be called first of all in a process that `multiprocessing` has spawned: it is told by its parent when to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal's Ctrl-C its parent makes the most
    gc.freeze()
    gc.set_threshold(COLLECT_AFTER_OBJECTS)  # a page is many objects, of which none is kept
    Thread(target=_end_with_parent, name="lifeline", daemon=True).start()


def _end_with_parent() -> None:
    """A parent that is killed leaves nobody at work."""
    parent = parent_process()
    assert parent
    connection.wait([parent.sentinel])
    os._exit(1)
