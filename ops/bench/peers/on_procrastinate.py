"""The burst on Procrastinate: `schedule_at`, deferred in batches of a thousand, a hundred jobs at once."""

from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import uvloop
from procrastinate import App, PsycopgConnector

from ops.bench.peers.letters import Async, letters
from ops.bench.peers.words import Told, at_work, timed, told

A_CALL: Final = 1_000
AT_ONCE: Final = 100
POLL_SECONDS: Final = 0.5
CONNECTIONS: Final = 20


def app_of(asked: Told, calls: list[Async]) -> tuple[App, Any]:
    app = App(connector=PsycopgConnector(conninfo=asked.database, max_size=CONNECTIONS))

    @app.task(name="greet")
    async def greet(letter: dict[str, str]) -> None:
        await calls[0].post(asked.provider, letter)

    return app, greet


async def main(asked: Told) -> None:
    calls: list[Async] = []
    app, greet = app_of(asked, calls)
    async with app.open_async():
        match asked.verb:
            case "prepare":
                await app.schema_manager.apply_schema_async()
            case "schedule":
                for some in _batches(asked.messages):
                    await greet.configure(schedule_at=asked.due_at).batch_defer_async(*some)
            case "work":
                calls.append(Async())
                at_work()
                await app.run_worker_async(concurrency=AT_ONCE, fetch_job_polling_interval=POLL_SECONDS)


def _batches(messages: int) -> Iterator[list[Any]]:
    all_of_them = ({"letter": letter} for letter in letters(messages))
    while some := list(islice(all_of_them, A_CALL)):
        yield some


if __name__ == "__main__":
    if (asked := told()).verb == "schedule":
        timed(lambda: uvloop.run(main(asked)))
    else:
        uvloop.run(main(asked))
