"""With which exit code does a command end, and what is said then?"""

import sys
import traceback
from collections.abc import Callable
from typing import Final

from cyclopts import CycloptsError

from application.delivery_ports import BusUnavailable
from application.ports import BrokenStreams, StoreUnavailable
from domain.errors import MonthArchived
from ops.settings import WrongSettings

FOUND: Final = 1
WRONG: Final = 2
UNREACHABLE: Final = 3
UNFORESEEN: Final = 70  # EX_SOFTWARE of sysexits.h


def answered(command: Callable[[], object]) -> int:
    """The exit code; what a person can mend is one clear line, not a traceback."""
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
    except Exception as error:  # noqa: BLE001  (whatever else it is, its traceback says)
        from infrastructure.postgres_cluster import PostgresNotStarted
        from ops.roles import FATAL  # with it comes every role, which most commands do without

        if not isinstance(error, FATAL):
            traceback.print_exc()
            return UNFORESEEN
        return _refused(UNREACHABLE if isinstance(error, PostgresNotStarted) else WRONG, str(error))
    except KeyboardInterrupt:
        return 130
    return result if isinstance(result, int) else 0


def _dependency(error: Exception) -> str:
    return "The database (DATABASE_URL)" if isinstance(error, StoreUnavailable) else "The broker (AMQP_URL)"


def _refused(code: int, line: str) -> int:
    print(line, file=sys.stderr)
    return code
