"""The dark side on demand: what the next calls shall suffer. Kept in the books, so that a restart forgets nothing."""

from __future__ import annotations

import sqlite3
from typing import Final

from integrations.demo.rail.timetable import LOST_ANSWER, PRICE_RISES, REFUSES_ORDER, SHORT_HOLD, SOLD_OUT

# what -> what happens
WHATS: Final = {
    "sold_out": "no places are left",
    "price_changed": "every fare rises by 5.00",
    "price_dropped": "every fare falls by 1.00, and the order is sold for less",
    "overcharged": "the order is sold, 5.00 a head above what was agreed",
    "pending": "the order is accepted now and confirmed two seconds later",
    "not_allowed": "the agency does not do this (extending, amending)",
    "too_late": "the agency changes nothing any more (amending)",
    "hold_expired": "the places are gone before the order",
    "invalid_traveler": "the first traveler lacks something",
    "short_hold": "places are kept for 60 seconds only",
    "slow": "the answer takes three seconds",
    "lost_answer": "it is done, but the answer never comes",
    "late_effect": "no answer comes, and it is done a little later (a zombie)",
    "unavailable": "nothing is attempted: 503",
    "broken": "an error 500 before anything is done",
}
OPERATIONS: Final = ("hold", "extend", "release", "confirm", "price", "amend", "cancel", "read")
times_max: Final = 1000
price_rise_cents: Final = 500
price_drop_cents: Final = 100
pending_seconds: Final = 2
short_hold_seconds: Final = 60
slow_seconds: Final = 3.0

_TEMPERS: Final = {
    (SOLD_OUT, "hold"): "sold_out",
    (SOLD_OUT, "confirm"): "sold_out",
    (PRICE_RISES, "hold"): "price_changed",
    (LOST_ANSWER, "hold"): "lost_answer",
    (LOST_ANSWER, "confirm"): "lost_answer",
    (SHORT_HOLD, "hold"): "short_hold",
    (REFUSES_ORDER, "confirm"): "sold_out",
}


def add(connection: sqlite3.Connection, what: str, operation: str, train: str = "", times: int = 1) -> None:
    """Provoke `what` on the next `times` calls of `operation` (of one train number, or any).

    Raises:
        ValueError: no such provocation.
    """
    if what not in WHATS or operation not in OPERATIONS or not 1 <= times <= times_max or len(train) > 20:
        raise ValueError("no such provocation")
    connection.execute(
        "INSERT INTO provocation (what, operation, train, times) VALUES (?, ?, ?, ?)", (what, operation, train, times)
    )


def clear(connection: sqlite3.Connection) -> None:
    connection.execute("DELETE FROM provocation")


def waiting(connection: sqlite3.Connection) -> list[sqlite3.Row]:
    return list(connection.execute("SELECT * FROM provocation ORDER BY id"))


def take(connection: sqlite3.Connection, operation: str, train: str) -> str | None:
    """What this call shall suffer; counts it down. Trains with a temper suffer theirs every time."""
    row = connection.execute(
        "SELECT id, what, times FROM provocation WHERE operation = ? AND train IN ('', ?) ORDER BY id LIMIT 1",
        (operation, train),
    ).fetchone()
    if row is None:
        return _TEMPERS.get((train, operation))
    if row["times"] > 1:
        connection.execute("UPDATE provocation SET times = times - 1 WHERE id = ?", (row["id"],))
    else:
        connection.execute("DELETE FROM provocation WHERE id = ?", (row["id"],))
    return str(row["what"])
