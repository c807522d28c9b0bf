"""Changes of an order that stands. Each has a reference of its own, kept for good: it is made once.

Conditions: until the train leaves, a flex place given back is refunded in full, a saver place by half (cut down to a
cent in our favor); another name on a place costs nothing. Afterwards nothing is changed.
"""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from integrations.demo.rail import provoke
from integrations.demo.rail.booking import Desk, No, free_seats, number, order_answer, product, sale, ticket, wire_time
from integrations.demo.rail.timetable import CURRENCY

KINDS = ("cancel", "replace", "reprice")
_BACK_PERCENT = {"flex": 100, "saver": 50}


def price(desk: Desk, our_ref: str, body: dict[str, Any]) -> dict[str, Any]:
    """What the order would cost after a change, and until when that holds. Nothing is changed."""
    order = _standing(desk, our_ref)
    if desk.suffers in ("not_allowed", "sold_out", "too_late"):
        raise No(str(desk.suffers))
    sold_to = json.loads(order["body"])
    left = _traveler(desk, sold_to, body["key"])
    total = int(order["total"]) - (_back(left) if body["kind"] == "cancel" else 0)
    leaves_at = int(product(desk.connection, sold_to["offer_ref"]).rides[0].origin.at.timestamp())
    return {"total": {"amount": total, "currency": CURRENCY}, "until": wire_time(leaves_at)}


def amend(desk: Desk, our_ref: str, body: dict[str, Any]) -> dict[str, Any]:
    """Take one traveler off the order, put another in their place, or sell at another total; as a whole or not at all.

    The order never costs more afterwards than `total_max`.
    """
    order = _standing(desk, our_ref)
    known = desk.connection.execute("SELECT answer FROM amendment WHERE our_ref = ?", (body["our_ref"],)).fetchone()
    if known is not None:
        return dict(json.loads(known["answer"]))
    if desk.suffers in ("not_allowed", "sold_out", "too_late"):
        raise No(str(desk.suffers))
    sold_to = json.loads(order["body"])
    seats, tickets, total = json.loads(order["seats"]), json.loads(order["tickets"]), int(order["total"])
    if body["kind"] == "reprice":
        total = body["total_max"]["amount"]
    else:
        left = _traveler(desk, sold_to, body["key"])
        theirs = [seat for seat in seats if seat["key"] == left["key"]]
        tickets = [one for one in tickets if one["key"] != left["key"]]
        if body["kind"] == "cancel":
            free_seats(desk, product(desk.connection, sold_to["offer_ref"]), our_ref, theirs)
            sold_to["travelers"].remove(left)
            seats = [seat for seat in seats if seat not in theirs]
            total -= _back(left)
        else:
            by = body["by"]
            if not by["name"].strip() or any(one["key"] == by["key"] for one in sold_to["travelers"]):
                raise No("invalid_traveler", field="by")
            left |= {"key": by["key"], "name": by["name"], "age": by.get("age"), "cards": by.get("cards", [])}
            seats = [seat | {"key": by["key"]} if seat in theirs else seat for seat in seats]
            tickets.append(ticket(desk, number("KA", body["our_ref"]), 1, by["key"]))
    total += provoke.price_rise_cents if desk.suffers in ("price_changed", "overcharged") else 0
    if total > body["total_max"]["amount"] and desk.suffers != "overcharged":
        raise No("price_changed", new_total={"amount": total, "currency": CURRENCY})
    desk.connection.execute(
        "UPDATE sale SET body = ?, seats = ?, tickets = ?, total = ? WHERE our_ref = ?",
        (json.dumps(sold_to), json.dumps(seats), json.dumps(tickets), total, our_ref),
    )
    answer = order_answer(sale(desk, our_ref), desk.now)
    desk.connection.execute(
        "INSERT INTO amendment VALUES (?, ?, ?, ?)", (body["our_ref"], our_ref, json.dumps(answer), desk.now)
    )
    return answer


def _standing(desk: Desk, our_ref: str) -> sqlite3.Row:
    order = sale(desk, our_ref)
    if order is None or order["state"] != "confirmed" or order["ready"] > desk.now:
        raise No("canceled")
    return order


def _traveler(desk: Desk, sold_to: dict[str, Any], key: str) -> dict[str, Any]:
    """Who gives a place up, before the train leaves."""
    if product(desk.connection, sold_to["offer_ref"]).rides[0].origin.at.timestamp() <= desk.now:
        raise No("too_late")
    left: dict[str, Any] | None = next((one for one in sold_to["travelers"] if one["key"] == key), None)
    if left is None:
        raise No("invalid_traveler", field="key")
    return left


def _back(left: dict[str, Any]) -> int:
    """What comes back for a place, in cents."""
    return int(left["price"]["amount"]) * _BACK_PERCENT[left["family"]] // 100
