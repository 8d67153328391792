"""`ninebell up` and `ninebell run`: start the roles, and tell the person at the terminal what there is now."""

import sys
from functools import partial
from pathlib import Path
from typing import Final, get_args

from rich.console import Console

from domain.region import REGIONS
from ops.logs import configure_logs
from ops.roles import ROLES, RoleName, Worker, run
from ops.run_worker import run_worker
from ops.settings import Settings, WrongSettings
from ops.sink_app import SinkOptions

NEXT: Final = """\
Ninebell is up. Ctrl-C stops it; started again it goes on where it was.

  API        http://{listen}      documentation: http://{listen}/docs
  Sink       http://{sink}/sink/stats      what was delivered: {data}/sink.jsonl
  Data       {data}
"""
KEY: Final = """\
  API key    {key}
             It is shown this once. Keep it: export NINEBELL_API_KEY={key}
"""
TRY: Final = """\
Try next
  {ninebell} import {people}
  curl -H "Authorization: Bearer $NINEBELL_API_KEY" http://{listen}/v1/projections
  {ninebell} explain crm-0000002
"""


def run_up(settings: Settings, sink: SinkOptions) -> int:
    """Everything in one process, on the data directory's own database or on the one named in the settings."""
    configure_logs()
    console = Console(file=sys.stdout, highlight=False, soft_wrap=True)
    console.print("Starting PostgreSQL and the roles ...")

    def ready(key: str | None) -> None:
        where = {"listen": settings.listen, "sink": settings.sink_listen, "data": settings.data_dir}
        console.print(NEXT.format(**where), end="", markup=False)
        if key is not None:
            console.print(KEY.format(key=key), end="", markup=False)
        console.print(TRY.format(**where, ninebell=_myself(), people=sample_people()), end="", markup=False)
        sys.stdout.flush()

    run(ROLES, settings, owner=settings.embedded, sink=sink, ready=ready)
    console.print("Ninebell has stopped.")
    return 0


def _myself() -> str:
    """How this command was called: nobody has .venv/bin on their path after `make run`."""
    return sys.argv[0] if Path(sys.argv[0]).name == "ninebell" else "ninebell"


def sample_people() -> Path:
    """The export that comes with the tree, as it is called where the command was given."""
    file, here = Path(__file__).parents[1] / "tests" / "data" / "people-10k.csv", Path.cwd()
    return file.relative_to(here) if file.is_relative_to(here) else file


def run_roles(roles: tuple[str, ...], settings: Settings, sink: SinkOptions, autoscale: str = "", regions: str = "") -> int:
    """Some of the roles. Raises WrongSettings.

    `autoscale` is MIN:MAX, of worker processes in place of a worker here, `regions` those of the dispatcher, all if empty.
    """
    chosen = _chosen(roles, settings)
    worker = _supervisor(autoscale, chosen) if autoscale else run_worker
    led = _regions(regions, chosen)
    configure_logs()

    def ready(key: str | None) -> None:
        if key is not None:
            print(f"API key, shown this once: {key}")
        print(f"running: {' '.join(chosen)}", flush=True)

    run(chosen, settings, owner=False, sink=sink, ready=ready, worker=worker, regions=led)
    return 0


def _supervisor(autoscale: str, chosen: tuple[RoleName, ...]) -> Worker:
    from ops import autoscale as supervisor  # here, since its metrics would tell others nothing

    if chosen != ("worker",):
        raise WrongSettings("--autoscale is for the role worker alone: ninebell run worker --autoscale 2:20")
    return partial(supervisor.autoscale, bounds=supervisor.bounds_of(autoscale))


def _regions(named: str, chosen: tuple[RoleName, ...]) -> tuple[str, ...]:
    regions = tuple(dict.fromkeys(named.replace(",", " ").split()))
    if unknown := [region for region in regions if region not in REGIONS]:
        raise WrongSettings(f"{unknown[0]!r} is no region; there are: {' '.join(REGIONS)}")
    if regions and "dispatcher" not in chosen:
        raise WrongSettings("--regions is for the role dispatcher: ninebell run dispatcher --regions asia,oceania")
    return regions or REGIONS


def _chosen(roles: tuple[str, ...], settings: Settings) -> tuple[RoleName, ...]:
    known = get_args(RoleName)
    if not roles or (unknown := [role for role in roles if role not in known]):
        wrong = f"{unknown[0]!r} is not a role; " if roles else "say which roles to run; "
        raise WrongSettings(f"{wrong}there are: {' '.join(known)}")
    chosen: tuple[RoleName, ...] = tuple(role for role in known if role in roles)
    if settings.embedded and chosen != ("sink",):
        raise WrongSettings("DATABASE_URL must be given when roles run as processes of their own; `ninebell up` needs none")
    if not settings.amqp_url and len({"dispatcher", "worker"} & set(chosen)) == 1:
        raise WrongSettings("AMQP_URL must be given when dispatcher and worker run as processes of their own")
    return chosen
