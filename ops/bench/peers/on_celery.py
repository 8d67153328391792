"""The burst on Celery with RabbitMQ: `eta`, as its documentation starts it: prefork, early acknowledgements, no confirms."""

from secrets import token_hex
from typing import Any, Final

from celery import Celery, signals

from ops.bench.peers.letters import Blocking, Letter, letters
from ops.bench.peers.words import Told, at_work, timed, told

PROCESSES: Final = 4  # of each worker


def app_of(asked: Told) -> tuple[Celery, Any]:
    app = Celery("bench", broker=asked.broker)
    app.conf.update(task_ignore_result=True, worker_redirect_stdouts=False, broker_connection_retry_on_startup=True)
    calls: list[Blocking] = []

    @app.task(name="greet")
    def greet(letter: Letter) -> None:
        if not calls:
            calls.append(Blocking())
        calls[0].post(asked.provider, letter)

    return app, greet


def main(asked: Told) -> None:
    app, greet = app_of(asked)
    match asked.verb:
        case "schedule":
            timed(lambda: _schedule(greet, asked))
        case "work":
            signals.worker_ready.connect(lambda **_: at_work(), weak=False)
            options = ["--concurrency", str(PROCESSES), "--loglevel", "ERROR", "--without-gossip", "--without-mingle"]
            app.worker_main(["worker", "--hostname", f"{token_hex(4)}@%h", *options])


def _schedule(greet: Any, asked: Told) -> None:
    for letter in letters(asked.messages):
        greet.apply_async((letter,), eta=asked.due_at)


if __name__ == "__main__":
    main(told())
