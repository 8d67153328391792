"""The commands. Exit: 0 done, 1 done but something found, 2 wrong usage or settings, 3 a dependency is not reachable.

70 (EX_SOFTWARE of sysexits.h) is a mistake of ours, with its traceback; 141 (128 + SIGPIPE) is quiet: nobody read to the end.
"""

import sys
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from ops.cli_foresight import forecast, plan, simulate
from ops.cli_keys import keys
from ops.cli_messages import messages
from ops.cli_numbers import Days, Milliseconds, Share
from ops.cli_parked import parked
from ops.cli_pause import pause, resume
from ops.cli_projections import projections
from ops.cli_recover import recover
from ops.cli_retention import erasure_report, restore, retain
from ops.cli_templates import templates
from ops.cli_trace import trace
from ops.exit_codes import answered
from ops.lifeline import end_with_stdin
from ops.settings import Settings, WrongSettings, read_settings

app = App(
    name="ninebell",
    help="Sends each person's birthday, anniversary and holiday message at nine in the morning where that person is.",
    help_epilogue="Settings are environment variables: ninebell doctor prints them all. ninebell COMMAND --help has examples.",
    help_format="plaintext",  # keeps the lines of an example apart
    version=lambda: version("ninebell"),
    version_flags=["--version"],
    default_parameter=Parameter(negative=()),
)


@app.command
def up(
    *,
    sink_delay_ms: Milliseconds = 0,
    sink_error_rate: Share = 0,
    sink_throttle_rate: Share = 0,
    sink_cut_rate: Share = 0,
    sink_seed: int | None = None,
) -> int:
    """Run everything in one process: PostgreSQL from the wheel, an in-process bus, a sink. Ctrl-C stops it.

    The --sink options are for trials: late answers, and shares from 0 to 1 of calls that fail, are throttled, or are cut.

    Example: ninebell up

    Parameters
    ----------
    sink_delay_ms
        Answer so many milliseconds late.
    sink_error_rate
        The share of calls answered by 500.
    sink_throttle_rate
        The share answered by 429.
    sink_cut_rate
        The share whose connection is cut after they were taken.
    sink_seed
        Draw those by this number, so that a trial can be repeated.
    """
    from ops.sink_app import SinkOptions
    from ops.up import run_up

    options = SinkOptions(sink_delay_ms, sink_error_rate, sink_throttle_rate, sink_cut_rate, sink_seed)
    return run_up(_settings(), options)


@app.command
def run(
    *roles: str,
    autoscale: Annotated[bool | str, Parameter(metavar="MIN:MAX", show_default=False)] = False,
    regions: Annotated[str, Parameter(metavar="NAME,NAME", show_default=False)] = "",
    delay_ms: Milliseconds = 0,
    error_rate: Share = 0,
    throttle_rate: Share = 0,
    cut_rate: Share = 0,
    seed: int | None = None,
    until_stdin_closes: Annotated[bool, Parameter(show=False)] = False,
) -> int:
    """Run one or more roles as a process: api projections planner dispatcher worker sink.

    Needs DATABASE_URL, and AMQP_URL unless all of dispatcher and worker are in this one process.

    With --autoscale, workers are processes of their own, started again if
    they fail: one for each 1,000 messages that no worker has claimed and that
    are due, or will be within 30 s; half as many after 30 s with fewer than
    100. SIGTERM ends them within 35 s.

    A dispatcher leads the regions that no other does, of all or of --regions.

    For example:
      ninebell run api projections
      ninebell run worker
      ninebell run worker --autoscale 2:20
      ninebell run dispatcher --regions asia,oceania
      ninebell run sink --delay-ms 50 --error-rate 0.01

    Parameters
    ----------
    autoscale
        At least and at most so many workers, for that role alone; 2:20 without a value.
    regions
        The dispatcher's: americas, europe, africa, asia, oceania; all if not given.
    delay_ms
        The sink's, for trials: answers come so late.
    error_rate
        The sink's: this share of calls, from 0 to 1, fails.
    throttle_rate
        The sink's: this share is throttled.
    cut_rate
        The sink's: this share is accepted, then cut.
    seed
        The sink's: draws the same calls again.
    """
    from ops.sink_app import SinkOptions
    from ops.up import run_roles

    if until_stdin_closes:
        end_with_stdin()
    sink = SinkOptions(delay_ms, error_rate, throttle_rate, cut_rate, seed)
    return run_roles(roles, _settings(), sink, "2:20" if autoscale is True else autoscale or "", regions)


@app.command(name="import")
def import_(
    file: Path,
    /,
    *,
    dry_run: bool = False,
    rejects: Path | None = None,
    first_occasion: date | None = None,
    readmit: bool = False,
    json: bool = False,
) -> int:
    """Import people from a CSV file (or NDJSON, by its ending .ndjson). A second import of the same file changes nothing.

    For example:
      ninebell import people.csv
      ninebell import people.csv --dry-run --rejects rejects.csv
      ninebell import people.csv --first-occasion 2027-01-01

    Parameters
    ----------
    file
        Columns by name: external_id, first_name, email and timezone are needed, every other field of a person is optional.
    dry_run
        Check and count, and change nothing.
    rejects
        Write the rejected lines (line,field,reason) to this CSV file.
    first_occasion
        Schedule nothing dated earlier for new people; today where each lives, if not given.
    readmit
        Let an erased person's external_id register again.
    json
        Print the report as JSON.
    """
    from application.import_users import ImportOptions
    from ops.import_people import import_people

    options = ImportOptions(first_occasion=first_occasion, dry_run=dry_run, readmit=readmit)
    return import_people(file, _settings(), options, rejects, as_json=json)


@app.command
def explain(user: str, /, *, days: Days = 400, type: str | None = None, year: int | None = None, json: bool = False) -> int:  # noqa: A002
    """Say what a user (UUID or external_id) gets next, why then, and what became of each message.

    With --type and --year: why they got it in that year, or did not, and what would help.

    For example:
      ninebell explain crm-0000002
      ninebell explain crm-0000002 --type BIRTHDAY --year 2027

    Parameters
    ----------
    user
        A UUID or an external_id.
    days
        How far to look ahead.
    type
        The message type asked about.
    year
        The year of its occasions.
    json
        Print it as JSON.
    """
    from ops.explain import explain as say
    from ops.explain import explain_year

    if type is None and year is None:
        return say(user, _settings(), days, as_json=json)
    if type is None or year is None:
        raise WrongSettings("--type and --year go together")
    return explain_year(user, type, year, _settings(), as_json=json)


@app.command
def audit(
    *,
    by: list[Literal["day", "zone", "type"]] | None = None,
    from_: Annotated[date | None, Parameter(name="--from")] = None,
    to: date | None = None,
    json: bool = False,
) -> int:
    """Prove that scheduled = sent + cancelled + expired + abandoned + in doubt + pending, from the events alone.

    It says what was late (sent a minute or more after its instant), and that the read models have the same numbers.
    Exits 1 if it does not add up.

    For example:
      ninebell audit
      ninebell audit --from 2027-05-15 --to 2027-05-16 --by zone --by type
      ninebell audit --json

    Parameters
    ----------
    by
        What each line is for; several together: a line for each of their combinations. As JSON all three are there.
    from_
        The first date of occasions.
    to
        The date after the last one.
    json
        Print it as JSON.
    """
    from ops.audit import audit as add_up

    return add_up(_settings(), by=by or (), start=from_, end=to, as_json=json)


@app.command
def doctor(*, json: bool = False) -> int:
    """Print every setting, and see that the database, the broker and the rules of this machine are right.

    Exits 1 with a warning, 3 if something can't be reached.

    Example: ninebell doctor

    Parameters
    ----------
    json
        Print it as JSON.
    """
    from ops.doctor import doctor as examine

    return examine(_settings(), as_json=json)


app.command(simulate)
app.command(forecast)
app.command(plan)
app.command(templates)
app.command(trace)
app.command(messages)
app.command(parked)
app.command(projections)
app.command(pause)
app.command(resume)
app.command(keys)
app.command(recover)
app.command(retain)
app.command(restore)
app.command(erasure_report)


def main(arguments: list[str] | None = None) -> int:
    """The console script."""
    return answered(lambda: app(arguments, exit_on_error=False, print_error=False, result_action="return_value"))


def _settings() -> Settings:
    return read_settings()


if __name__ == "__main__":
    sys.exit(main())
