"""How does a process end together with the one that started it, even if that one is killed?"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Thread
from typing import Final

END_SECONDS: Final = 35.0
"""For a worker, which gives back what it has within thirty."""


@contextmanager
def lifeline() -> Iterator[int]:
    """The end of a pipe that its readers see close when this process ends, however it ends."""
    read, write = os.pipe()
    try:
        yield read
    finally:
        os.close(read)
        os.close(write)


def end_with_stdin() -> None:
    """From now on, this process is told to end when its standard input closes, and killed if it does not."""
    Thread(target=_hold_on, name="lifeline", daemon=True).start()


def _hold_on() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(END_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)
