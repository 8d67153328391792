"""Which other systems can be measured here? Installed from the package registries, apart from what Ninebell needs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, Literal

from msgspec import Struct

from ops.bench.fingerprint import ROOT, fingerprint_of
from ops.bench.processes import ProcessFailed
from ops.bench.redis import NAME, redis_version
from ops.bench.report import Tell

HERE: Final = "ops/bench/peers"
PYTHON: Final = ROOT / ".make" / "peers"
NODE: Final = ROOT / ".make" / "peers-node"
REQUIREMENTS: Final = f"{HERE}/requirements.txt"
FOR_NODE: Final = f"{HERE}/node"
STAMP: Final = "installed.stamp"
Server = Literal["PostgreSQL", "RabbitMQ", "Redis"]


class Peer(Struct, frozen=True, kw_only=True):
    """A system that a team would pick instead."""

    name: str
    program: tuple[str, ...]  # to be followed by the words of `ops.bench.peers.words`
    version: str
    server: Server = "PostgreSQL"  # that keeps its messages


def installed(tell: Tell) -> tuple[list[Peer], list[str]]:
    """Those that can run here, and why others can't. Raises ProcessFailed where a registry does not answer."""
    _install_python(tell)
    versions = dict(line.split("==") for line in (ROOT / REQUIREMENTS).read_text().splitlines() if "==" in line)
    peers = [
        _python("PgQueuer", "pgqueuer", versions),
        _python("Procrastinate", "procrastinate", versions),
        _python("Celery", "celery", versions, "RabbitMQ"),
        _python("Dramatiq", "dramatiq", versions, "RabbitMQ"),
    ]
    node = shutil.which("node") if shutil.which("npm") else None
    if not node:
        return peers, ["Graphile Worker (no Node)", "BullMQ (no Node)"]
    _install_node(tell)
    versions = json.loads((ROOT / FOR_NODE / "package.json").read_text())["dependencies"]
    peers.append(Peer(name="Graphile Worker", program=(node, str(NODE / "on_graphile.js")), version=versions["graphile-worker"]))
    if not (redis := redis_version()):
        return peers, [f"BullMQ (no {NAME})"]
    version = f"{versions['bullmq']} with Redis {redis}"
    peers.append(Peer(name="BullMQ", program=(node, str(NODE / "on_bullmq.js")), version=version, server="Redis"))
    return peers, []


def _python(name: str, package: str, versions: dict[str, str], server: Server = "PostgreSQL") -> Peer:
    program = (str(PYTHON / "bin" / "python"), "-m", f"ops.bench.peers.on_{package}")
    return Peer(name=name, program=program, version=versions[package], server=server)


def _install_python(tell: Tell) -> None:
    stamp = PYTHON / fingerprint_of([REQUIREMENTS], sys.version) / STAMP
    if stamp.exists():
        return
    tell("installing what the burst is compared with")
    shutil.rmtree(PYTHON, ignore_errors=True)
    _run(sys.executable, "-m", "venv", str(PYTHON))
    quiet = ("--quiet", "--disable-pip-version-check", "--no-deps")
    _run(str(PYTHON / "bin" / "python"), "-m", "pip", "install", *quiet, "-r", str(ROOT / REQUIREMENTS))
    _stamp(stamp)


def _install_node(tell: Tell) -> None:
    stamp = NODE / fingerprint_of([FOR_NODE]) / STAMP
    if stamp.exists():
        return
    tell("installing what the burst is compared with on Node")
    shutil.rmtree(NODE, ignore_errors=True)
    shutil.copytree(ROOT / FOR_NODE, NODE)
    _run("npm", "ci", "--prefix", str(NODE), "--no-audit", "--no-fund", "--silent")
    _stamp(stamp)


def _stamp(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.touch()


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessFailed(f"{Path(command[0]).name} ended with code {done.returncode}: {done.stderr[-1000:]}")
