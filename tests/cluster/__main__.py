"""`make cluster`: several machines, of which one broker node and one dispatcher are killed on the way. Is nothing lost or twice?

Nine network namespaces: PostgreSQL and its replica, three nodes of RabbitMQ, three machines with roles, and the provider.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from contextlib import ExitStack, redirect_stdout, suppress
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread
from typing import TYPE_CHECKING

from tests.cluster.network import Network
from tests.cluster.servers import PostgresServer, RabbitClusterNode
from tests.e2e.conftest import master_key
from tests.e2e.evidence import Evidence
from tests.e2e.people import crowd, this_minute
from tests.e2e.processes import KEY, Site, until

if TYPE_CHECKING:
    from tests.e2e.processes import Program

PEOPLE = 5_000
BROKERS = ("mq1", "mq2", "mq3")
EAST, WEST = "asia,oceania", "americas,europe,africa"
PATIENCE_SECONDS = 300.0
QUERIES = ("/v1/dashboard/summary", "/v1/dashboard/timezones", "/v1/messages?limit=50", "/v1/users?limit=50")


class Asking:
    """Somebody looks at the dashboards all along."""

    def __init__(self, site: Site) -> None:
        self._site, self._stop = site, Event()
        self.answered, self.failed, self.slowest = 0, 0, 0.0
        self._thread = Thread(target=self._ask, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        while not self._stop.wait(0.05):
            path = QUERIES[(self.answered + self.failed) % len(QUERIES)]
            began = time.monotonic()
            status = 0
            with suppress(OSError):
                status = self._site.ask("GET", path).status
            self.slowest = max(self.slowest, time.monotonic() - began)
            self.answered += status == 200
            self.failed += status != 200


def main() -> int:
    """0 if all were sent, each once, and every query was answered; what the processes said is shown otherwise."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # all that was started is ended, too
    said = StringIO()
    try:
        with redirect_stdout(said):
            result = on_machines()
    except BaseException:
        print(said.getvalue())
        raise
    if result:
        print(said.getvalue())
    return result


def on_machines() -> int:
    with ExitStack() as held:
        home = Path(held.enter_context(TemporaryDirectory(prefix="ninebell-cluster-")))
        home.chmod(0o755)
        network = held.enter_context(Network(("db1", "db2", *BROKERS, "app1", "app2", "app3", "sink")))
        primary, replica = PostgresServer(home / "db1", network, "db1"), PostgresServer(home / "db2", network, "db2")
        held.callback(primary.stop)
        held.callback(replica.stop)
        nodes = [RabbitClusterNode(home / name, network, name, BROKERS) for name in BROKERS]
        for node in nodes:
            held.callback(node.kill)
            node.start()
        primary.start()
        replica.start(following=primary)
        nodes[0].wait_for_nodes(len(BROKERS))
        tell(f"PostgreSQL, its replica and {len(BROKERS)} nodes of RabbitMQ run")
        site = held.enter_context(site_on(home, network, primary, replica, nodes))
        return tried(site, network, primary, nodes)


def site_on(
    home: Path, network: Network, primary: PostgresServer, replica: PostgresServer, nodes: list[RabbitClusterNode]
) -> Site:
    site = Site(
        home,
        DATABASE_URL=primary.address,
        READ_DATABASE_URL=replica.address,
        AMQP_URL=",".join(node.url for node in nodes),
        NINEBELL_MASTER_KEY=master_key(),
    )
    site.api_host, site.sink_host = network.address("app1"), network.address("sink")
    site.environment["NINEBELL_LISTEN"] = f"{site.api_host}:{site.api_port}"
    site.environment["NINEBELL_SINK_LISTEN"] = f"{site.sink_host}:{site.sink_port}"
    return site


def tried(site: Site, network: Network, primary: PostgresServer, nodes: list[RabbitClusterNode]) -> int:
    def on(machine: str, *words: str) -> Program:
        return site.start_within(network.on(machine), "run", *words)

    on("sink", "sink", "--delay-ms", "20")
    api = on("app1", "api", "projections")
    on("app1", "worker")
    on("app2", "planner")
    on("app2", "worker")
    on("app3", "planner")
    east = on("app2", "dispatcher", "--regions", EAST).says("dispatcher/oceania: leading in epoch 1")
    on("app3", "dispatcher", "--regions", WEST).says("dispatcher/africa: leading in epoch 1")
    standby = on("app1", "dispatcher").says("running:")
    site.ready(api)
    until("queries to go to the replica", lambda: metric(site, "ninebell_replica_in_use") == 1)
    asking = Asking(site)

    report = site.ask("POST", "/v1/users/import", crowd(PEOPLE, this_minute()), media="text/csv").body
    assert report["accepted"] == PEOPLE, report
    site.until_sent(PEOPLE // 5, PATIENCE_SECONDS)
    nodes[0].kill()
    tell(f"node {BROKERS[0]} of RabbitMQ was killed with {site.stats()['keys']} sent")
    site.until_sent(PEOPLE * 2 // 5, PATIENCE_SECONDS)
    east.kill()
    killed_at = time.monotonic()
    tell(f"the dispatcher of {EAST} was killed with {site.stats()['keys']} sent")
    standby.until("the standby to lead", lambda: "dispatcher/oceania: leading in epoch 2" in standby.logged)
    tell(f"its standby led {time.monotonic() - killed_at:.0f} s later")
    site.until_sent(PEOPLE, PATIENCE_SECONDS)
    tell(f"all were sent {time.monotonic() - killed_at:.0f} s after it was killed")
    until("the audit to say so", lambda: audited(site, network)["sent"] == PEOPLE, PATIENCE_SECONDS)
    asking.stop()
    return told(site, Evidence(primary.address, site.data_dir / "sink.jsonl"), asking)


def told(site: Site, evidence: Evidence, asking: Asking) -> int:
    lost, twice = PEOPLE - len(evidence.calls), len(evidence.repeated)
    stood_in = metric(site, "ninebell_queries_stood_in")
    tell(f"{PEOPLE} messages: {lost} lost, {twice} twice, {len(evidence.doubts)} ever in doubt")
    tell(f"{asking.answered} queries answered, {asking.failed} not, the slowest in {asking.slowest:.2f} s;")
    tell(f"{stood_in:.0f} of them by the primary, replica {metric(site, 'ninebell_replica_behind_bytes'):.0f} bytes behind")
    return int(bool(lost or twice or asking.failed))


def metric(site: Site, name: str) -> float:
    """Of the API; 0 where it is not told."""
    text = site.ask("GET", "/metrics", key=KEY).body
    lines = [line for line in text.decode().splitlines() if line.startswith(name)]
    return float(lines[0].rpartition(" ")[2]) if lines else 0.0


def audited(site: Site, network: Network) -> dict[str, int]:
    audit = site.start_within(network.on("app1"), "audit", "--json")
    audit.ended(PATIENCE_SECONDS)
    total: dict[str, int] = json.loads(audit.printed)["total"]
    return total


def tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
