"""Which other systems can be measured here? Installed from the package registries, apart from what Ninebell needs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from msgspec import Struct

from ops.bench.fingerprint import ROOT, fingerprint_of
from ops.bench.processes import ProcessFailed
from ops.bench.report import Tell

HERE: Final = "ops/bench/peers"
PYTHON: Final = ROOT / ".make" / "peers"
NODE: Final = ROOT / ".make" / "peers-node"
REQUIREMENTS: Final = f"{HERE}/requirements.txt"
GRAPHILE: Final = f"{HERE}/graphile"
STAMP: Final = "installed.stamp"


class Peer(Struct, frozen=True, kw_only=True):
    """A system that a team would pick instead."""

    name: str
    program: tuple[str, ...]  # to be followed by the words of `ops.bench.peers.words`
    version: str
    broker: bool = False  # it uses RabbitMQ


def installed(tell: Tell) -> tuple[list[Peer], list[str]]:
    """Those that can run here, and why others can't. Raises ProcessFailed where a registry does not answer."""
    _install_python(tell)
    versions = dict(line.split("==") for line in (ROOT / REQUIREMENTS).read_text().splitlines() if "==" in line)
    peers = [
        _python("PgQueuer", "pgqueuer", versions),
        _python("Procrastinate", "procrastinate", versions),
        _python("Celery", "celery", versions, broker=True),
        _python("Dramatiq", "dramatiq", versions, broker=True),
    ]
    missing = ["BullMQ (no Redis)"]
    if (node := shutil.which("node")) and shutil.which("npm"):
        _install_node(tell)
        version = json.loads((ROOT / GRAPHILE / "package.json").read_text())["dependencies"]["graphile-worker"]
        peers.append(Peer(name="Graphile Worker", program=(node, str(NODE / "burst.js")), version=version))
    else:
        missing.append("Graphile Worker (no Node)")
    return peers, missing


def _python(name: str, package: str, versions: dict[str, str], *, broker: bool = False) -> Peer:
    program = (str(PYTHON / "bin" / "python"), "-m", f"ops.bench.peers.on_{package}")
    return Peer(name=name, program=program, version=versions[package], broker=broker)


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
    stamp = NODE / fingerprint_of([GRAPHILE]) / STAMP
    if stamp.exists():
        return
    tell("installing Graphile Worker")
    shutil.rmtree(NODE, ignore_errors=True)
    shutil.copytree(ROOT / GRAPHILE, NODE)
    _run("npm", "ci", "--prefix", str(NODE), "--no-audit", "--no-fund", "--silent")
    _stamp(stamp)


def _stamp(file: Path) -> None:
    file.parent.mkdir(parents=True)
    file.touch()


def _run(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ProcessFailed(f"{Path(command[0]).name} ended with code {done.returncode}: {done.stderr[-1000:]}")
