"""How many people a second does an upload bring in, how soon are they found and planned, and does memory stay flat meanwhile?"""

import csv
import json
import secrets
from collections.abc import Sequence
from datetime import timedelta
from http.client import HTTPConnection
from pathlib import Path
from time import monotonic
from typing import Any, Final

from msgspec import Struct

from ops.bench.burst import costs, lags, servers
from ops.bench.deliveries import HOST, free_port
from ops.bench.ground import Ground, ground
from ops.bench.kept import repeated
from ops.bench.past import Past, people_of
from ops.bench.processes import Process, ProcessFailed, cpu_of, ninebell, running, until
from ops.bench.report import Found, Result, Setting, Tell, figures_of, telling
from ops.bench.weights import Weights
from ops.wiring import Parts

ROLES: Final = ("api", "planner", "projections")
TIMEOUT_SECONDS: Final = 900.0
COLUMNS: Final = ("external_id", "first_name", "last_name", "email", "timezone", "birthday")


class Door(Struct, frozen=True):
    """The HTTP API, and the key to it."""

    port: int
    key: str

    def upload(self, file: Path) -> dict[str, Any]:
        """A file of people, as a client streams it. Raises ProcessFailed unless the answer is 200."""
        headers = {"Content-Type": "text/csv", "Content-Length": str(file.stat().st_size)}
        with file.open("rb") as body:
            return self._asked("POST", "/v1/users/import", body, headers)

    def knows(self, external_id: str) -> bool:
        """Whether `GET /v1/users/{id}` answers for that person."""
        found = self._asked("GET", f"/v1/users?external_id={external_id}")["items"]
        return bool(found) and self._asked("GET", f"/v1/users/{found[0]['id']}")["external_id"] == external_id

    def _asked(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> dict[str, Any]:
        connection = HTTPConnection(HOST, self.port, timeout=TIMEOUT_SECONDS)
        try:
            connection.request(method, path, body, {"Authorization": f"Bearer {self.key}"} | (headers or {}))
            response = connection.getresponse()
            answer: dict[str, Any] = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ProcessFailed(f"{method} {path} was answered {response.status}")
        return answer


def measure(people: int, runs: int, tell: Tell) -> Result:
    """API, planner and projections as processes of their own. Raises ProcessFailed, PostgresNotStarted."""
    settings: dict[str, Setting] = {"people": people, "roles": ", ".join(ROLES)}
    series: dict[str, list[tuple[float, float]]] = {}
    with ground() as place:
        machine = place.machine()
        file = place.directory / "people.csv"
        _write(file, place, people)

        def one(run: int) -> Found:
            weights, found = _run(place, file, people, run, telling(tell, f"import: run {run + 1} of {runs}, "))
            series.update(weights.series)
            return found

        found = repeated("import", settings, runs, one)
        at = place.now()
    return Result(part="import", at=at, machine=machine, settings=settings, figures=figures_of(found), series=series)


def _run(place: Ground, file: Path, people: int, run: int, tell: Tell) -> tuple[Weights, Found]:
    name = f"import_{run}"
    door = Door(free_port(), secrets.token_urlsafe())
    told = {"NINEBELL_LISTEN": f"{HOST}:{door.port}", "NINEBELL_API_KEY": door.key}
    commands = {role: ninebell("run", role) for role in ROLES}
    with (
        place.fresh(name, **told) as (parts, environment),
        running(commands, environment, place.directory / name) as processes,
    ):
        for process in processes:
            process.until_it_says("running:")
        ours = {process.name: process.pid for process in processes}
        measured = ours | servers(place)
        before = cpu_of(measured)
        with Weights(ours) as weights:
            times = _times(parts, door, file, people, processes, tell)
        used = {name: after - before[name] for name, after in cpu_of(measured).items()}
    return weights, times | costs(used, people, "person") | weights.figures()


def _times(parts: Parts, door: Door, file: Path, people: int, processes: Sequence[Process], tell: Tell) -> Found:
    began = monotonic()
    tell("uploading", 0, people)
    if (report := door.upload(file))["accepted"] != people:
        raise ProcessFailed(f"{report['accepted']:,} of {people:,} people were accepted")
    accepted = monotonic()

    def read_by(follower: str) -> bool:
        behind = lags(parts).get(follower, people)
        tell(f"{behind:,} behind: {follower}", people - behind, people)
        return not behind

    until(lambda: read_by("users_view"), processes)
    if not door.knows(f"person-{people - 1}"):
        raise ProcessFailed("the last person is not found by the API")
    queryable = monotonic()
    until(lambda: read_by("planner"), processes)
    planned = monotonic()
    return {
        ("accepted", "people/s"): people / (accepted - began),
        ("accepted and queryable", "people/s"): people / (queryable - began),
        ("queryable after the answer", "s"): queryable - accepted,
        ("planned after the answer", "s"): planned - accepted,
        ("messages planned", "messages"): float(parts.store.head().messages),
    }


def _write(file: Path, place: Ground, people: int) -> None:
    """Over the zones as people are, and over the days of a year."""
    past = Past(people=people, messages=0, first=place.now().date() - timedelta(days=1), days=1)
    with file.open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(COLUMNS)
        for person in people_of(past):
            rows.writerow([getattr(person, column) for column in COLUMNS])
