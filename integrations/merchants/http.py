"""The `http` merchant adapter: groupbook's own merchant interface, JSON over HTTP, spoken by the demo agency.

A merchant without a standard of its own implements these calls (integrations/demo/rail/api.py documents them):
offers, seats, occasions; POST/GET/DELETE holds and orders by our reference; PATCH a hold to keep it longer, POST the
amendments of an order, or `amendments/price` to learn what one would come to; bearer token, Idempotency-Key. A merchant
without the three latter answers them with a refusal (`not_allowed`), or 404 or 405, which mean the same.

How answers are read: 404, 409 and 422 are refusals with a `code`; 503 and a connection that never opened attempted
nothing; every other failure of a write (a lost answer, 5xx) leaves the outcome unknown; a read has no outcome to lose.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, Final, TypeVar
from urllib.parse import quote
from uuid import UUID

import httpx2
from pydantic import TypeAdapter, ValidationError

from groupbook.kit import outbound
from groupbook.kit.database import forbid_in_transaction
from groupbook.kit.errors import Invalid, OutcomeUnknown, Unavailable
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.offers.domain import (
    Criteria,
    Leg,
    OccasionDraft,
    OfferDraft,
    PlaceChange,
    ReplaceMember,
    Reprice,
    Seat,
    Ticket,
)
from groupbook.offers.ports import (
    REFUSALS,
    ChangeTerms,
    Coach,
    ConfirmedOrder,
    HoldRequest,
    MerchantAdapter,
    MerchantRefused,
    ObservedHold,
    ObservedOrder,
    OrderChange,
    OrderRequest,
    PendingOrder,
    PlacedHold,
    PricedTraveler,
)

T = TypeVar("T")
_LEGS: Final = TypeAdapter(tuple[Leg, ...])
_CAPABILITIES: Final = TypeAdapter(Capabilities)
_NEVER_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_NONSENSE: Final = (ValueError, KeyError, TypeError, ValidationError, Invalid)
answer_bytes_max: Final = 5_000_000


def http_merchant(configuration: Mapping[str, Any]) -> MerchantAdapter:
    """The adapter of one merchant's connection: `base_url`, `token`, and optionally `capabilities`."""
    capabilities = _CAPABILITIES.validate_python(configuration.get("capabilities", {}))
    return _adapter(str(configuration["base_url"]), str(configuration["token"]), capabilities)


@lru_cache(maxsize=256)
def _adapter(base_url: str, token: str, capabilities: Capabilities) -> HttpMerchant:
    return HttpMerchant(base_url, token, capabilities)


class HttpMerchant:
    """One merchant behind `base_url`, for example `https://rail.example/api/v1`."""

    def __init__(self, base_url: str, token: str, capabilities: Capabilities | None = None) -> None:
        self._capabilities = capabilities or Capabilities()
        self._client = outbound.client(
            base_url.rstrip("/"), headers={"Authorization": f"Bearer {token}", "Accept": "application/json"}
        )

    def capabilities(self) -> Capabilities:
        return self._capabilities

    # --- reading -----------------------------------------------------------------------------------------------------

    def search(self, criteria: Criteria, *, timeout_seconds: float) -> tuple[OfferDraft, ...]:
        asked = {
            "origin": criteria.origin,
            "destination": criteria.destination,
            "on": criteria.on.isoformat() if criteria.on else "",
            "occasion": criteria.occasion_ref or "",
            "limit": str(criteria.limit),
        }
        found = self._read("/offers", timeout_seconds, {name: value for name, value in asked.items() if value})
        return _parsed(lambda: tuple(_offer(document) for document in found["data"]))

    def read_offer(self, ref: str, *, timeout_seconds: float) -> OfferDraft:
        document = self._read(f"/offers/{_segment(ref)}", timeout_seconds)
        return _parsed(lambda: _offer(document))

    def occasions(self, *, timeout_seconds: float) -> tuple[OccasionDraft, ...]:
        found = self._read("/occasions", timeout_seconds)
        return _parsed(lambda: tuple(_occasion(document) for document in found["data"]))

    def seat_map(self, offer_ref: str, *, timeout_seconds: float) -> tuple[Coach, ...]:
        found = self._read(f"/offers/{_segment(offer_ref)}/seats", timeout_seconds)
        return _parsed(
            lambda: tuple(
                Coach(coach["leg"], coach["name"], tuple(tuple(row) for row in coach["rows"]), frozenset(coach["free"]))
                for coach in found["data"]
            )
        )

    def observe_hold(self, our_ref: str, *, timeout_seconds: float) -> ObservedHold:
        try:
            document = self._read(f"/holds/{_segment(our_ref)}", timeout_seconds)
        except _Absent:
            return ObservedHold("absent")
        return _parsed(lambda: ObservedHold(document["state"], _placed(document)))

    def observe_order(self, our_ref: str, *, timeout_seconds: float) -> ObservedOrder:
        try:
            document = self._read(f"/orders/{_segment(our_ref)}", timeout_seconds)
        except _Absent:
            return ObservedOrder("absent")
        return _parsed(lambda: _observed(document))

    # --- writing -----------------------------------------------------------------------------------------------------

    def place_hold(self, request: HoldRequest, *, key: str, timeout_seconds: float) -> PlacedHold:
        body = {
            "our_ref": request.our_ref,
            "offer_ref": request.offer_ref,
            "total": _money(request.total),
            "travelers": [_traveler(traveler) for traveler in request.travelers],
            "hold_seconds": request.hold_seconds,
            "adjacent": request.adjacent,
            "fee": _money(request.fee) if request.fee else None,
        }
        document = self._write("POST", "/holds", key, timeout_seconds, body)
        placed = _understood(lambda: _placed(document))
        if document["state"] in ("expired", "released"):
            # The first hold of this reference, repeated, is over by now.
            raise MerchantRefused("hold_expired" if document["state"] == "expired" else "canceled")
        return placed

    def extend_hold(self, our_ref: str, *, until: datetime, key: str, timeout_seconds: float) -> PlacedHold:
        body = {"expires_at": until.astimezone(UTC).isoformat()}
        document = self._write("PATCH", f"/holds/{_segment(our_ref)}", key, timeout_seconds, body, may_lack=True)
        placed = _understood(lambda: _placed(document))
        if document["state"] != "live":
            raise MerchantRefused("canceled" if document["state"] == "released" else "hold_expired")
        return placed

    def release_hold(self, our_ref: str, *, key: str, timeout_seconds: float) -> None:
        self._write("DELETE", f"/holds/{_segment(our_ref)}", key, timeout_seconds)

    def confirm(self, order: OrderRequest, *, key: str, timeout_seconds: float) -> ConfirmedOrder | PendingOrder:
        body = {
            "our_ref": order.our_ref,
            "hold_ref": order.hold_ref,
            "offer_ref": order.offer_ref,
            "total": _money(order.total),
            "travelers": [_traveler(traveler) for traveler in order.travelers],
            "hold_fee": _money(order.hold_fee) if order.hold_fee else None,
        }
        document = self._write("POST", "/orders", key, timeout_seconds, body)
        if document.get("state") == "pending":
            return _understood(lambda: PendingOrder(document["merchant_ref"]))
        return _understood(lambda: _confirmed(document))

    def price_change(self, our_ref: str, change: PlaceChange, *, timeout_seconds: float) -> ChangeTerms:
        """A question, in a body: it changes nothing, so a lost answer leaves nothing unknown."""
        forbid_in_transaction("merchant read")
        path = f"/orders/{_segment(our_ref)}/amendments/price"
        try:
            response = self._client.post(path, json=_change(change), timeout=timeout_seconds)
        except httpx2.HTTPError as error:
            raise Unavailable(what="merchant", error=type(error).__name__) from error
        if response.status_code == 200:
            return _parsed(lambda: _terms(_object(response)))
        refusal = _refusal(response)
        if refusal in REFUSALS:
            raise MerchantRefused(refusal)  # type: ignore[arg-type]  # REFUSALS are the values of the Literal
        if response.status_code in (404, 405):
            raise MerchantRefused("not_allowed")
        raise Unavailable(what="merchant", status=response.status_code)

    def amend(self, our_ref: str, change: OrderChange, *, key: str, timeout_seconds: float) -> ConfirmedOrder:
        path = f"/orders/{_segment(our_ref)}/amendments"
        document = self._write("POST", path, key, timeout_seconds, _amendment(change), may_lack=True)
        return _understood(lambda: _amended(document))

    def cancel(self, our_ref: str, *, key: str, timeout_seconds: float) -> None:
        document = self._write("DELETE", f"/orders/{_segment(our_ref)}", key, timeout_seconds)
        if document.get("state") != "canceled":
            raise OutcomeUnknown(what="the merchant did not say canceled")

    # --- the wire ----------------------------------------------------------------------------------------------------

    def _read(self, path: str, timeout_seconds: float, params: Mapping[str, str] | None = None) -> dict[str, Any]:
        forbid_in_transaction("merchant read")
        try:
            response = self._client.get(path, params=params, timeout=timeout_seconds)
        except httpx2.HTTPError as error:
            raise Unavailable(what="merchant", error=type(error).__name__) from error
        if response.status_code != 200:
            refusal = _refusal(response)
            if refusal == "not_found":
                raise _Absent("offer_not_found")
            if refusal in REFUSALS:
                raise MerchantRefused(refusal)  # type: ignore[arg-type]  # REFUSALS are the values of the Literal
            raise Unavailable(what="merchant", status=response.status_code)
        return _parsed(lambda: _object(response))

    def _write(
        self,
        method: str,
        path: str,
        key: str,
        timeout_seconds: float,
        body: dict[str, Any] | None = None,
        *,
        may_lack: bool = False,
    ) -> dict[str, Any]:
        """With `may_lack`, an address that the merchant does not serve is a refusal: it does not do this."""
        forbid_in_transaction("merchant write")
        try:
            response = self._client.request(
                method, path, json=body, headers={"Idempotency-Key": key}, timeout=timeout_seconds
            )
        except _NEVER_SENT as error:
            raise Unavailable(what="merchant", error=type(error).__name__) from error
        except httpx2.HTTPError as error:
            raise OutcomeUnknown(what="merchant", error=type(error).__name__) from error
        if response.status_code in (200, 201):
            return _understood(lambda: _object(response))
        refusal = _refusal(response)
        if refusal in REFUSALS:
            raise MerchantRefused(refusal, new_total=_new_total(response))  # type: ignore[arg-type]  # as above
        if response.status_code == 503:
            raise Unavailable(what="merchant", status=503)
        if may_lack and response.status_code in (404, 405):
            raise MerchantRefused("not_allowed")
        if 400 <= response.status_code < 500:
            # Our request was not understood: nothing happened, and an operator has to look.
            raise Unavailable(what="merchant", status=response.status_code, problem=refusal)
        raise OutcomeUnknown(what="merchant", status=response.status_code)


class _Absent(MerchantRefused):
    """404 of a thing looked up by our own reference."""


def _segment(text: str) -> str:
    return quote(text, safe="")


def _object(response: httpx2.Response) -> dict[str, Any]:
    if len(response.content) > answer_bytes_max:
        raise ValueError("answer too long")
    document = response.json()
    if not isinstance(document, dict):
        raise ValueError("not an object")
    return document


def _refusal(response: httpx2.Response) -> str:
    try:
        return str(_object(response).get("code", ""))
    except ValueError:
        return ""


def _new_total(response: httpx2.Response) -> Money | None:
    try:
        return _read_money(_object(response)["new_total"])
    except _NONSENSE:
        return None  # the no stands without it


def _parsed(parse: Callable[[], T]) -> T:
    """What a read answered, or Unavailable: a merchant that talks nonsense told us nothing."""
    try:
        return parse()
    except _NONSENSE as error:
        raise Unavailable(what="merchant answer", error=type(error).__name__) from error


def _understood(parse: Callable[[], T]) -> T:
    """What a write answered, or OutcomeUnknown: it did something, and we could not read what."""
    try:
        return parse()
    except _NONSENSE as error:
        raise OutcomeUnknown(what="merchant answer", error=type(error).__name__) from error


def _money(money: Money) -> dict[str, Any]:
    return {"amount": money.minor, "currency": money.currency}


def _read_money(document: Mapping[str, Any]) -> Money:
    """Minor units as JSON's whole numbers: 49.9 is somebody's euros, and would be taken for 49 cents."""
    amount, currency = document["amount"], document["currency"]
    if type(amount) is not int or not isinstance(currency, str):
        raise ValueError("not an amount in minor units")
    return Money(amount, currency)


def _traveler(priced: PricedTraveler) -> dict[str, Any]:
    return {
        "key": priced.traveler.member_id.hex,
        "name": priced.traveler.name,
        "age": priced.traveler.age,
        "cards": list(priced.traveler.cards),
        "family": priced.family,
        "full_fare": _money(priced.full_fare),
        "price": _money(priced.price),
        "discounts": list(priced.discounts),
    }


def _instant(text: str) -> datetime:
    at = datetime.fromisoformat(text)
    if at.tzinfo is None:
        raise ValueError("naive instant")
    return at


def _offer(document: Mapping[str, Any]) -> OfferDraft:
    return OfferDraft(
        ref=document["ref"],
        title=document["title"],
        currency=document["currency"],
        legs=_LEGS.validate_python(document["legs"]),
        fares={family: _read_money(fare) for family, fare in document["fares"].items()},
        valid_until=_instant(document["valid_until"]),
        bookable=document["bookable"],
        seats_left=document.get("seats_left"),
        occasion_ref=document.get("occasion_ref"),
        tags=tuple(document.get("tags", ())),
        url=document.get("url", ""),
        image_url=document.get("image_url", ""),
    )


def _occasion(document: Mapping[str, Any]) -> OccasionDraft:
    return OccasionDraft(
        ref=document["ref"],
        title=document["title"],
        city=document["city"],
        zone=document["zone"],
        starts_at=_instant(document["starts_at"]),
        ends_at=_instant(document["ends_at"]),
        venue=document.get("venue", ""),
        url=document.get("url", ""),
        tags=tuple(document.get("tags", ())),
    )


def _seats(document: Mapping[str, Any]) -> tuple[Seat, ...]:
    return tuple(
        Seat(UUID(hex=seat["key"]), int(seat["leg"]), seat["coach"], seat["place"]) for seat in document["seats"]
    )


def _placed(document: Mapping[str, Any]) -> PlacedHold:
    return PlacedHold(document["merchant_ref"], _instant(document["expires_at"]), _seats(document))


def _confirmed(document: Mapping[str, Any]) -> ConfirmedOrder:
    if document["state"] != "confirmed":
        raise ValueError("not confirmed")
    tickets = tuple(Ticket(UUID(hex=ticket["key"]), ticket["number"], ticket["code"]) for ticket in document["tickets"])
    total = _read_money(document["total"]) if document.get("total") else None
    return ConfirmedOrder(document["merchant_ref"], _seats(document), tickets, total)


def _amended(document: Mapping[str, Any]) -> ConfirmedOrder:
    order = _confirmed(document)
    if order.total is None:
        raise ValueError("an amended order says what it costs")
    return order


def _observed(document: Mapping[str, Any]) -> ObservedOrder:
    state = document["state"]
    if state not in ("pending", "confirmed", "rejected", "canceled"):
        raise ValueError("unknown state")
    reason = document.get("reason", "sold_out")
    return ObservedOrder(
        state,
        _confirmed(document) if state == "confirmed" else None,
        str(document["merchant_ref"]),
        reason if reason in REFUSALS else "sold_out",
    )


def _terms(document: Mapping[str, Any]) -> ChangeTerms:
    until = document.get("until")
    return ChangeTerms(_read_money(document["total"]), None if until is None else _instant(until))


def _amendment(change: OrderChange) -> dict[str, Any]:
    asked = change.change
    body = {"our_ref": change.our_ref, "total_max": _money(change.total_max)}
    return body | ({"kind": "reprice"} if isinstance(asked, Reprice) else _change(asked))


def _change(asked: PlaceChange) -> dict[str, Any]:
    body: dict[str, Any] = {"key": asked.member_id.hex}
    if not isinstance(asked, ReplaceMember):
        return body | {"kind": "cancel"}
    by = {"key": asked.by.member_id.hex, "name": asked.by.name, "age": asked.by.age, "cards": list(asked.by.cards)}
    return body | {"kind": "replace", "by": by}
