"""`ninebell projections`: the commands about read models."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ops.cli_numbers import Examples, Processes, Sample
from ops.settings import read_settings

projections = App(name="projections", help="Read models: list, rebuild, rollback, drop, verify.")


@projections.command(name="list")
def list_projections(*, json: bool = False) -> int:
    """List the read models and process managers, how far each has read, and which versions stand beside the live ones.

    Example: ninebell projections list

    Parameters
    ----------
    json
        Print it as JSON.
    """
    from ops.projections import list_projections as list_

    return list_(read_settings(), as_json=json)


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Way:
    """How a rebuild is done."""

    diff: bool = False
    """Compare with the live tables, at one position of the log, before the swap."""
    expect_no_diff: bool = False
    """The same, and with a difference exit 1 without a swap."""
    examples: Examples = 10
    """Show so many of the rows that differ, for each table."""
    no_swap: bool = False
    """Leave the live tables as they are; called again without it, the same tables are swapped in."""
    anew: bool = False
    """Throw away what an earlier call began."""
    processes: Processes = None
    """Read with so many; if not given, with as many as there are cores, and half of them while messages are sent."""
    archives: Annotated[Path | None, Parameter(name="--from")] = None
    """The directory where the files of archived months lie now; where they were put, if not given."""
    without_archives: bool = False
    """Leave archived months out of all sums."""


AS_USUAL = Way()


@projections.command
def rebuild(
    *name: str,
    all: bool = False,  # noqa: A002
    way: Way = AS_USUAL,
    json: bool = False,
) -> int:
    """Build read models from the events, beside the live ones, and swap them in. Queries and sending go on meanwhile.

    Stopped, even killed, it goes on where it was when called again; the live one is not touched before the swap. The tables that
    were live are kept for a rollback.

    For example:
      ninebell projections rebuild message_log
      ninebell projections rebuild --all
      ninebell projections rebuild message_log --diff --no-swap
      ninebell projections rebuild message_log --expect-no-diff

    Parameters
    ----------
    name
        Of read models, as the list shows them.
    all
        Every read model.
    json
        Print the report as JSON.
    """
    from ops.projections import rebuild as build

    return build(read_settings(), name, way, everything=all, as_json=json)


@projections.command
def verify(
    name: str,
    /,
    *,
    sample: Sample = None,
    examples: Examples = 10,
    archives: Annotated[Path | None, Parameter(name="--from")] = None,
    json: bool = False,
) -> int:
    """Derive rows anew from the events, and compare them with the live ones. Exits 1 on a difference.

    For example:
      ninebell projections verify message_log --sample 10000
      ninebell projections verify analytics_view

    Parameters
    ----------
    name
        Of a read model.
    sample
        The rows of so many people or messages, drawn at random; all, if not given. Sums are verified as a whole or not at all.
    examples
        Show so many of the rows that differ, for each table.
    archives
        The directory where the files of archived months lie now; where they were put, if not given.
    json
        Print the report as JSON.
    """
    from ops.projections import verify as compare

    return compare(read_settings(), name, sample, examples, archives, as_json=json)


@projections.command
def rollback(name: str, /) -> int:
    """Make the tables live again that a rebuild replaced, once they have caught up; those that are live now are kept.

    Tables of another version are left to the Ninebell that knows it: call the command of that one.

    Example: ninebell projections rollback message_log

    Parameters
    ----------
    name
        Of a read model.
    """
    from ops.projections import roll_back

    return roll_back(read_settings(), name)


@projections.command
def drop(name: str, /, *, build: bool = False) -> int:
    """Remove the tables that are kept for a rollback.

    For example:
      ninebell projections drop message_log
      ninebell projections drop message_log --build

    Parameters
    ----------
    name
        Of a read model.
    build
        Remove what a rebuild has begun, instead.
    """
    from ops.projections import drop as remove

    return remove(read_settings(), name, build=build)
