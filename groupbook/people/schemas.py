"""What goes over the wire about people."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from groupbook.kit.http import Instant, Wire
from groupbook.kit.ids import to_wire
from groupbook.people.domain import Card, Device, Handoff, LoggedIn, payload_characters_max

Slug = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?$")]
HandoffRef = Annotated[str, StringConstraints(pattern=r"^hnd_[0-9a-f]{32}$")]


class OpenHandoff(Wire):
    """A frame asks for a login: its merchant, the page around it, its instance and its S256 challenge."""

    merchant: Slug
    embed_origin: Annotated[str, StringConstraints(max_length=255)]
    instance: Annotated[str, StringConstraints(min_length=16, max_length=64)]
    challenge: Annotated[str, StringConstraints(min_length=43, max_length=43)]


class HandoffOut(Wire):
    """Open `url` in a top-level window, in the same click."""

    id: HandoffRef
    url: str
    expires_at: Instant

    @classmethod
    def of(cls, handoff: Handoff, *, url: str) -> Self:
        return cls(id=to_wire("hnd", handoff.id), url=url, expires_at=handoff.expires_at)


class RedeemHandoff(Wire):
    """`code` is the window's code or the six characters it showed; `verifier` never left the frame before."""

    code: Annotated[str, StringConstraints(max_length=128)]
    verifier: Annotated[str, StringConstraints(max_length=128)]


class OpenLaunch(Wire):
    """The signed query string with which a network opened us, as received, without the question mark."""

    merchant: Slug
    payload: Annotated[str, StringConstraints(min_length=1, max_length=payload_characters_max)]


class PersonOut(Wire):
    """Somebody as others may see them. `kind` guest: a seat without an account."""

    id: Annotated[str, StringConstraints(pattern=r"^(psn|gst)_[0-9a-f]{32}$")]
    kind: Literal["person", "guest"]
    display_name: str
    initials: str
    avatar_url: str | None

    @classmethod
    def of(cls, card: Card) -> Self:
        return cls(
            id=to_wire("psn" if card.kind == "person" else "gst", card.id),
            kind=card.kind,
            display_name=card.display_name,
            initials=card.initials,
            avatar_url=card.avatar_url,
        )


class SessionOut(Wire):
    """A bearer token for the frame, to be kept in memory only, and whose it is."""

    token: str
    expires_at: Instant
    person: PersonOut
    start: Annotated[str | None, Field(description="The launch's signed start parameter.")]

    @classmethod
    def of(cls, login: LoggedIn) -> Self:
        person = login.person
        return cls(
            token=login.session.token,
            expires_at=login.session.expires_at,
            person=PersonOut.of(Card(person.id, "person", person.display_name, person.avatar_url)),
            start=login.start,
        )


class DeviceOut(Wire):
    """A session of yours. `kind`: `cookie` a browser you logged in with, `bearer` a frame on `embed_origin`, `guest` a
    browser that holds your seat. Nothing else is known of the device.
    """

    id: str
    kind: Literal["cookie", "bearer", "guest"]
    embed_origin: str | None
    since: Instant
    expires_at: Instant
    is_current: bool

    @classmethod
    def of(cls, one: Device) -> Self:
        return cls(
            id=to_wire("ses", one.id),
            kind=one.kind,
            embed_origin=one.embed_origin,
            since=one.since,
            expires_at=one.expires_at,
            is_current=one.is_current,
        )


class DevicesOut(Wire):
    data: list[DeviceOut]
