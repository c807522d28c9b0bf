"""Letters that come back: delivery status notifications (RFC 3464), read with the standard library. Pure.

A report counts only with the letter it is about, or that letter's headers, inside: our signed link to say stop names
the merchant and the address it went to. Nobody who did not get the letter has it, and no address is taken from the
report itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.errors import MessageError
from email.message import Message
from typing import Final

from groupbook.notices.domain import NO_MAILBOX

parts_max: Final = 50


@dataclass(frozen=True, slots=True)
class Bounce:
    """A letter that failed for good because its mailbox does not exist. `token` is the one in its link to say stop."""

    status: str
    token: str


def read_bounce(raw: bytes) -> Bounce | None:
    """What a report says of a mailbox; None where it says nothing for good: a delay, a full mailbox, a policy against
    us, an answer from somebody's holiday, or no report at all.
    """
    try:
        report = message_from_bytes(raw, policy=policy.default)
        if report.get_content_type() != "multipart/report":
            return None
        parts = list(_parts(report))
        status = next((found for part in parts if (found := _gone(part))), None)
        token = next((found for part in parts if (found := _token(part))), None)
    except (MessageError, ValueError, LookupError, AttributeError, RecursionError):
        return None  # what `email` cannot read is no report
    return Bounce(status, token) if status and token else None


def _parts(report: Message) -> Iterator[Message]:
    payload = report.get_payload()
    if isinstance(payload, list):
        yield from [part for part in payload if isinstance(part, Message)][:parts_max]


def _gone(part: Message) -> str | None:
    """RFC 3464 2.3: after the fields of the message one block per recipient; our letters have one."""
    blocks = part.get_payload()
    if part.get_content_type() != "message/delivery-status" or not isinstance(blocks, list):
        return None
    for block in blocks[1 : parts_max + 1]:
        if not isinstance(block, Message):
            continue
        action, status = str(block.get("Action", "")), str(block.get("Status", ""))
        code = status.split("(")[0].strip()
        if action.split("(")[0].strip().lower() == "failed" and code in NO_MAILBOX:
            return code
    return None


def _token(part: Message) -> str | None:
    """From the letter that came back, whole (message/rfc822) or its headers only (text/rfc822-headers, RFC 6522 3)."""
    if part.get_content_type() == "text/rfc822-headers":
        headers = part.get_payload(decode=True)
        letter: Message = message_from_bytes(headers if isinstance(headers, bytes) else b"", policy=policy.default)
    elif part.get_content_type() == "message/rfc822":
        inside = part.get_payload()
        if not isinstance(inside, list) or not inside or not isinstance(inside[0], Message):
            return None
        letter = inside[0]
    else:
        return None
    link = str(letter.get("List-Unsubscribe", "")).strip().strip("<>")
    return link.rpartition("/mail/")[2] or None
