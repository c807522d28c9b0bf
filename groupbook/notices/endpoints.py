"""What a member is told, over HTTP: for the page, and for whoever builds another one."""

from __future__ import annotations

import base64
import binascii
import hmac
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import StringConstraints
from sqlalchemy.orm import Session
from starlette.routing import Route

from groupbook import trips
from groupbook.kit.callers import Caller
from groupbook.kit.database import Database
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.http import Call, Edge, Instant, Operation, Wire, operation
from groupbook.kit.http import routes as kit_routes
from groupbook.kit.i18n import negotiate, words
from groupbook.kit.ids import MemberId, TripId, to_wire
from groupbook.kit.sealing import Sealer
from groupbook.notices import service
from groupbook.notices.domain import Notice
from groupbook.notices.reminders import ReminderSettings, RemindersInvalid
from groupbook.notices.sentences import sentence
from groupbook.trips.domain import TripNotFound


@dataclass(frozen=True)
class NoticesDeps:
    """`bounce_secret`: what whoever hands in returned letters knows; empty: nobody does."""

    database: Database
    sealer: Sealer
    bounce_secret: str = ""


# What pages show: all but ONLY_BY_MAIL.
ShownCode = Literal[
    "trip_decided",
    "please_pay",
    "pay_reminder",
    "portion_declined",
    "tickets_ready",
    "part_taken",
    "nobody_charged",
    "booking_canceled",
    "money_back",
    "place_offered",
    "place_withdrawn",
    "place_missed",
    "place_unwanted",
    "place_taken",
    "waiting_over",
    "waiting_needless",
    "seat_opened",
]


class NoticeOut(Wire):
    """One thing you are told about a trip, in the language your request asks for; `code` never changes."""

    id: Annotated[str, StringConstraints(pattern=r"^ntc_[0-9a-f]{32}$")]
    code: ShownCode
    text: str
    created_at: Instant
    seen_at: Instant | None

    @classmethod
    def of(cls, notice: Notice, *, locale: str, trip: str) -> NoticeOut:
        return cls(
            id=to_wire("ntc", notice.id),
            code=cast("ShownCode", notice.code.value),
            text=sentence(words(locale), notice.code, trip=trip),
            created_at=notice.created_at,
            seen_at=notice.seen_at,
        )


class NoticeList(Wire):
    """What holds now, newest first; what a later notice made untrue is gone."""

    data: list[NoticeOut]


@operation("GET", "/v1/trips/{trip_id}/notices", auth="member", tags=["notices"], errors=(TripNotFound,))
async def list_notices(call: Call[NoticesDeps], trip_id: TripId) -> NoticeList:
    """What you are told about this trip"""
    locale = negotiate(call.request.headers.get("accept-language"))

    def read() -> NoticeList:
        with call.deps.database.begin(call.caller.merchant_id) as session:
            member_id = _member(session, trip_id, call.caller)
            title = trips.trip_of(session, trip_id).title
            found = service.notices_for(session, member_id, limit=20)
            return NoticeList(data=[NoticeOut.of(one, locale=locale, trip=title) for one in found])

    return await call.run(read)


@operation("POST", "/v1/trips/{trip_id}/notices/seen", auth="member", tags=["notices"], errors=(TripNotFound,))
async def mark_notices_seen(call: Call[NoticesDeps], trip_id: TripId) -> None:
    """Remember that you have seen them. Twice equals once"""

    def mark() -> None:
        with call.deps.database.begin(call.caller.merchant_id) as session:
            service.mark_seen(session, _member(session, trip_id, call.caller))

    await call.run(mark)


class BounceOut(Wire):
    """Whether the report says that the mailbox of one of our letters does not exist; anything else changes nothing."""

    address_refused: bool


@operation("POST", "/in/mail", auth="none", tags=["inbound"], errors=(Unauthenticated,))
async def receive_returned_mail(call: Call[NoticesDeps]) -> BounceOut:
    """Hand in a letter that came back, raw (RFC 3464), by HTTP Basic with the bounce secret as the password"""
    if not _knows(call.request.headers.get("authorization", ""), call.deps.bounce_secret):
        raise Unauthenticated()
    raw = await call.request.body()
    return BounceOut(address_refused=await call.run(service.receive_bounce, call.deps.database, call.deps.sealer, raw))


def _knows(authorization: str, secret: str) -> bool:
    scheme, _, given = authorization.partition(" ")
    try:
        password = base64.b64decode(given, validate=True).partition(b":")[2]
    except (binascii.Error, ValueError):
        return False
    return bool(secret) and scheme.lower() == "basic" and hmac.compare_digest(password, secret.encode())


def _member(session: Session, trip_id: TripId, caller: Caller) -> MemberId:
    member = trips.member_of(session, trip_id, caller)
    if member is None:
        raise TripNotFound()
    return member.id


class ReminderSettingsIn(Wire):
    """What you set yourself; leave a field out to keep to the house. Hours are the member's own, 0 to 23."""

    is_on: bool | None = None
    halfway: bool | None = None
    seconds_before: list[int] | None = None
    count_max: int | None = None
    quiet_from_hour: int | None = None
    quiet_until_hour: int | None = None


class ReminderSettingsOut(Wire):
    """When who was asked to pay and has not is reminded.

    Halfway to the deadline and `seconds_before` it, at most `count_max` times, never from `quiet_from_hour` to
    `quiet_until_hour` where the member is.
    """

    is_on: bool
    halfway: bool
    seconds_before: list[int]
    count_max: int
    quiet_from_hour: int
    quiet_until_hour: int

    @classmethod
    def of(cls, settings: ReminderSettings) -> ReminderSettingsOut:
        return cls(**settings.settings())


@operation("GET", "/v1/reminders", auth="merchant", scope="bookings:read", tags=["notices"])
async def read_reminders(call: Call[NoticesDeps]) -> ReminderSettingsOut:
    """Read when people are reminded to pay"""
    found = await call.run(service.read_reminders, call.deps.database, call.caller.merchant_id)
    return ReminderSettingsOut.of(found)


@operation(
    "PUT", "/v1/reminders", auth="merchant", scope="bookings:write", tags=["notices"], errors=(RemindersInvalid,)
)
async def change_reminders(call: Call[NoticesDeps], body: ReminderSettingsIn) -> ReminderSettingsOut:
    """Replace your own settings for reminders"""
    settings = body.model_dump(exclude_none=True)
    return ReminderSettingsOut.of(await call.run(service.change_reminders, call.deps.database, call.caller, settings))


OPERATIONS: list[Operation] = [
    list_notices,
    mark_notices_seen,
    read_reminders,
    change_reminders,
    receive_returned_mail,
]


def routes(deps: NoticesDeps, edge: Edge) -> list[Route]:
    return kit_routes(OPERATIONS, deps, edge)
