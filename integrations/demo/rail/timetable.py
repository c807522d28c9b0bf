"""What the agency sells: every pair of stations on every train, priced by a stated rule.

The price of a pair on one train on one day lies inside the pair's published range [low, high], in cents:

    u     = the first 8 bytes of sha256("<train number>|<local day of departure>|<class>"), as a number in [0, 1)
    saver = low + u * (high - low), cut down to whole 10 cents, never below low
    flex  = high

so the same train on the same day has one price in every process, other days differ, and no price leaves its range.
OUIGO sells no flex. A pair without a published range has no fare: it can be voted on, not booked.
"""

from __future__ import annotations

import hashlib
import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any, Final
from zoneinfo import ZoneInfo

from integrations.demo.rail.seats import Place, all_places, strangers

CURRENCY: Final = "EUR"
FAVORITES: Final = (("Paris", "Lyon"), ("Paris", "Bordeaux"), ("Lille", "Strasbourg"), ("Berlin", "Hamburg"))
ORIGINS: Final = ("Paris", "Lille", "Lyon", "Marseille", "Strasbourg", "Berlin")
price_step_cents: Final = 10
sales_end_seconds: Final = 30 * 60
RETURN: Final = "_"  # joins the refs of a return's two legs
_REF: Final = re.compile(r"([A-Za-z0-9-]+)\.([A-Za-z0-9:-]+)\.([A-Za-z0-9:-]+)\.([12])")

# Authored trains with a temper, for whoever wants to see the dark side; they run every day Paris - Lyon and back.
SOLD_OUT, PRICE_RISES, LOST_ANSWER, SHORT_HOLD, REFUSES_ORDER = "9001", "9002", "9003", "9004", "9005"


@dataclass(frozen=True, slots=True)
class Stop:
    code: str
    name: str
    city: str
    zone: str
    seq: int
    at: datetime

    @property
    def local(self) -> datetime:
        return self.at.astimezone(ZoneInfo(self.zone))


@dataclass(frozen=True, slots=True)
class Ride:
    """One pair of stations on one train in one class."""

    run_id: str
    number: str
    service: str
    operator: str
    carrier: str
    origin: Stop
    destination: Stop
    travel_class: str
    fares: tuple[tuple[str, int], ...]

    @property
    def ref(self) -> str:
        return f"{self.run_id}.{self.origin.code}.{self.destination.code}.{self.travel_class}"

    @property
    def minutes(self) -> int:
        return int((self.destination.at - self.origin.at).total_seconds()) // 60

    @property
    def bookable(self) -> bool:
        return bool(self.fares)


@dataclass(frozen=True, slots=True)
class Product:
    """What is sold under one ref: a ride, or a return of two."""

    rides: tuple[Ride, ...]

    @property
    def ref(self) -> str:
        return RETURN.join(ride.ref for ride in self.rides)

    @property
    def bookable(self) -> bool:
        return bool(self.fares) and all(ride.bookable for ride in self.rides)

    @property
    def fares(self) -> dict[str, int]:
        """Families that every ride sells, summed."""
        families = set.intersection(*(set(dict(ride.fares)) for ride in self.rides))
        return {family: sum(dict(ride.fares)[family] for ride in self.rides) for family in sorted(families)}

    @property
    def low(self) -> int | None:
        return min(self.fares.values(), default=None) if self.bookable else None

    @property
    def valid_until(self) -> datetime:
        return self.rides[0].origin.at - timedelta(seconds=sales_end_seconds)

    @property
    def title(self) -> str:
        first = self.rides[0]
        arrow = "⇄" if len(self.rides) > 1 else "→"
        return f"{first.origin.city} {arrow} {first.destination.city}"


def fraction(number: str, day: date, travel_class: str) -> float:
    """The `u` of the rule above."""
    digest = hashlib.sha256(f"{number}|{day.isoformat()}|{travel_class}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64


def fares_between(low: int, high: int, *, number: str, day: date, travel_class: str, carrier: str) -> dict[str, int]:
    """Family -> cents, by the stated rule."""
    raw = low + int(fraction(number, day, travel_class) * (high - low))
    saver = max(low, raw // price_step_cents * price_step_cents)
    return {"saver": saver} if carrier == "OUIGO" else {"flex": high, "saver": saver}


# --- reading --------------------------------------------------------------------------------------------------------

_PAIRS: Final = """
SELECT r.id, r.number, r.service, r.operator, r.carrier,
       o.seq AS o_seq, o.departs AS departs, os.code AS o_code, os.name AS o_name, os.city AS o_city, os.zone AS o_zone,
       d.seq AS d_seq, d.arrives AS arrives, ds.code AS d_code, ds.name AS d_name, ds.city AS d_city, ds.zone AS d_zone
FROM call o JOIN call d ON d.run_id = o.run_id AND d.seq > o.seq
JOIN run r ON r.id = o.run_id JOIN station os ON os.code = o.station JOIN station ds ON ds.code = d.station
WHERE o.may_board AND d.may_alight
"""


def search(
    connection: sqlite3.Connection,
    *,
    origin: str = "",
    destination: str = "",
    on: date | None = None,
    after: datetime,
    travel_class: str = "2",
    limit: int = 20,
) -> list[Ride]:
    """Rides by city or station, on a local day or from `after` on, soonest first."""
    query = _PAIRS + " AND o.departs > :after"
    if origin:
        query += " AND o.station IN (SELECT code FROM station WHERE :origin COLLATE NOCASE IN (city, name, code))"
    if destination:
        query += " AND d.station IN (SELECT code FROM station WHERE :destination COLLATE NOCASE IN (city, name, code))"
    named: dict[str, Any] = {
        "after": int(after.timestamp()),
        "origin": origin,
        "destination": destination,
        "limit": limit,
    }
    if on is not None:
        midnight = int(datetime(on.year, on.month, on.day, tzinfo=UTC).timestamp())
        named |= {"first": midnight - 14 * 3600, "last": midnight + 38 * 3600}
        query += " AND o.departs >= :first AND o.departs < :last"
        # The day is the station's own; the zone is known only here, so fetch the widest span and cut.
        rows = connection.execute(query + " ORDER BY o.departs, r.id", named)
        fitting = (ride for ride in _rides(connection, rows, travel_class) if ride.origin.local.date() == on)
        return list(islice(fitting, limit))
    rows = connection.execute(query + " ORDER BY o.departs, r.id LIMIT :limit", named)
    return list(_rides(connection, rows, travel_class))


def suggestions(connection: sqlite3.Connection, *, after: datetime, each: int = 2) -> list[Ride]:
    """The next trains of a few favorite pairs, pair by pair, for whoever has not said where to go."""
    return [
        ride
        for origin, destination in FAVORITES
        for ride in search(connection, origin=origin, destination=destination, after=after, limit=each)
    ]


def trains_to(
    connection: sqlite3.Connection,
    city: str,
    *,
    starts: datetime,
    ends: datetime,
    zone: str,
    after: datetime,
    origins: Sequence[str],
) -> tuple[list[Product], list[Product]]:
    """Returns and singles that fit an occasion: there on its first day before it starts, back the day after it ends.

    Two of each for every origin, the latest arrivals first, so that a group has something to vote on.
    """
    first, last = starts.astimezone(ZoneInfo(zone)).date(), ends.astimezone(ZoneInfo(zone)).date()
    returns: list[Product] = []
    singles: list[Product] = []
    for origin in origins:
        if origin == city:
            continue
        there = search(connection, origin=origin, destination=city, on=first, after=after, limit=40)
        there = [ride for ride in there if ride.destination.at <= starts]
        back = search(connection, origin=city, destination=origin, on=last + timedelta(days=1), after=after, limit=40)
        back = [ride for ride in back if ride.origin.local.hour >= 10]
        latest = there[::-1][:2]
        singles += [Product((ride,)) for ride in latest]
        pairs = zip((r for r in latest if r.bookable), (r for r in back if r.bookable), strict=False)
        returns += [Product(pair) for pair in pairs]
    return returns, singles


def find(connection: sqlite3.Connection, ref: str) -> Product | None:
    """What is sold under `ref`, or None."""
    rides = []
    for part in ref.split(RETURN)[:3]:
        match = _REF.fullmatch(part)
        if match is None:
            return None
        run_id, origin, destination, travel_class = match.groups()
        rows = connection.execute(
            _PAIRS + " AND r.id = ? AND o.station = ? AND d.station = ?", (run_id, origin, destination)
        )
        ride = next(_rides(connection, rows, travel_class), None)
        if ride is None:
            return None
        rides.append(ride)
    if len(rides) > 2 or (len(rides) == 2 and rides[1].origin.at < rides[0].destination.at):
        return None
    return Product(tuple(rides))


def cities(connection: sqlite3.Connection) -> list[str]:
    """Cities that trains call at, for the search form."""
    rows = connection.execute(
        "SELECT DISTINCT city FROM station WHERE code IN (SELECT DISTINCT station FROM call) ORDER BY city"
    )
    return [row["city"] for row in rows]


def first_and_last_day(connection: sqlite3.Connection) -> tuple[date, date] | None:
    row = connection.execute("SELECT min(day) AS first, max(day) AS last FROM run").fetchone()
    return None if row["first"] is None else (date.fromisoformat(row["first"]), date.fromisoformat(row["last"]))


def _rides(connection: sqlite3.Connection, rows: Iterable[sqlite3.Row], travel_class: str) -> Iterator[Ride]:
    for row in rows:
        origin = Stop(
            row["o_code"], row["o_name"], row["o_city"], row["o_zone"], row["o_seq"], _instant(row["departs"])
        )
        destination = Stop(
            row["d_code"], row["d_name"], row["d_city"], row["d_zone"], row["d_seq"], _instant(row["arrives"])
        )
        span = connection.execute(
            "SELECT low, high FROM fare WHERE carrier = ? AND travel_class = ? "
            "AND ((origin = ? AND destination = ?) OR (destination = ? AND origin = ?)) LIMIT 1",
            (row["carrier"], travel_class, origin.code, destination.code, origin.code, destination.code),
        ).fetchone()
        fares: dict[str, int] = {}
        if span is not None:
            fares = fares_between(
                span["low"],
                span["high"],
                number=row["number"],
                day=origin.local.date(),
                travel_class=travel_class,
                carrier=row["carrier"],
            )
        yield Ride(
            row["id"],
            row["number"],
            row["service"],
            row["operator"],
            row["carrier"],
            origin,
            destination,
            travel_class,
            tuple(sorted(fares.items())),
        )


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


# --- places ---------------------------------------------------------------------------------------------------------


def free_places(connection: sqlite3.Connection, ride: Ride) -> list[Place]:
    """Places free on the whole stretch. A place sold for another stretch of the same train stays free on ours."""
    if ride.number == SOLD_OUT:
        return []
    taken = set(strangers(ride.run_id, ride.travel_class))
    rows = connection.execute(
        "SELECT coach, name FROM place WHERE run_id = ? AND from_seq < ? AND to_seq > ?",
        (ride.run_id, ride.destination.seq, ride.origin.seq),
    )
    taken |= {(row["coach"], row["name"]) for row in rows}
    return [place for place in all_places(ride.travel_class) if (place.coach, place.name) not in taken]


def seats_left(connection: sqlite3.Connection, product: Product) -> int:
    return min(len(free_places(connection, ride)) for ride in product.rides)


def take_places(connection: sqlite3.Connection, ride: Ride, places: Sequence[Place], owner: str) -> None:
    connection.executemany(
        "INSERT INTO place VALUES (?, ?, ?, ?, ?, ?)",
        [(ride.run_id, p.coach, p.name, ride.origin.seq, ride.destination.seq, owner) for p in places],
    )
