"""With which exit code does a command end, and what is said then?"""

import os
import select
import sys
import traceback
from collections.abc import Callable
from typing import Final

from cyclopts import CycloptsError

from application.delivery_ports import BusUnavailable
from application.ports import BrokenStreams, StoreUnavailable
from domain.errors import MonthArchived
from ops.settings import WrongSettings

STDOUT: Final = 1
STDERR: Final = 2
FOUND: Final = 1
WRONG: Final = 2
UNREACHABLE: Final = 3
UNFORESEEN: Final = 70  # EX_SOFTWARE of sysexits.h
INTERRUPTED: Final = 130
UNREAD: Final = 141  # 128 + SIGPIPE, as a shell tells of whoever that ends


def answered(command: Callable[[], object]) -> int:
    """The exit code of a command, whose output somebody reads, or nobody to its end."""
    _see_to_streams()
    try:
        code = _ended(command)
        sys.stdout.flush()  # here, where it can be answered that nobody reads
    except BrokenPipeError:
        return UNREAD if _is_unread() else _unforeseen()
    except SystemExit as end:
        if isinstance(end.__context__, BrokenPipeError):  # rich met it, and has seen to standard output
            return UNREAD
        raise
    return code


def _see_to_streams() -> None:
    """Where the caller closed them, they lead nowhere: else what is opened next would get their numbers, and what is printed."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(number)
    sys.stdout = sys.stdout or os.fdopen(STDOUT, "w")
    sys.stderr = sys.stderr or os.fdopen(STDERR, "w")


def _ended(command: Callable[[], object]) -> int:
    """What a person can mend is one clear line, not a traceback."""
    try:
        result = command()
    except CycloptsError as error:
        return _refused(WRONG, f"{error}\nninebell --help lists the commands, ninebell COMMAND --help their options.")
    except WrongSettings as error:
        return _refused(WRONG, str(error))
    except BrokenStreams as error:
        return _refused(FOUND, f"{error} can't be read: ninebell parked list says what was left alone, and why.")
    except MonthArchived as error:
        return _refused(FOUND, f"{error}.")
    except (StoreUnavailable, BusUnavailable) as error:
        return _refused(UNREACHABLE, f"{_dependency(error)} is not reachable ({error}).")
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001  (whatever else it is, its traceback says)
        from infrastructure.postgres_cluster import PostgresNotStarted
        from ops.roles import FATAL  # with it comes every role, which most commands do without

        if not isinstance(error, FATAL):
            return _unforeseen()
        return _refused(UNREACHABLE if isinstance(error, PostgresNotStarted) else WRONG, str(error))
    except KeyboardInterrupt:
        return INTERRUPTED
    return result if isinstance(result, int) else 0


def _is_unread() -> bool:
    """Whether it was our output that broke, and no other pipe or socket. What is left of it goes nowhere then.

    Else Python would write it at its end, and complain (docs.python.org/3/library/signal.html, Note on SIGPIPE).
    """
    output = select.poll()
    for stream in (sys.stdout, sys.stderr):
        output.register(stream.fileno(), 0)  # that its reader is gone is told unasked
    broken = [number for number, _ in output.poll(0)]
    for number in broken:
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return bool(broken)


def _unforeseen() -> int:
    traceback.print_exc()
    return UNFORESEEN


def _dependency(error: Exception) -> str:
    return "The database (DATABASE_URL)" if isinstance(error, StoreUnavailable) else "The broker (AMQP_URL)"


def _refused(code: int, line: str) -> int:
    print(line, file=sys.stderr)
    return code
