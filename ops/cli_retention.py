"""`ninebell retain`, `restore` and `erasure-report`: the commands for what is long over, and for whom nothing may be left of."""

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ops.settings import read_settings


def retain(*, before: date, to: Path | None = None, dry_run: bool = False, json: bool = False) -> int:
    """Put the months of messages that end before a date into compressed files, verify each, and drop it from the database.

    A month is kept (exit 1, with the reasons) while a message of it is not
    finished, a follower has not read it, or it is younger than 401 days.
    Stopped anywhere, it goes on where it is run again.

    For example:
      ninebell retain --before 2026-01-01 --dry-run
      ninebell retain --before 2026-01-01 --to /srv/ninebell/archive

    Parameters
    ----------
    before
        Months that end before this date.
    to
        The directory for the files; archive in the data directory, if not given.
    dry_run
        Look at each month, and change nothing.
    json
        Print it as JSON.
    """
    from ops.retain import retain as archive

    return archive(read_settings(), before, to, dry_run=dry_run, as_json=json)


def restore(month: str, /, *, from_: Annotated[Path | None, Parameter(name="--from")] = None, json: bool = False) -> int:
    """Bring an archived month of messages (YYYY-MM) back into the database. Again is harmless.

    The file's checksum is compared first, and every row once it is back.

    For example:
      ninebell restore 2025-03
      ninebell restore 2025-03 --from /mnt/backup/archive

    Parameters
    ----------
    month
        Such as 2025-03.
    from_
        The directory where its file lies now; where it was put, if not given.
    json
        Print it as JSON.
    """
    from ops.retain import restore as bring_back

    return bring_back(read_settings(), month, from_, as_json=json)


def erasure_report(user: str, /, *, archives: Path | None = None, json: bool = False) -> int:
    """Look everywhere for what may be left of a person who was erased, and say place by place what was found.

    Exits 0 if nothing is left, 1 if something is, or if not everything could be looked at. By external_id it can
    only be said that its hash is marked erased: the hash names no ID any more.

    For example:
      ninebell erasure-report 0192f7b0-2222-7222-8222-222222222222
      ninebell erasure-report 0192f7b0-2222-7222-8222-222222222222 --json

    Parameters
    ----------
    user
        The UUID that the person had, or their external_id.
    archives
        The directory where the archived months lie now; where each was put, if not given.
    json
        Print it as JSON.
    """
    from ops.erasure_report import say_erased

    return say_erased(user, read_settings(), archives, as_json=json)
