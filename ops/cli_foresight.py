"""`ninebell simulate`, `forecast` and `plan`: the commands about what is still to come."""

from datetime import date
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ops.settings import read_settings


def simulate(
    *,
    people: Path,
    from_: Annotated[date, Parameter(name="--from")],
    to: date,
    out: Path,
    outage: str | None = None,
    changes: Path | None = None,
    plot: Path | None = None,
) -> int:
    """Run the real planner, dispatcher and worker over a span of local dates on a simulated clock and a database of its own.

    For example:
      ninebell simulate --people tests/data/people-10k.csv --from 2027-01-01 --to 2028-01-01 --out year.csv
      ninebell simulate --people people.csv --from 2027-05-01 --to 2027-06-01 --out may.csv --changes changes.csv
      ninebell simulate --people people.csv --from 2027-05-01 --to 2027-06-01 --out may.csv
        --outage 2027-05-15T06:00:00Z/2027-05-15T20:00:00Z --plot may.png

    Parameters
    ----------
    people
        A file as for import; its dates are checked against --from.
    from_
        The first local date.
    to
        The local date after the last one.
    out
        The CSV file to write: a row for every occasion, sent or not.
    outage
        FROM/TO, two instants between which nothing runs.
    changes
        A CSV file at,external_id,field,value: a field of a person, or suppress, unsuppress, erase.
    plot
        A PNG file to draw: what was sent, days by UTC hours, and by day what was not.
    """
    from ops.simulate import simulate as play

    return play(people, from_, to, out, read_settings(), outage=outage, changes=changes, picture=plot)


plan = App(name="plan", help="What the planner has planned: rederive.")


@plan.command
def rederive() -> int:
    """Have everybody's planned messages derived again from their facts, the message types and the calendar.

    The planner does so while it runs; again is harmless. Example: ninebell plan rederive
    """
    from ops.rederive import rederive as again

    return again(read_settings())


def forecast(*, rate: str | None = None, json: bool = False) -> int:
    """Say what falls due in the next 48 hours by minute and zone, and whether the provider's rate limit lets it out in time.

    For example:
      ninebell forecast
      ninebell forecast --rate 100/60s --json

    Parameters
    ----------
    rate
        CALLS/PER, in place of the rate that is configured for the channel.
    json
        Print it as JSON.
    """
    from ops.forecast import forecast as foresee

    return foresee(read_settings(), rate, as_json=json)
