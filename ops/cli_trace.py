"""`ninebell trace`: the command for the whole story behind an ID."""

from ops.settings import read_settings


def trace(wanted: str, /, *, since: str | None = None, personal: bool = False, json: bool = False) -> int:
    """Tell what happened, when, by whom and why, over all logs, from one ID: of a user (UUID or external_id), a message,
    a dispatch, or a request (Ninebell-Correlation-Id).

    Exits 1 if nothing of this ID is found.

    For example:
      ninebell trace crm-0000002
      ninebell trace order-4711 --since 2027-05-14T08:00:00Z

    Parameters
    ----------
    wanted
        The ID.
    since
        For a request's ID that tells no instant: look from this one on.
    personal
        Show names, addresses and dates of birth, too.
    json
        Print it as JSON.
    """
    from ops.trace import trace as tell

    return tell(wanted, read_settings(), since, personal=personal, as_json=json)
