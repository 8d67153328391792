"""Which exchanges and queues does the bus have on RabbitMQ?"""

from typing import Any, Final

from aio_pika import ExchangeType
from aio_pika.abc import AbstractChannel, AbstractQueue, AbstractRobustChannel, AbstractRobustExchange, AbstractRobustQueue

from domain.region import REGIONS

DELIVERY_LIMIT: Final = 20  # a command that came back as often is dead; its dispatch, if unstarted, is published afresh

MOST_LOOKS: Final = 1_000_000  # each look at a dead command counts as a delivery, and RabbitMQ 4 would drop it at the 20th
DEAD: Final[dict[str, Any]] = {"x-queue-type": "quorum", "x-delivery-limit": MOST_LOOKS}


async def declare_exchange(channel: AbstractRobustChannel, name: str) -> AbstractRobustExchange:
    """The topic exchange, and where its dead commands go; again after every reconnection of this channel."""
    await declare_dead(channel, name)
    return await channel.declare_exchange(name, ExchangeType.TOPIC, durable=True)


async def declare_dead(channel: AbstractChannel, name: str) -> AbstractQueue:
    """The dead-letter exchange of the topic exchange of this name, and its queue."""
    dead_exchange = await channel.declare_exchange(dead_name(name), ExchangeType.FANOUT, durable=True)
    dead_queue = await channel.declare_queue(dead_name(name), durable=True, arguments=DEAD)
    await dead_queue.bind(dead_exchange)
    return dead_queue


async def declare_queues(
    channel: AbstractRobustChannel, exchange: AbstractRobustExchange, send_channel: str
) -> list[AbstractRobustQueue]:
    """One queue for each region, in the order of REGIONS; again after every reconnection of this channel."""
    queues = []
    for region in REGIONS:
        queue = await channel.declare_queue(
            f"{exchange.name}.{routing_key(send_channel, region)}", durable=True, arguments=_arguments(exchange.name)
        )
        await queue.bind(exchange, routing_key(send_channel, region))
        queues.append(queue)
    return queues


def routing_key(send_channel: str, region: str) -> str:
    """Also the end of the queue's name."""
    return f"{send_channel}.{region}"


def dead_name(exchange: str) -> str:
    """Of both the dead-letter exchange and its queue."""
    return f"{exchange}.dead"


def _arguments(exchange: str) -> dict[str, str | int]:
    return {
        "x-queue-type": "quorum",
        "x-delivery-limit": DELIVERY_LIMIT,
        "x-dead-letter-exchange": dead_name(exchange),
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",  # without it the strategy is silently at-most-once
    }
