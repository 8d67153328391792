"""Is every answer of a provider over HTTP read as the contract says, and silence told from refusal?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from uuid import uuid4

import msgspec
import pytest

from application.delivery_ports import Accepted, Ambiguous, Answer, NotAccepted, Rejected, Throttled
from infrastructure.channels.http import HttpChannel
from ops.sink_app import SinkOptions
from tests.contract.channel_kinds import ADA, BOB, EVA
from tests.provider import CUT, SILENCE, Reply, answer, provider, running_sink

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    OpenChannel = Callable[..., HttpChannel]

CODE = re.compile(r"[a-z_]+(:[0-9]{3})?")


@pytest.fixture
async def open_channel() -> AsyncIterator[OpenChannel]:
    """Makes channels that are closed after the test."""
    opened: list[HttpChannel] = []

    def make(
        url: str, *, idempotent: bool = True, bulk: int = 1, concurrency: int = 10, call_timeout_seconds: float = 10
    ) -> HttpChannel:
        channel = HttpChannel(
            "mail",
            url,
            idempotent=idempotent,
            bulk=bulk,
            concurrency=concurrency,
            call_timeout_seconds=call_timeout_seconds,
        )
        opened.append(channel)
        return channel

    yield make
    for channel in opened:
        await channel.close()


async def send(channel: HttpChannel, *, repeat: bool = False) -> Answer:
    return await channel.send(ADA, key=str(ADA.message_id), repeat=repeat)


async def test_a_letter_is_posted_as_json_under_its_message_id(open_channel: OpenChannel) -> None:
    async with provider(answer(200, b'{"id":"msg_1"}')) as told:
        assert await send(open_channel(told.url)) == Accepted(200, "msg_1")
    (request,) = told.requests
    assert request.head.startswith("POST /v1/send HTTP/1.1\r\n")
    assert f"Idempotency-Key: {ADA.message_id}\r\n" in request.head
    assert "Content-Type: application/json\r\n" in request.head
    assert request.body == {
        "email": "ada@example.org",
        "message": "Hey, Ada Łovelace it's your birthday",
        "subject": "Happy birthday!",
        "message_id": str(ADA.message_id),
        "type": "BIRTHDAY",
    }


ACCEPTED = {
    "an id": (answer(200, b'{"id":"msg_1","more":[1]}'), Accepted(200, "msg_1")),
    "a number for an id": (answer(201, b'{"id":17}'), Accepted(201, "17")),
    "nothing": (answer(204), Accepted(204)),
    "no JSON": (answer(202, b"queued"), Accepted(202)),
    "JSON of another shape": (answer(200, b'["id"]'), Accepted(200)),
    "bytes that are no text": (answer(200, b'{"id":"\xff"}'), Accepted(200)),
    "something that is no id": (answer(200, b'{"id":"Dear Ada, thank you"}'), Accepted(200)),
    "an address for an id": (answer(200, b'{"id":"ada@example.org"}'), Accepted(200)),
    "an address that is escaped": (answer(200, b'{"id":"ada%40example.org"}'), Accepted(200)),
    "an id of base64": (answer(200, b'{"id":"AAMkAGI2THVSAAA/x+y=="}'), Accepted(200, "AAMkAGI2THVSAAA/x+y==")),
    "an id with parts": (answer(200, b'{"id":"urn:msg_1-2.3"}'), Accepted(200, "urn:msg_1-2.3")),
    "an id without end": (answer(200, b'{"id":"' + 201 * b"1" + b'"}'), Accepted(200)),
    "a body that breaks off": (Reply(b'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"id":', hang_up=True), Accepted(200)),
}


@pytest.mark.parametrize(("reply", "meaning"), ACCEPTED.values(), ids=ACCEPTED)
async def test_a_success_is_an_acceptance_whatever_its_body(open_channel: OpenChannel, reply: Reply, meaning: Answer) -> None:
    async with provider(reply) as told:
        assert await send(open_channel(told.url)) == meaning


STATUSES = [
    # status, idempotent, repeat, meaning
    (400, True, False, Rejected("rejected:400")),
    (401, False, False, Rejected("rejected:401")),
    (404, True, True, Rejected("rejected:404")),
    (409, True, False, Rejected("rejected:409")),
    (422, False, False, Rejected("rejected:422")),
    (409, True, True, Ambiguous("key_conflict:409")),
    (422, False, True, Ambiguous("key_conflict:422")),
    (408, False, False, NotAccepted("not_accepted:408")),
    (425, True, True, NotAccepted("not_accepted:425")),
    (429, False, False, Throttled("throttled:429", None)),
    (500, False, False, NotAccepted("not_accepted:500")),
    (503, True, False, NotAccepted("not_accepted:503")),
    (502, True, False, NotAccepted("not_accepted:502")),
    (504, True, True, NotAccepted("not_accepted:504")),
    (502, False, False, Ambiguous("gateway:502")),
    (504, False, True, Ambiguous("gateway:504")),
    (302, True, False, NotAccepted("not_accepted:302")),
]


@pytest.mark.parametrize(("status", "idempotent", "repeat", "meaning"), STATUSES)
async def test_every_other_status_has_one_meaning(
    open_channel: OpenChannel, status: int, idempotent: bool, repeat: bool, meaning: Answer
) -> None:
    async with provider(answer(status, b"no such address: ada@example.org", Location="/elsewhere")) as told:
        found = await send(open_channel(told.url, idempotent=idempotent), repeat=repeat)
    assert found == meaning
    assert len(told.requests) == 1


RETRY_AFTER = {
    "seconds": (answer(429, Retry_After="17"), Throttled("throttled:429", 17.0)),
    "seconds on 503": (answer(503, Retry_After="0"), Throttled("throttled:503", 0.0)),
    "a date": (
        answer(429, Date="Mon, 01 Mar 2027 08:59:30 GMT", Retry_After="Mon, 01 Mar 2027 09:01:00 GMT"),
        Throttled("throttled:429", 90.0),
    ),
    "a date gone by": (
        answer(503, Date="Mon, 01 Mar 2027 09:01:01 GMT", Retry_After="Mon, 01 Mar 2027 09:01:00 GMT"),
        Throttled("throttled:503", 0.0),
    ),
    "a date without the provider's own": (
        answer(429, Retry_After="Mon, 01 Mar 2027 09:01:00 GMT"),
        Throttled("throttled:429", None),
    ),
    "nonsense": (answer(503, Date="yesterday", Retry_After="soon"), Throttled("throttled:503", None)),
    "no finite number": (answer(429, Retry_After="9" * 400), Throttled("throttled:429", None)),
}


@pytest.mark.parametrize(("reply", "meaning"), RETRY_AFTER.values(), ids=RETRY_AFTER)
async def test_a_provider_says_how_long_to_wait(open_channel: OpenChannel, reply: Reply, meaning: Answer) -> None:
    async with provider(reply) as told:
        assert await send(open_channel(told.url)) == meaning


@pytest.mark.timeout(10)
@pytest.mark.parametrize("idempotent", [True, False])
async def test_silence_after_the_request_may_be_an_acceptance(open_channel: OpenChannel, idempotent: bool) -> None:
    async with provider(SILENCE) as told:
        assert await send(open_channel(told.url, idempotent=idempotent, call_timeout_seconds=0.3)) == Ambiguous("timeout")
    assert len(told.requests) == 1


@pytest.mark.parametrize("idempotent", [True, False])
async def test_a_cut_after_the_request_may_be_an_acceptance_and_is_not_repeated(
    open_channel: OpenChannel, idempotent: bool
) -> None:
    async with provider(CUT, answer(200)) as told:
        assert await send(open_channel(told.url, idempotent=idempotent)) == Ambiguous("connection_cut")
    assert len(told.requests) == 1


@pytest.mark.parametrize("raw", [b"HTTP/1.1 2", b"SMTP ready\r\n\r\n", b"HTTP/1.1 99999 Odd\r\n\r\n"])
async def test_what_is_no_answer_may_be_an_acceptance(open_channel: OpenChannel, raw: bytes) -> None:
    async with provider(Reply(raw, hang_up=True)) as told:
        assert await send(open_channel(told.url)) == Ambiguous("connection_cut")


async def test_a_connection_closed_while_we_take_it_up_is_replaced_before_anything_is_written(open_channel: OpenChannel) -> None:
    async with provider(Reply(answer(200).raw, hang_up=True)) as told:
        channel = open_channel(told.url, idempotent=False)
        answers = [await send(channel) for _ in range(50)]
    assert set(answers) <= {Accepted(200), Ambiguous("connection_cut")}  # the latter if the request went out just before
    assert answers.count(Accepted(200)) == len(told.requests)


def bulk_answer(*results: object) -> Reply:
    return answer(200, msgspec.json.encode({"results": results}))


async def send_bulk(channel: HttpChannel, *, repeat: bool = False) -> list[Answer]:
    letters = [ADA, BOB, EVA]
    answers = await channel.send_bulk(letters, key="d/1", repeat=repeat)
    assert list(answers) == [letter.message_id for letter in letters]
    return list(answers.values())


async def test_many_letters_go_in_one_call_and_each_has_its_own_result(open_channel: OpenChannel) -> None:
    reply = bulk_answer(
        {"message_id": EVA.message_id, "status": 429},
        {"message_id": ADA.message_id, "status": 200, "id": "a"},
        {"message_id": BOB.message_id, "status": 400},
    )
    async with provider(reply) as told:
        answers = await send_bulk(open_channel(told.url, bulk=3))
    assert answers == [Accepted(200, "a"), Rejected("rejected:400"), Throttled("throttled:429", None)]
    (request,) = told.requests
    assert "Idempotency-Key: d/1\r\n" in request.head
    assert [message["email"] for message in request.body["messages"]] == [ADA.email, BOB.email, EVA.email]


DOUBTFUL = {
    "a letter without a result": (bulk_answer({"message_id": ADA.message_id, "status": 200}), "no_result"),
    "a result that can't be read": (
        bulk_answer({"message_id": ADA.message_id, "status": 200}, {"message_id": BOB.message_id, "status": "ok"}, 3),
        "no_result",
    ),
    "results of others": (
        bulk_answer({"message_id": uuid4(), "status": 400}, {"message_id": ADA.message_id, "status": 200}),
        "no_result",
    ),
    "a status that is none": (
        bulk_answer(
            {"message_id": ADA.message_id, "status": 200},
            {"message_id": BOB.message_id, "status": 7},
            {"message_id": EVA.message_id, "status": 99999},
        ),
        "no_status",
    ),
    "two results for one": (
        bulk_answer(
            {"message_id": ADA.message_id, "status": 200},
            *[{"message_id": letter.message_id, "status": status} for letter in (BOB, EVA) for status in (400, 200)],
        ),
        "two_results",
    ),
}


@pytest.mark.parametrize(("reply", "code"), DOUBTFUL.values(), ids=DOUBTFUL)
async def test_a_letter_of_which_nothing_clear_is_said_may_be_accepted(
    open_channel: OpenChannel, reply: Reply, code: str
) -> None:
    async with provider(reply) as told:
        answers = await send_bulk(open_channel(told.url, bulk=3))
    assert answers == [Accepted(200), Ambiguous(code), Ambiguous(code)]


@pytest.mark.parametrize("body", [b"", b"thanks", b'{"results":7}', b"\xff"])
async def test_a_success_without_results_may_be_all_accepted(open_channel: OpenChannel, body: bytes) -> None:
    async with provider(answer(200, body)) as told:
        assert await send_bulk(open_channel(told.url, bulk=3)) == [Ambiguous("no_result")] * 3


async def test_a_result_of_a_repeat_is_read_as_one(open_channel: OpenChannel) -> None:
    reply = bulk_answer(*[{"message_id": letter.message_id, "status": 409} for letter in (ADA, BOB, EVA)])
    async with provider(reply) as told:
        assert await send_bulk(open_channel(told.url, bulk=3), repeat=True) == [Ambiguous("key_conflict:409")] * 3


@pytest.mark.parametrize(
    ("reply", "meaning"),
    [
        (answer(429, Retry_After="9"), Throttled("throttled:429", 9.0)),
        (answer(413), Rejected("rejected:413")),
        (CUT, Ambiguous("connection_cut")),
    ],
)
async def test_the_answer_to_a_whole_call_holds_for_each_letter(open_channel: OpenChannel, reply: Reply, meaning: Answer) -> None:
    async with provider(reply) as told:
        assert await send_bulk(open_channel(told.url, bulk=3)) == [meaning] * 3


@pytest.mark.parametrize("status", [302, 400, 409, 429, 500, 502, 503])
@pytest.mark.parametrize("repeat", [True, False])
async def test_an_error_is_a_code_of_ours_and_quotes_nobody(open_channel: OpenChannel, status: int, repeat: bool) -> None:
    async with provider(answer(status, b"ada@example.org", Retry_After="ada@example.org")) as told:
        found = await send(open_channel(told.url, idempotent=False), repeat=repeat)
    assert not isinstance(found, Accepted)
    assert CODE.fullmatch(found.error)


SINK_MOODS = {
    "well": (SinkOptions(), Accepted(200, "sink-1")),
    "slow": (SinkOptions(delay_ms=5), Accepted(200, "sink-1")),
    "failing": (SinkOptions(error_rate=1), NotAccepted("not_accepted:500")),
    "throttling": (SinkOptions(throttle_rate=1), Throttled("throttled:429", 1.0)),
    "cutting": (SinkOptions(cut_rate=1), Ambiguous("connection_cut")),
}


@pytest.mark.parametrize(("options", "meaning"), SINK_MOODS.values(), ids=SINK_MOODS)
async def test_the_sink_plays_a_provider_in_every_mood(tmp_path: Path, options: SinkOptions, meaning: Answer) -> None:
    async with running_sink(tmp_path / "sink.jsonl", options) as url:
        channel = HttpChannel("sink", url, idempotent=True, bulk=1, concurrency=1, call_timeout_seconds=10)
        assert await send(channel) == meaning
        await channel.close()
    assert (tmp_path / "sink.jsonl").read_text().count("\n") == 1


async def test_the_sink_takes_letters_in_bulk(tmp_path: Path) -> None:
    async with running_sink(tmp_path / "sink.jsonl") as url:
        channel = HttpChannel("sink", url, idempotent=True, bulk=3, concurrency=1, call_timeout_seconds=10)
        assert await send_bulk(channel) == [Accepted(200, f"sink-1-{place}") for place in range(3)]
        await channel.close()
