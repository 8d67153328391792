"""What do we write to a provider, and what does each of its answers mean?"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Final
from uuid import UUID

import msgspec
from msgspec import Raw, Struct

from application.delivery_ports import KEY_CONFLICT, Accepted, Ambiguous, Answer, Letter, NotAccepted, Rejected, Throttled

PROVIDER_ID: Final = re.compile(r"[A-Za-z0-9_.:/+=-]{1,200}")  # no address, whole or escaped, nor words
DELAY_SECONDS: Final = re.compile(r"[0-9]{1,9}")  # RFC 9110, 10.2.3


class LetterOnWire(Struct, frozen=True):
    email: str
    message: str
    subject: str
    message_id: UUID
    type: str


class LettersOnWire(Struct, frozen=True):
    messages: list[LetterOnWire]


class Receipt(Struct, frozen=True):
    """What of a 2xx body is of use to us."""

    id: str | int = ""


class Results(Struct, frozen=True):
    results: list[Raw]


class Result(Struct, frozen=True):
    message_id: UUID
    status: int
    id: str | int = ""


class Found(Struct, frozen=True):
    """What a provider says of a message it has been asked about."""

    status: int
    id: str | int = ""


class Reply(Struct, frozen=True):
    """A provider's answer to one call; its body is empty when it was cut or longer than anything we asked for."""

    status: int
    headers: Mapping[str, str]  # their names in lower case
    body: bytes


class Terms(Struct, frozen=True):
    """Under which a status is read: does the provider deduplicate by key, and may it have seen this key before?"""

    idempotent: bool
    repeat: bool


_encode: Final = msgspec.json.Encoder().encode
_receipt: Final = msgspec.json.Decoder(Receipt).decode


def encode_single(letter: Letter) -> bytes:
    return _encode(_on_wire(letter))


def encode_bulk(letters: Sequence[Letter]) -> bytes:
    return msgspec.json.encode(LettersOnWire([_on_wire(letter) for letter in letters]))


def read_single(reply: Reply, terms: Terms) -> Answer:
    """The answer to a call for one message."""
    if not _is_success(reply.status):
        return read_status(reply.status, reply.headers, terms)
    try:
        return Accepted(reply.status, _provider_id(_receipt(reply.body).id))
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Accepted(reply.status)  # the status says it was taken, whatever the rest


def read_bulk(reply: Reply, asked: Sequence[UUID], terms: Terms) -> dict[UUID, Answer]:
    """The answer for each message asked for: that of the call, or its own result; without one it may have been accepted."""
    if not _is_success(reply.status):
        return dict.fromkeys(asked, read_status(reply.status, reply.headers, terms))
    results = _results(reply.body)
    times = Counter(result.message_id for result in results)
    answers: dict[UUID, Answer] = dict.fromkeys(asked, Ambiguous("no_result"))
    for result in results:
        if result.message_id in answers:
            once = times[result.message_id] == 1
            answers[result.message_id] = _read_result(result, terms) if once else Ambiguous("two_results")
    return answers


def read_lookup(reply: Reply) -> Accepted | NotAccepted | Ambiguous:
    """Whether the provider has the message it was asked about. 404 alone says that it has never taken it, nor will."""
    if reply.status == 404:
        return NotAccepted("never_taken")
    if not _is_success(reply.status):
        return Ambiguous(f"lookup:{reply.status}")
    try:
        found = msgspec.json.decode(reply.body, type=Found)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return Ambiguous("lookup_unclear")
    return Accepted(found.status, _provider_id(found.id)) if _is_success(found.status) else Ambiguous("lookup_unclear")


def read_status(status: int, headers: Mapping[str, str], terms: Terms) -> Answer:
    """What a status other than 2xx means. The code names the status, never what the provider wrote."""
    match status:
        case 429:
            return Throttled(f"throttled:{status}", retry_after_seconds(headers))
        case 503 if "retry-after" in headers:
            return Throttled(f"throttled:{status}", retry_after_seconds(headers))
        case 502 | 504 if not terms.idempotent:
            return Ambiguous(f"gateway:{status}")
        case 409 | 422 if terms.repeat:
            return Ambiguous(f"{KEY_CONFLICT}:{status}")
        case 408 | 425:
            return NotAccepted(f"not_accepted:{status}")
        case _ if 400 <= status < 500:
            return Rejected(f"rejected:{status}")
        case _:
            return NotAccepted(f"not_accepted:{status}")


def retry_after_seconds(headers: Mapping[str, str]) -> float | None:
    """Seconds asked for by Retry-After; a date is read against the answer's own Date, so that no clock of ours matters.

    None when absent or not to be read.
    """
    asked = headers.get("retry-after", "").strip()
    if DELAY_SECONDS.fullmatch(asked):
        return float(asked)
    try:
        wait = parsedate_to_datetime(asked) - parsedate_to_datetime(headers.get("date", ""))
    except (ValueError, TypeError, OverflowError):
        return None
    return max(0.0, wait.total_seconds())


def _on_wire(letter: Letter) -> LetterOnWire:
    return LetterOnWire(letter.email, letter.body, letter.subject, letter.message_id, letter.message_type)


def _results(body: bytes) -> list[Result]:
    """Those that can be read: one that can't counts as missing, and spoils no other."""
    try:
        raws = msgspec.json.decode(body, type=Results).results
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return []
    return [result for raw in raws if (result := _result(raw))]


def _result(raw: Raw) -> Result | None:
    try:
        return msgspec.json.decode(raw, type=Result)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _read_result(result: Result, terms: Terms) -> Answer:
    if _is_success(result.status):
        return Accepted(result.status, _provider_id(result.id))
    if not 300 <= result.status < 600:
        return Ambiguous("no_status")
    return read_status(result.status, {}, terms)


def _is_success(status: int) -> bool:
    return 200 <= status < 300


def _provider_id(found: str | int) -> str:
    """Kept only when it looks like an ID: it is stored in clear, and stays when the person is erased."""
    text = str(found)
    return text if PROVIDER_ID.fullmatch(text) else ""
