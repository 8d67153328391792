"""Is readiness told whatever else is going on?"""

import threading
from concurrent.futures import ThreadPoolExecutor

from msgspec.structs import replace

from api.app import make_app
from tests.api.conftest import KEY, NOW, Town
from tests.api.serving import call, served
from tests.broken_streams import break_stream

A_LOOPS_THREADS = 40


def test_what_was_left_alone_is_in_the_metrics(town: Town) -> None:
    user_id = town.create()
    break_stream(town.store.database, "users", user_id, NOW)
    town.catch_up()
    watched = town.client_of(replace(town.service, dead_commands=lambda: 3)).get("/metrics").text
    assert 'ninebell_parked{follower="users_view"} 1.0' in watched
    assert 'ninebell_parked{follower="planner"} 1.0' in watched
    assert "ninebell_dead_commands 3.0" in watched
    assert "ninebell_dead_commands" not in town.client.get("/metrics").text, "nobody can tell"


def test_readiness_is_told_while_every_thread_waits_for_the_database(town: Town) -> None:
    waiting, back = threading.Semaphore(0), threading.Event()

    class SlowKeys:
        """The keys, of a database that does not answer yet."""

        def name_of(self, key: str) -> str | None:
            waiting.release()
            back.wait()
            return town.service.keys.name_of(key)

    asked = f"GET /v1/users HTTP/1.1\nHost: x\nAuthorization: Bearer {KEY}\nConnection: close"
    with served(make_app(replace(town.service, keys=SlowKeys()))) as port, ThreadPoolExecutor(A_LOOPS_THREADS) as clients:
        try:
            answers = [clients.submit(call, port, asked, end=False) for _ in range(A_LOOPS_THREADS)]
            for _ in answers:
                waiting.acquire()
            assert call(port, "GET /readyz HTTP/1.1\nHost: x\nConnection: close", end=False).startswith(b"HTTP/1.1 200 ")
        finally:
            back.set()
        assert all(answer.result().startswith(b"HTTP/1.1 200 ") for answer in answers)
