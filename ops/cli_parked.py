"""`ninebell parked`: the commands for what was left alone so that the rest could go on."""

from cyclopts import App

from ops.cli_numbers import Limit
from ops.settings import read_settings

parked = App(name="parked", help="What could not be read, applied or decoded, and was left alone: list, retry, discard.")


@parked.command(name="list")
def list_parked(*, follower: str | None = None, limit: Limit = 100, json: bool = False) -> int:
    """List it with its errors: events, message types that fail on a person, and send commands that no worker could take.

    For example:
      ninebell parked list
      ninebell parked list --follower message_log

    Parameters
    ----------
    follower
        Only of this read model or process manager; `bus` stands for the broker's dead queue.
    limit
        At most so many.
    json
        Print it as JSON.
    """
    from ops.parked import list_parked as list_

    return list_(read_settings(), follower, limit, as_json=json)


@parked.command
def retry(*id: str, follower: str | None = None, all: bool = False) -> int:  # noqa: A002
    """Try it again, once what was wrong is mended: as a rule a newer version is installed.

    A read model applies the event now. A process manager looks again while it runs, and parks anew what still fails. A send
    command goes back into its queue. Exits 1 if something fails again.

    For example:
      ninebell parked retry message_log/messages/4711
      ninebell parked retry --follower planner
      ninebell parked retry --all

    Parameters
    ----------
    id
        As the list shows them.
    follower
        Everything of this one.
    all
        Everything.
    """
    from ops.parked import retry as again

    return again(read_settings(), id, follower, everything=all)


@parked.command
def discard(*id: str, follower: str | None = None, all: bool = False) -> int:  # noqa: A002
    """Forget that it was left alone: it stays undone. A send command is dropped; its dispatch is published anew if need be.

    Example: ninebell parked discard message_log/messages/4711

    Parameters
    ----------
    id
        As the list shows them.
    follower
        Everything of this one.
    all
        Everything.
    """
    from ops.parked import discard as forget

    return forget(read_settings(), id, follower, everything=all)
