"""How does a follower learn at once that a log has grown, and never later than by its next poll?

A notification is a hint: one that is lost, or a connection that is cut, delays a follower by a second at most.
"""

import logging
from collections.abc import Iterable, Mapping
from threading import Condition, Event, Thread
from time import monotonic, sleep
from types import TracebackType
from typing import Final, Literal, Self

import psycopg
from psycopg import Connection

from application.ports import Log, StoreUnavailable
from infrastructure.database import Database, Row, translated

Topic = Log | Literal["asked"]
"""A log has grown; or somebody waits for a read model to show what stands in one."""
CHANNEL: Final[dict[Topic, str]] = {
    "users": "ninebell_users",
    "messages": "ninebell_messages",
    "dispatches": "ninebell_dispatches",
    "asked": "ninebell_asked",
}
TOPIC_OF: Final = {channel: topic for topic, channel in CHANNEL.items()}
POLL_SECONDS: Final = 1.0
QUIET_SECONDS: Final = 0.2
"""A log that was not announced for so long is taken to stand still."""
APART_SECONDS: Final = 0.02
"""Between two announcements of a process: in a herd there would be one an append, and each wakes every follower there is."""
RECONNECT_SECONDS: Final = 0.2
STOP_LOOK_SECONDS: Final = 0.2
MOST_RECONNECT_SECONDS: Final = 5.0
STOP_SECONDS: Final = 5.0

logger = logging.getLogger(__name__)


class _Daemon:
    """A thread that works on a connection of its own and makes a new one whenever that is lost, with growing patience."""

    def __init__(self, database: Database, name: str) -> None:
        self._database = database
        self._stopping = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)

    def start(self) -> Self:
        """Begin; a process does so once."""
        self._thread.start()
        return self

    def stop(self) -> None:
        """End the thread and its connection."""
        self._stopping.set()
        self._interrupt()
        if self._thread.is_alive():
            self._thread.join(STOP_SECONDS)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def _run(self) -> None:
        patience = RECONNECT_SECONDS
        while not self._stopping.is_set():
            try:
                with self._database.direct() as connection, translated():
                    patience = RECONNECT_SECONDS
                    self._work(connection)
            except (StoreUnavailable, psycopg.Error) as error:
                kind = type(error.__cause__ or error).__name__
                logger.warning("%s lost its connection (%s), next try in %.1f s", self._thread.name, kind, patience)
                self._stopping.wait(patience)
                patience = min(2 * patience, MOST_RECONNECT_SECONDS)

    def _work(self, connection: Connection[Row]) -> None:
        """Until told to stop. An error of the connection begins it anew on another."""
        raise NotImplementedError

    def _interrupt(self) -> None:
        """Wake the thread, so that it sees that it is to stop."""


class Hearing:
    """How often each topic was announced, for threads to wait on."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._generation: dict[Topic, int] = dict.fromkeys(CHANNEL, 0)

    def listener(self) -> "Listener":
        """What one follower waits on; every follower has its own."""
        return Listener(self)

    def poke(self, *topics: Topic) -> None:
        """Wake the followers of these topics in this process."""
        with self._changed:
            for topic in topics:
                self._generation[topic] += 1
            self._changed.notify_all()

    def heard(self) -> dict[Topic, int]:
        """How often each topic has been announced so far."""
        with self._changed:
            return dict(self._generation)

    def wait_beyond(self, heard: Mapping[Topic, int], timeout_seconds: float) -> bool:
        """Until one of these topics was announced more often than that, or False once the time is up."""
        with self._changed:
            return self._changed.wait_for(
                lambda: any(self._generation[topic] != times for topic, times in heard.items()), timeout_seconds
            )


class Announcer(_Daemon):
    """Tells everybody that logs have grown. NOTIFY commits under a lock of the whole server: so one for all appends so far."""

    def __init__(self, database: Database) -> None:
        super().__init__(database, "announcer")
        self.made_here = Hearing()
        """What this process announces, without a way round the server."""
        self._changed = Condition()
        self._topics: set[Topic] = set()

    def announce(self, topics: Iterable[Topic]) -> None:
        """Returns at once."""
        told = set(topics)
        self.made_here.poke(*told)
        with self._changed:
            self._topics.update(told)
            self._changed.notify()

    def _work(self, connection: Connection[Row]) -> None:
        connection.execute("SET synchronous_commit = off")  # a hint need not survive, so nobody waits for the disk
        while not self._stopping.is_set():
            with self._changed:
                self._changed.wait_for(lambda: self._topics or self._stopping.is_set())
                topics, self._topics = self._topics, set()
            try:
                channels = [CHANNEL[topic] for topic in topics]
                connection.execute("SELECT pg_notify(channel, '') FROM unnest(%s::text[]) AS channel", (channels,))
            except psycopg.Error:
                self.announce(topics)  # over the next connection
                raise
            self._stopping.wait(APART_SECONDS)

    def _interrupt(self) -> None:
        with self._changed:
            self._changed.notify()


class Wakeups(Hearing, _Daemon):
    """Hears the announcements of all processes, over one connection, for every follower in this one; from the first one on."""

    def __init__(self, database: Database) -> None:
        Hearing.__init__(self)
        _Daemon.__init__(self, database, "wakeups")

    def listener(self) -> "Listener":
        """What one follower waits on; every follower has its own. A process without any, as a worker's, is never woken."""
        with self._changed:
            if not self._thread.is_alive() and not self._stopping.is_set():
                self.start()
        return super().listener()

    def _work(self, connection: Connection[Row]) -> None:
        for channel in TOPIC_OF:
            connection.execute(f"LISTEN {channel}")
        self.poke(*CHANNEL)  # whatever was announced while nobody listened
        while not self._stopping.is_set():
            for notice in connection.notifies(timeout=STOP_LOOK_SECONDS, stop_after=1):
                self.poke(TOPIC_OF[notice.channel])


class Listener:
    """One follower's ear. What is announced while the follower is busy, or rests, makes its wait return at once after that."""

    def __init__(self, hearing: Hearing) -> None:
        self._hearing = hearing
        self._heard = hearing.heard()

    def wait(self, logs: Iterable[Log], timeout_seconds: float = POLL_SECONDS, rest_seconds: float = 0.0) -> None:
        """Until one of the logs was announced since the last wait, and a second at most: announcements can be lost.

        Not before `rest_seconds` are over, unless the time is up sooner: a busy log then comes in fewer, larger stretches.
        """
        timeout_seconds = min(timeout_seconds, POLL_SECONDS)
        rest_seconds = min(rest_seconds, timeout_seconds)
        sleep(rest_seconds)
        self._hearing.wait_beyond({log: self._heard[log] for log in logs}, timeout_seconds - rest_seconds)
        self._heard = self._hearing.heard()

    def rest(self, log: Log, seconds: float, stop: Event) -> None:
        """Let a busy log grow for so long, unless it stands still, somebody has asked since the last wait, or all is to stop."""
        until = monotonic() + seconds
        asked: dict[Topic, int] = {"asked": self._heard["asked"]}
        while not stop.is_set() and (left := until - monotonic()) > 0:
            before = self._hearing.heard()[log]
            if self._hearing.wait_beyond(asked, min(left, QUIET_SECONDS)) or self._hearing.heard()[log] == before:
                return
