"""Do the documents tell the truth: do README's commands run, and does every path named in ARCHITECTURE.md exist?"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.servers import free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
ROOTED = re.compile(r"(?<![\w./-])(?:domain|application|infrastructure|projections|api|ops|tests|docs|\.ci)/[\w./-]*")
BARE_FILE = re.compile(r"`([\w-]+\.(?:py|md|toml|csv|yaml|txt))`")
SHELL_BLOCK = re.compile(r"^```(?:sh|bash|shell)\n(.*?)^```", re.MULTILINE | re.DOTALL)
STOP_SECONDS = 30


def paths_named_in(text: str) -> list[str]:
    return sorted({path.rstrip(".") for path in ROOTED.findall(text)} | set(BARE_FILE.findall(text)))


def exists(path: str) -> bool:
    """A bare file name may stand anywhere in the tree."""
    places = (
        [ROOT / path] if "/" in path else [found for top in ROOT.iterdir() if top.name != ".venv" for found in find(top, path)]
    )
    return any(place.exists() for place in places)


def find(top: Path, name: str) -> list[Path]:
    return [top] if top.name == name else list(top.rglob(name))


def test_every_path_named_in_architecture_exists() -> None:
    named = paths_named_in((ROOT / "ARCHITECTURE.md").read_text())
    assert len(named) > 10
    assert [path for path in named if not exists(path)] == []


def test_make_alone_lists_the_targets() -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}  # of the make that runs us
    said = subprocess.run(["make"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True).stdout
    listed = [line.split()[:2] for line in said.splitlines()]
    assert {"run", "test", "check", "bench", "prove", "chaos", "clean"} <= {target for make, target in listed if make == "make"}


def readme_commands() -> list[str]:
    """Every line of README's shell blocks, continued lines joined, without comments and `make test`."""
    blocks = "".join(SHELL_BLOCK.findall((ROOT / "README.md").read_text())).replace("\\\n", " ")
    lines = [line.split(" #")[0].strip() for line in blocks.splitlines()]
    return [line for line in lines if line and not line.startswith("#") and line != "make test"]


@contextmanager
def running_ninebell(environment: dict[str, str], log: Path) -> Iterator[None]:
    """`make run` in a terminal of its own, ended by Ctrl-C."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", "run"], cwd=ROOT, env=environment, stdout=output, stderr=output, start_new_session=True
        )
        try:
            wait_until(lambda: is_ready(environment["NINEBELL_LISTEN"]), process, "make run")
            yield
        finally:
            os.killpg(process.pid, signal.SIGINT)
            process.wait(STOP_SECONDS)


def is_ready(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"http://{address}/readyz", timeout=5) as answer:
            return int(answer.status) == 200
    except urllib.error.HTTPError as error:
        error.close()
    except OSError:
        pass
    return False


@pytest.mark.timeout(300)
def test_every_command_in_the_readme_runs(tmp_path: Path) -> None:
    commands = readme_commands()
    assert "make run" in commands
    listen, sink = f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"
    text = "\n".join(line for line in commands if line != "make run")
    for default, here in (
        ("127.0.0.1:8080", listen),
        ("localhost:8080", listen),
        ("127.0.0.1:8081", sink),
        ("localhost:8081", sink),
    ):
        text = text.replace(default, here)
    text = text.replace("./.ninebell", ".ninebell").replace(".ninebell", str(tmp_path / "data"))
    own = {"NINEBELL_LISTEN": listen, "NINEBELL_SINK_LISTEN": sink, "NINEBELL_DATA_DIR": str(tmp_path / "data")}
    given = {name: value for name, value in os.environ.items() if name not in {"DATABASE_URL", "AMQP_URL"}}
    environment = {**given, **own, "NINEBELL_API_KEY": "nb_readme_key_for_this_test_only_000"}
    script = f'set -euo pipefail\ncurl() {{ command curl --fail-with-body --silent --show-error "$@"; }}\n{text}\n'
    log = tmp_path / "run.log"
    with running_ninebell(environment, log):
        run = subprocess.run(["bash", "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert run.returncode == 0, f"{run.stdout}\n{run.stderr}\n--- make run:\n{log.read_text()}"


def test_each_decision_has_a_number_of_its_own() -> None:
    records = sorted((ROOT / "docs" / "decisions").iterdir())
    numbers = [int(record.name[:4]) for record in records]
    assert numbers == list(range(1, len(records) + 1))
    titles = [record.read_text().split("\n", 1)[0] for record in records]
    assert all(title.startswith(f"# {number}. ") for number, title in zip(numbers, titles, strict=True)), titles
