"""`ninebell pause` and `ninebell resume`: the commands that hold messages back for a while."""

from typing import Annotated

from cyclopts import Parameter

from ops.settings import read_settings


def pause(
    name: str = "",
    /,
    *,
    reason: str = "",
    list_: Annotated[bool, Parameter(name="--list")] = False,
    json: bool = False,
) -> int:
    """Send nothing through a channel, or of a message type, until it is resumed; nothing at all if none is named.

    It takes a second or two; calls that are open then are finished. Late
    windows go on: what passes its own expires.

    For example:
      ninebell pause --reason "wrong texts went out"
      ninebell pause sink --reason "the provider asked us to"
      ninebell pause BIRTHDAY --reason "new texts at noon"
      ninebell pause --list

    Parameters
    ----------
    name
        A channel or a message type.
    reason
        Why: it is kept, and shown by --list and doctor.
    list_
        Pause nothing; print what is paused.
    json
        Print it as JSON.
    """
    from ops.pausing import list_pauses, pause_named

    settings = read_settings()
    return list_pauses(settings, as_json=json) if list_ else pause_named(settings, name, reason)


def resume(name: str = "", /, *, reason: str = "") -> int:
    """End the pause of this very channel or type; without a name, that of everything. What waited goes out oldest due first.

    Other pauses last on, and are printed. Exits 1 if nothing was paused by that name.

    For example:
      ninebell resume
      ninebell resume BIRTHDAY --reason "the texts are right now"

    Parameters
    ----------
    name
        A channel or a message type, as it was paused.
    reason
        Why: it is kept.
    """
    from ops.pausing import resume_named

    return resume_named(read_settings(), name, reason)
