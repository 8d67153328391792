"""How do tests run Ninebell as people do: processes told by their environment, seen from outside, killed with -9?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from http.client import HTTPConnection, HTTPException
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

from msgspec import Struct

from tests.servers import free_port

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

T = TypeVar("T")

ROOT = Path(__file__).parents[2]
LOOK_SECONDS, PATIENCE_SECONDS, END_SECONDS = 0.05, 60.0, 40.0
KEY = "a-key-for-tests"


class Answer(Struct, frozen=True):
    """An HTTP answer; the body is read as JSON where it is."""

    status: int
    headers: dict[str, str]
    body: Any


class Program:
    """One process. Whatever it prints goes into two files, which are read again and again while it runs."""

    def __init__(
        self,
        words: tuple[str, ...],
        environment: dict[str, str],
        printed: Path,
        module: str = "ops.cli",
        within: tuple[str, ...] = (),
    ) -> None:
        """`within` is the command that another is started by: on another machine, say."""
        self.words = words
        self._out, self._err = printed.with_suffix(".out"), printed.with_suffix(".err")
        with self._out.open("xb") as out, self._err.open("xb") as err:
            command = [*within, sys.executable, "-m", module, *words]
            self._process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out, stderr=err)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def printed(self) -> str:
        """On standard output, so far."""
        return self._out.read_text()

    @property
    def logged(self) -> str:
        """On standard error, so far."""
        return self._err.read_text()

    def until(self, what: str, found: Callable[[], T], seconds: float = PATIENCE_SECONDS) -> T:
        """What `found` gives once that is true. A process that has ended, or takes too long, fails the test."""
        return until(what, found, seconds, self)

    def says(self, text: str) -> Self:
        """Once it has printed or logged this."""
        self.until(f"{text!r} from {' '.join(self.words)}", lambda: text in self.printed + self.logged)
        return self

    def kill(self) -> None:
        """As kill -9 does."""
        self._process.kill()
        self._process.wait()

    def send(self, number: int) -> None:
        """A signal that it need not end by."""
        self._process.send_signal(number)

    def signal(self, number: int, seconds: float = END_SECONDS) -> int:
        """The exit code it ends with after this signal. Raises subprocess.TimeoutExpired."""
        self._process.send_signal(number)
        return self._process.wait(seconds)

    def ended(self, seconds: float = END_SECONDS) -> int:
        """The exit code it ends with by itself. Raises subprocess.TimeoutExpired."""
        return self._process.wait(seconds)


class Site:
    """One installation: what its processes are told, where they listen, and what they print."""

    def __init__(self, home: Path, **environment: str) -> None:
        """Processes are to find their data, and leave what they print, under `home`."""
        self.data_dir = home / "data"
        self._printed = home / "printed"
        self._printed.mkdir()
        self._numbers = count(1)
        self._running: list[Program] = []
        self.api_port, self.sink_port = free_port(), free_port()
        self.api_host = self.sink_host = "127.0.0.1"
        self.environment = {
            "PATH": os.environ.get("PATH", os.defpath),
            "NINEBELL_DATA_DIR": str(self.data_dir),
            "NINEBELL_LISTEN": f"127.0.0.1:{self.api_port}",
            "NINEBELL_SINK_LISTEN": f"127.0.0.1:{self.sink_port}",
            "NINEBELL_API_KEY": KEY,
            **environment,
        }

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Ends every process, and says what they said last: pytest shows that if the test has failed."""
        for program in self._running:
            program.kill()
            print(f"--- {' '.join(program.words)}\n{program.printed[-1000:]}{program.logged[-2000:]}")

    def start(self, *words: str, module: str = "ops.cli", **environment: str) -> Program:
        """`ninebell WORDS` as a process of its own, going on beside the test; an empty value takes a setting away."""
        return self._start(words, environment, module=module)

    def start_within(self, within: tuple[str, ...], *words: str) -> Program:
        """The same, by another command: on another machine, say."""
        return self._start(words, {}, within=within)

    def _start(self, words: tuple[str, ...], environment: dict[str, str], **how: Any) -> Program:
        told = {name: value for name, value in {**self.environment, **environment}.items() if value}
        program = Program(words, told, self._printed / f"{next(self._numbers):02}-{words[0]}", **how)
        self._running.append(program)
        return program

    def run(self, *words: str, **environment: str) -> Program:
        """The same, once it has ended by itself."""
        program = self.start(*words, **environment)
        program.ended(PATIENCE_SECONDS)
        return program

    def everything_printed(self) -> bytes:
        """By all processes that there were."""
        return b"".join(file.read_bytes() for file in sorted(self._printed.iterdir()))

    def copy_printed(self, directory: Path) -> None:
        """What each process printed so far, to a directory that is made for it."""
        shutil.copytree(self._printed, directory)

    def ask(self, method: str, path: str, body: Any = None, *, media: str = "application/json", key: str = KEY) -> Answer:
        """What the API answers. Raises OSError where nobody listens."""
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {key}", **({"Content-Type": media} if content else {})}
        return asked(self.api_port, method, path, content, headers, self.api_host)

    def ready(self, program: Program) -> None:
        """Once the API of this process says that it is."""
        program.until("readiness", lambda: self.readiness() == (200, "ready", ()))

    def readiness(self) -> tuple[int, str, tuple[str, ...]]:
        """What /readyz says; nothing where nobody listens."""
        try:
            answer = self.ask("GET", "/readyz")
        except OSError:
            return 0, "", ()
        return answer.status, answer.body["status"], tuple(answer.body.get("red", ()))

    def stats(self) -> dict[str, int]:
        """How many calls, keys and repeats the sink has seen."""
        stats: dict[str, int] = asked(self.sink_port, "GET", "/sink/stats", b"", {}, self.sink_host).body
        return stats

    def until_sent(self, keys: int, seconds: float = PATIENCE_SECONDS) -> None:
        """Once the sink has seen as many messages."""
        until(f"{keys} keys at the sink", lambda: self.stats()["keys"] >= keys, seconds)

    def until_caught_up(self, follower: str = "planner", seconds: float = PATIENCE_SECONDS) -> None:
        """Once this follower has read all there is."""
        until(f"{follower} to catch up", lambda: self.lags()[follower] == 0, seconds)

    def lags(self) -> dict[str, int]:
        """How many events each follower has still to read, as the API says."""
        return {item["name"]: item["lag_events"] for item in self.ask("GET", "/v1/projections").body["items"]}


def until(what: str, found: Callable[[], T], seconds: float = PATIENCE_SECONDS, program: Program | None = None) -> T:
    """What `found` gives once that is true: all there is to wait for in another process is to look again."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        if program is not None and not program.running:
            raise AssertionError(f"{' '.join(program.words)} ended while waiting for {what}:\n{program.logged[-2000:]}")
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(LOOK_SECONDS)
    return value


def asked(port: int, method: str, path: str, content: bytes, headers: dict[str, str], host: str = "127.0.0.1") -> Answer:
    """What a server answers. Raises OSError where nobody does, or not to the end."""
    connection = HTTPConnection(host, port, timeout=PATIENCE_SECONDS)
    try:
        connection.request(method, path, content or None, headers)
        response = connection.getresponse()
        raw = response.read()
    except HTTPException as error:
        raise ConnectionResetError from error
    finally:
        connection.close()
    is_json = "json" in response.headers.get("Content-Type", "")
    return Answer(response.status, dict(response.headers), json.loads(raw) if is_json and raw else raw)
