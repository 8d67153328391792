"""The burst on Dramatiq with RabbitMQ: `delay`, eight threads a worker, unconfirmed publishes, as its documentation starts it."""

from typing import Any, Final

import dramatiq
from dramatiq.brokers.rabbitmq import RabbitmqBroker

from infrastructure.clock import SystemClock
from ops.bench.peers.letters import Blocking, Letter, letters
from ops.bench.peers.words import Told, at_work, timed, told, until_told_to_end

THREADS: Final = 8
MILLISECONDS: Final = 1_000


def main(asked: Told) -> None:
    broker = RabbitmqBroker(url=asked.broker)
    dramatiq.set_broker(broker)
    calls = Blocking()

    @dramatiq.actor(actor_name="greet")
    def greet(letter: Letter) -> None:
        calls.post(asked.provider, letter)

    match asked.verb:
        case "schedule":
            timed(lambda: _schedule(greet, asked))
        case "work":
            worker = dramatiq.Worker(broker, worker_threads=THREADS)
            worker.start()
            at_work()
            until_told_to_end()
            worker.stop()


def _schedule(greet: Any, asked: Told) -> None:
    clock = SystemClock()
    for letter in letters(asked.messages):
        wait = asked.due_at - clock.now()
        greet.send_with_options(args=(letter,), delay=int(wait.total_seconds() * MILLISECONDS))


if __name__ == "__main__":
    main(told())
