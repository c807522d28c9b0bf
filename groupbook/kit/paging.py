"""Cursor paging: stable order by id (UUIDv7, so by time), never a silent cap."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass
from typing import Generic, TypeVar
from uuid import UUID

from groupbook.kit.errors import Invalid

T = TypeVar("T")
LIMIT_DEFAULT = 20
LIMIT_MAX = 100


class InvalidCursor(Invalid):
    code = "invalid_cursor"


@dataclass(frozen=True)
class Slice(Generic[T]):
    """One page: `rows`, newest first, and the cursor of the next one (None at the end)."""

    rows: list[T]
    next_cursor: str | None


def encode_cursor(id: UUID) -> str:
    return base64.urlsafe_b64encode(id.bytes).decode().rstrip("=")


def decode_cursor(cursor: str | None) -> UUID | None:
    """The id after which to go on.

    Raises:
        InvalidCursor: not a cursor we gave out.
    """
    if cursor is None:
        return None
    try:
        return UUID(bytes=base64.urlsafe_b64decode(cursor.encode("ascii") + b"=="))
    except (ValueError, binascii.Error, UnicodeEncodeError) as error:
        raise InvalidCursor(pointer="/cursor") from error


def page(rows: list[T], ids: list[UUID], limit: int) -> Slice[T]:
    """Cut `limit + 1` fetched rows into a page; the extra row only says that there is more."""
    more = len(rows) > limit
    return Slice(rows[:limit], encode_cursor(ids[limit - 1]) if more else None)
