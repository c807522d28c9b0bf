"""Links in messages that work without a login: signed, bound to what they are for. Pure but for the key.

A token is a letter for its kind, ids, a mark of the address, and sixteen bytes that only our key makes. It holds no
address and tells nobody anything. It may be used again, what it does is the same the second time; but for the one that
opens a seat, which is good once and for half an hour.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from groupbook.kit.ids import MemberId, MerchantId
from groupbook.kit.sealing import Sealer
from groupbook.notices.domain import Address, MailLinkUnknown, Scope

_mark_bytes: Final = 16
token_characters_max: Final = 200
_STOP: Final = {Scope.REMINDERS: b"r", Scope.ALL: b"a"}


@dataclass(frozen=True, slots=True)
class StopLink:
    """Says no to messages at one address of one channel; `scope` is what the message it came in belongs to."""

    merchant_id: MerchantId
    channel: str
    mark: bytes
    scope: Scope


@dataclass(frozen=True, slots=True)
class AddressLink:
    """A member and the address they gave: the question whether it is theirs, or the way back to their seat."""

    merchant_id: MerchantId
    member_id: MemberId
    mark: bytes


@dataclass(frozen=True, slots=True)
class EntryLink:
    """Opens a seat, once: which one, and whether it was used, is in the row with this id."""

    merchant_id: MerchantId
    id: UUID


def address_mark(sealer: Sealer, merchant_id: UUID, channel: str, address: Address) -> bytes:
    """The address as opt-outs know it: the same for the same mailbox, whatever its letters' case."""
    key = (address.email or "").lower() if channel == "email" else f"{address.app_id}\x1f{address.subject}"
    return sealer.mark(f"address:{merchant_id}:{channel}", key.encode())


def stop_token(sealer: Sealer, link: StopLink) -> str:
    return _signed(sealer, _STOP[link.scope] + link.merchant_id.bytes + link.mark + link.channel.encode())


def confirm_token(sealer: Sealer, link: AddressLink) -> str:
    return _signed(sealer, b"c" + link.merchant_id.bytes + link.mark + link.member_id.bytes)


def seat_token(sealer: Sealer, link: AddressLink) -> str:
    """In every letter to a guest. It opens nothing: it has a link that does sent to that address."""
    return _signed(sealer, b"s" + link.merchant_id.bytes + link.mark + link.member_id.bytes)


def entry_token(sealer: Sealer, link: EntryLink) -> str:
    return _signed(sealer, b"e" + link.merchant_id.bytes + link.id.bytes)


def read_stop_token(sealer: Sealer, token: str) -> StopLink:
    """Raises MailLinkUnknown."""
    body = _opened(sealer, token)
    scope = next((scope for scope, kind in _STOP.items() if kind == body[:1]), None)
    if scope is None:
        raise MailLinkUnknown()
    rest = body[17:]
    return StopLink(MerchantId(UUID(bytes=body[1:17])), rest[_mark_bytes:].decode(), rest[:_mark_bytes], scope)


def read_confirm_token(sealer: Sealer, token: str) -> AddressLink:
    """Raises MailLinkUnknown."""
    return _address_link(sealer, token, b"c")


def read_seat_token(sealer: Sealer, token: str) -> AddressLink:
    """Raises MailLinkUnknown."""
    return _address_link(sealer, token, b"s")


def read_entry_token(sealer: Sealer, token: str) -> EntryLink:
    """Raises MailLinkUnknown."""
    body = _opened(sealer, token)
    if body[:1] != b"e":
        raise MailLinkUnknown()
    return EntryLink(MerchantId(UUID(bytes=body[1:17])), UUID(bytes=body[17:]))


def _address_link(sealer: Sealer, token: str, kind: bytes) -> AddressLink:
    body = _opened(sealer, token)
    if body[:1] != kind:
        raise MailLinkUnknown()
    rest = body[17:]
    return AddressLink(MerchantId(UUID(bytes=body[1:17])), MemberId(UUID(bytes=rest[_mark_bytes:])), rest[:_mark_bytes])


def _signed(sealer: Sealer, body: bytes) -> str:
    return base64.urlsafe_b64encode(body + sealer.mark("mail link", body)).decode().rstrip("=")


def _opened(sealer: Sealer, token: str) -> bytes:
    try:
        if len(token) > token_characters_max:
            raise MailLinkUnknown()
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        raise MailLinkUnknown() from None
    body, seal = raw[:-_mark_bytes], raw[-_mark_bytes:]
    if not hmac.compare_digest(seal, sealer.mark("mail link", body)):
        raise MailLinkUnknown()
    return body
