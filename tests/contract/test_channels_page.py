"""Are the examples of docs/channels.md what is really written to a provider, and do its answers mean what is said there?"""

import json
import re
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from msgspec import Struct

from application.delivery_ports import Accepted, Letter, Throttled
from infrastructure.channels.http_wire import Reply, Terms, encode_bulk, encode_single, read_bulk, read_lookup, read_single

PAGE: Final = Path(__file__).parents[2] / "docs" / "channels.md"
BLOCK: Final = re.compile(r"^```http\n(.*?)^```", re.MULTILINE | re.DOTALL)
FIRST: Final = Terms(idempotent=True, repeat=False)


class Block(Struct, frozen=True):
    """One message of HTTP."""

    start: str
    headers: dict[str, str]
    body: bytes

    @property
    def said(self) -> Any:
        return json.loads(self.body)

    @property
    def reply(self) -> Reply:
        return Reply(int(self.start.split()[1]), self.headers, self.body)


def blocks() -> list[Block]:
    found = []
    for text in BLOCK.findall(PAGE.read_text()):
        head, _, body = text.partition("\n\n")
        start, *lines = head.splitlines()
        found.append(Block(start, dict(line.split(": ") for line in lines), body.encode()))
    return found


def letter(said: dict[str, str]) -> Letter:
    return Letter(UUID(said["message_id"]), said["type"], said["email"], said["subject"], said["message"])


def test_the_examples_are_what_is_written_and_read() -> None:
    single, taken, bulk, results, question, found = blocks()
    assert json.loads(encode_single(letter(single.said))) == single.said
    assert single.headers["Idempotency-Key"] == single.said["message_id"]
    assert read_single(taken.reply, FIRST) == Accepted(200, "msg_8Qk2")
    letters = [letter(said) for said in bulk.said["messages"]]
    assert json.loads(encode_bulk(letters)) == bulk.said
    ada, bob = (one.message_id for one in letters)
    assert read_bulk(results.reply, [ada, bob], FIRST) == {
        ada: Accepted(200, "msg_8Qk2"),
        bob: Throttled("throttled:429", None),
    }
    assert question.start == f"GET /v1/send/{ada} HTTP/1.1"
    assert read_lookup(found.reply) == Accepted(200, "msg_8Qk2")
