"""On which machine, and with which versions, was something measured?"""

import platform
import subprocess
from pathlib import Path
from typing import Final

import psutil
from msgspec import Struct
from psycopg import Connection

GIGABYTE: Final = 1024**3


class Machine(Struct, frozen=True, kw_only=True):
    """What a number means nothing without."""

    system: str
    processor: str
    cores: int  # this process may use
    memory_gb: float
    load: float  # of the minute before, per core: what else ran here
    ninebell: str  # the commit, and whether anything was changed since
    python: str
    postgresql: str
    rabbitmq: str = "not used"


def this_machine(connection: Connection, rabbitmq: str = "not used") -> Machine:
    """As it is now."""
    row = connection.execute("SHOW server_version").fetchone()
    cores = len(psutil.Process().cpu_affinity()) if hasattr(psutil.Process, "cpu_affinity") else psutil.cpu_count() or 1
    return Machine(
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        cores=cores,
        memory_gb=round(psutil.virtual_memory().total / GIGABYTE, 1),
        load=round(psutil.getloadavg()[0] / cores, 2),
        ninebell=_commit(),
        python=platform.python_version(),
        postgresql=str(row[0]) if row else "unknown",
        rabbitmq=rabbitmq,
    )


def _commit() -> str:
    """Unknown where this is no clone, or git is not here."""
    asked = ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"]
    try:
        return subprocess.run(asked, cwd=Path(__file__).parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _processor() -> str:
    known = Path("/proc/cpuinfo")
    lines = known.read_text().splitlines() if known.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())
