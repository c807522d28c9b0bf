"""Holds and orders in the agency's books. Every function works inside one open transaction.

The agency keeps the caller's reference for good: the same reference never acts twice, and a release or a cancellation
is a tombstone, so that whatever arrives later under that reference is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from integrations.demo.rail import provoke
from integrations.demo.rail.seats import Place, allocate
from integrations.demo.rail.timetable import CURRENCY, Product, find, free_places, take_places

party_max: Final = 60


class No(Exception):
    """The agency refuses. `code` is what the caller reads."""

    def __init__(self, code: str, *, status: int = 409, **more: Any) -> None:
        super().__init__(code)
        self.code = code
        self.status = status
        self.more = more


@dataclass(frozen=True, slots=True)
class Desk:
    """The open transaction, the time, and what this call shall suffer."""

    connection: sqlite3.Connection
    now: int
    secret: bytes
    hold_seconds_max: int
    suffers: str | None = None


def product(connection: sqlite3.Connection, ref: str) -> Product:
    sold = find(connection, ref)
    if sold is None:
        raise No("offer_not_found", status=404)
    return sold


# --- holds ----------------------------------------------------------------------------------------------------------


def place_hold(desk: Desk, body: dict[str, Any]) -> dict[str, Any]:
    """Keep places for everybody or for nobody; the same `our_ref` gives the first hold."""
    known = _hold(desk, body["our_ref"])
    if known is not None:
        if known["state"] == "released":
            raise No("canceled")
        return hold_answer(known, desk.now)
    sold = product(desk.connection, body["offer_ref"])
    _check_party(desk, sold, body)
    if desk.suffers == "sold_out":
        raise No("sold_out")
    seconds = provoke.short_hold_seconds if desk.suffers == "short_hold" else int(body["hold_seconds"])
    seats = _seat(desk, sold, [traveler["key"] for traveler in body["travelers"]], owner=body["our_ref"])
    merchant_ref = number("H", body["our_ref"])
    expires = desk.now + min(seconds, desk.hold_seconds_max)
    desk.connection.execute(
        "INSERT INTO hold VALUES (?, ?, 'live', ?, ?, ?, ?)",
        (body["our_ref"], merchant_ref, json.dumps(body), json.dumps(seats), expires, desk.now),
    )
    return hold_answer(_hold(desk, body["our_ref"]), desk.now)


def extend_hold(desk: Desk, our_ref: str, until: int) -> dict[str, Any]:
    """Keep the places until then, or for as long as we keep any; never shorter than agreed."""
    known = _hold(desk, our_ref)
    if known is None or known["state"] == "released":
        raise No("canceled")
    if known["state"] != "live" or known["expires"] <= desk.now or desk.suffers == "hold_expired":
        raise No("hold_expired")
    if desk.suffers == "not_allowed":
        raise No("not_allowed")
    expires = max(known["expires"], min(until, known["created"] + desk.hold_seconds_max))
    desk.connection.execute("UPDATE hold SET expires = ? WHERE our_ref = ?", (expires, our_ref))
    return hold_answer(_hold(desk, our_ref), desk.now)


def release_hold(desk: Desk, our_ref: str) -> dict[str, Any]:
    """Let the places go and keep a tombstone. What an order consumed stays with the order."""
    known = _hold(desk, our_ref)
    if known is None:
        desk.connection.execute(
            "INSERT INTO hold VALUES (?, ?, 'released', '{}', '[]', ?, ?)",
            (our_ref, number("H", our_ref), desk.now, desk.now),
        )
    elif known["state"] == "live":
        desk.connection.execute("UPDATE hold SET state = 'released' WHERE our_ref = ?", (our_ref,))
        desk.connection.execute("DELETE FROM place WHERE owner = ?", (our_ref,))
    return hold_answer(_hold(desk, our_ref), desk.now)


def read_hold(desk: Desk, our_ref: str) -> dict[str, Any]:
    known = _hold(desk, our_ref)
    if known is None:
        raise No("not_found", status=404)
    return hold_answer(known, desk.now)


def expire_holds(connection: sqlite3.Connection, now: int) -> None:
    """Give back the places of holds whose time is over."""
    overdue = "SELECT our_ref FROM hold WHERE state = 'live' AND expires <= ?"
    connection.execute(f"DELETE FROM place WHERE owner IN ({overdue})", (now,))
    connection.execute("UPDATE hold SET state = 'expired' WHERE state = 'live' AND expires <= ?", (now,))


def hold_answer(row: sqlite3.Row | None, now: int) -> dict[str, Any]:
    if row is None:
        raise No("not_found", status=404)
    state = "expired" if row["state"] == "live" and row["expires"] <= now else row["state"]
    return {
        "our_ref": row["our_ref"],
        "merchant_ref": row["merchant_ref"],
        "state": state,
        "expires_at": wire_time(row["expires"]),
        "seats": json.loads(row["seats"]),
    }


# --- orders ---------------------------------------------------------------------------------------------------------


def confirm(desk: Desk, body: dict[str, Any]) -> dict[str, Any]:
    """Sell to everybody at the agreed total, or for less, or to nobody; the same `our_ref` gives the first order."""
    known = sale(desk, body["our_ref"])
    if known is not None:
        if known["state"] == "canceled":
            raise No("canceled")
        return order_answer(known, desk.now)
    sold = product(desk.connection, body["offer_ref"])
    hold = _hold_to_consume(desk, body["hold_ref"])
    total = _check_party(desk, sold, body, held=hold is not None)
    if desk.suffers == "sold_out":
        raise No("sold_out")
    if any(not traveler["name"].strip() for traveler in body["travelers"]):
        raise No("invalid_traveler", field="name")
    keys = [traveler["key"] for traveler in body["travelers"]]
    kept = _consume(desk, sold, hold, keys, body["our_ref"]) if hold else []
    missing = [key for key in keys if key not in {seat["key"] for seat in kept}]
    seats = kept + (_seat(desk, sold, missing, owner=body["our_ref"]) if missing else [])
    merchant_ref = number("KR", body["our_ref"])
    tickets = [ticket(desk, merchant_ref, index, key) for index, key in enumerate(keys, start=1)]
    ready = desk.now + provoke.pending_seconds if desk.suffers == "pending" else desk.now
    desk.connection.execute(
        "INSERT INTO sale VALUES (?, ?, 'confirmed', ?, ?, ?, ?, ?, ?, ?)",
        (
            body["our_ref"],
            merchant_ref,
            body["hold_ref"],
            json.dumps(body),
            json.dumps(seats),
            json.dumps(tickets),
            desk.now,
            total,
            ready,
        ),
    )
    return order_answer(sale(desk, body["our_ref"]), desk.now)


def cancel(desk: Desk, our_ref: str) -> dict[str, Any]:
    """Take the order back and keep a tombstone, whether or not a confirm ever came."""
    known = sale(desk, our_ref)
    if known is None:
        desk.connection.execute(
            "INSERT INTO sale VALUES (?, ?, 'canceled', NULL, '{}', '[]', '[]', ?, 0, 0)",
            (our_ref, number("KR", our_ref), desk.now),
        )
    elif known["state"] == "confirmed":
        desk.connection.execute("UPDATE sale SET state = 'canceled' WHERE our_ref = ?", (our_ref,))
        desk.connection.execute("DELETE FROM place WHERE owner = ?", (our_ref,))
    return order_answer(sale(desk, our_ref), desk.now)


def read_order(desk: Desk, our_ref: str) -> dict[str, Any]:
    return order_answer(sale(desk, our_ref), desk.now)


def order_answer(row: sqlite3.Row | None, now: int) -> dict[str, Any]:
    if row is None:
        raise No("not_found", status=404)
    return {
        "our_ref": row["our_ref"],
        "merchant_ref": row["merchant_ref"],
        "state": "pending" if row["state"] == "confirmed" and row["ready"] > now else row["state"],
        "total": {"amount": row["total"], "currency": CURRENCY},
        "seats": json.loads(row["seats"]),
        "tickets": json.loads(row["tickets"]),
    }


# --- inside ---------------------------------------------------------------------------------------------------------


def _hold(desk: Desk, our_ref: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = desk.connection.execute("SELECT * FROM hold WHERE our_ref = ?", (our_ref,)).fetchone()
    return row


def sale(desk: Desk, our_ref: str) -> sqlite3.Row | None:
    row: sqlite3.Row | None = desk.connection.execute("SELECT * FROM sale WHERE our_ref = ?", (our_ref,)).fetchone()
    return row


def _check_party(desk: Desk, sold: Product, body: dict[str, Any], *, held: bool = False) -> int:
    """The sums are right, the fares are still ours, and departure is ahead. A hold keeps its fares. What it costs."""
    travelers = body["travelers"]
    if not 1 <= len(travelers) <= party_max or len({traveler["key"] for traveler in travelers}) != len(travelers):
        raise No("invalid_traveler", field="travelers")
    if not sold.bookable or desk.now >= sold.valid_until.timestamp():
        raise No("offer_not_found", status=404)
    if desk.suffers == "invalid_traveler":
        raise No("invalid_traveler", field="travelers/0")
    rise = provoke.price_rise_cents if desk.suffers in ("price_changed", "overcharged") else 0
    rise -= provoke.price_drop_cents if desk.suffers == "price_dropped" else 0
    agreed, price = 0, 0
    for traveler in travelers:
        fare = sold.fares.get(traveler["family"])
        if fare is None or not 0 <= traveler["price"]["amount"] <= traveler["full_fare"]["amount"]:
            raise No("invalid_traveler", field="family")
        moved = 0 if held else fare - traveler["full_fare"]["amount"]
        agreed += traveler["price"]["amount"]
        price += max(0, traveler["price"]["amount"] + moved + rise)
    is_agreed = agreed == body["total"]["amount"] and body["total"]["currency"] == CURRENCY
    if not is_agreed or (price > agreed and desk.suffers != "overcharged"):
        raise No("price_changed", new_total={"amount": price, "currency": CURRENCY})
    return price


def _seat(desk: Desk, sold: Product, keys: list[str], *, owner: str) -> list[dict[str, Any]]:
    seats: list[dict[str, Any]] = []
    for leg, ride in enumerate(sold.rides):
        places = allocate(free_places(desk.connection, ride), len(keys))
        if places is None:
            raise No("sold_out")
        take_places(desk.connection, ride, places, owner)
        seats += [_seat_answer(key, leg, place) for key, place in zip(keys, places, strict=True)]
    return seats


def _seat_answer(key: str, leg: int, place: Place) -> dict[str, Any]:
    return {"key": key, "leg": leg, "coach": place.coach, "place": place.name}


def _hold_to_consume(desk: Desk, hold_ref: str | None) -> sqlite3.Row | None:
    if hold_ref is None:
        return None
    hold = _hold(desk, hold_ref)
    if hold is None or hold["state"] != "live" or hold["expires"] <= desk.now or desk.suffers == "hold_expired":
        raise No("hold_expired")
    return hold


def _consume(desk: Desk, sold: Product, hold: sqlite3.Row, keys: list[str], our_ref: str) -> list[dict[str, Any]]:
    """The held places of those who travel; the others' are free again."""
    held: list[dict[str, Any]] = json.loads(hold["seats"])
    desk.connection.execute("UPDATE hold SET state = 'consumed' WHERE our_ref = ?", (hold["our_ref"],))
    desk.connection.execute("UPDATE place SET owner = ? WHERE owner = ?", (our_ref, hold["our_ref"]))
    free_seats(desk, sold, our_ref, [seat for seat in held if seat["key"] not in keys])
    return [seat for seat in held if seat["key"] in keys]


def free_seats(desk: Desk, sold: Product, owner: str, seats: list[dict[str, Any]]) -> None:
    """Put single places of an order back on sale."""
    for seat in seats:
        ride = sold.rides[seat["leg"]]
        desk.connection.execute(
            "DELETE FROM place WHERE owner = ? AND run_id = ? AND from_seq = ? AND coach = ? AND name = ?",
            (owner, ride.run_id, ride.origin.seq, seat["coach"], seat["place"]),
        )


def ticket(desk: Desk, merchant_ref: str, index: int, key: str) -> dict[str, Any]:
    number = f"{merchant_ref}-{index:02d}"
    seal = hmac.new(desk.secret, number.encode(), hashlib.sha256).hexdigest()[:16].upper()
    return {"key": key, "number": number, "code": f"KESTREL:{number}:{seal}"}


def number(prefix: str, our_ref: str) -> str:
    """The agency's own number, the same each time for one reference."""
    return prefix + hashlib.sha256(f"{prefix}/{our_ref}".encode()).hexdigest()[:10].upper()


def wire_time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
