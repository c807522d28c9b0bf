"""The authored catalogue: real cities, invented trains and fares, from next Monday on; and a few occasions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

from integrations.demo.rail import store
from integrations.demo.rail.timetable import LOST_ANSWER, PRICE_RISES, REFUSES_ORDER, SHORT_HOLD, SOLD_OUT

SOURCE: Final = "authored"
OPERATOR: Final = "Kestrel Rail"
days_ahead: Final = 35
PARIS, BERLIN = "Europe/Paris", "Europe/Berlin"

# code: (name, city, zone)
STATIONS: Final = {
    "PLY": ("Paris Gare de Lyon", "Paris", PARIS),
    "PMP": ("Paris Montparnasse", "Paris", PARIS),
    "PES": ("Paris Est", "Paris", PARIS),
    "LPD": ("Lyon Part-Dieu", "Lyon", PARIS),
    "VAL": ("Valence TGV", "Valence", PARIS),
    "AVI": ("Avignon TGV", "Avignon", PARIS),
    "MSC": ("Marseille Saint-Charles", "Marseille", PARIS),
    "POI": ("Poitiers", "Poitiers", PARIS),
    "BDX": ("Bordeaux Saint-Jean", "Bordeaux", PARIS),
    "LIL": ("Lille Europe", "Lille", PARIS),
    "STR": ("Strasbourg", "Strasbourg", PARIS),
    "BER": ("Berlin Hbf", "Berlin", BERLIN),
    "HAM": ("Hamburg Hbf", "Hamburg", BERLIN),
}


@dataclass(frozen=True, slots=True)
class Line:
    """Trains that call at the same stations: minutes from the first departure to each arrival and departure."""

    first_number: int
    stops: tuple[tuple[str, int, int], ...]
    departures: tuple[str, ...]

    def back(self, departures: tuple[str, ...]) -> Line:
        """The same line the other way round, on even numbers one higher."""
        whole = self.stops[-1][1]
        stops = tuple((code, whole - departs, whole - arrives) for code, arrives, departs in reversed(self.stops))
        return Line(self.first_number + 1, stops, departures)


_SOUTH = Line(
    6001,
    (("PLY", 0, 0), ("LPD", 118, 122), ("VAL", 158, 160), ("AVI", 194, 197), ("MSC", 231, 231)),
    ("06:04", "08:04", "10:04", "12:04", "14:04", "16:04", "18:04", "20:04"),
)
_LYON = Line(6201, (("PLY", 0, 0), ("LPD", 116, 116)), ("07:30", "11:30", "17:30", "19:30"))
_WEST = Line(
    8401,
    (("PMP", 0, 0), ("POI", 77, 79), ("BDX", 128, 128)),
    ("06:52", "08:52", "11:22", "14:22", "17:04", "19:22"),
)
_EAST = Line(2401, (("PES", 0, 0), ("STR", 107, 107)), ("06:55", "09:55", "12:55", "16:25", "18:55"))
_ACROSS = Line(5401, (("LIL", 0, 0), ("STR", 201, 201)), ("07:12", "12:12", "17:12"))
_NORTH = Line(5101, (("LIL", 0, 0), ("LPD", 181, 185), ("MSC", 291, 291)), ("07:48", "13:48", "17:48"))
_RHINE = Line(5501, (("STR", 0, 0), ("LPD", 228, 228)), ("08:26", "15:26"))
_HANSE = Line(1101, (("BER", 0, 0), ("HAM", 106, 106)), ("06:38", "08:38", "10:38", "12:38", "14:38", "16:38", "18:38"))

LINES: Final = (
    _SOUTH,
    _SOUTH.back(("05:58", "07:58", "09:58", "11:58", "13:58", "15:58", "17:58", "19:28")),
    _LYON,
    _LYON.back(("07:00", "11:00", "17:00", "20:00")),
    _WEST,
    _WEST.back(("06:23", "09:23", "12:23", "15:23", "17:46", "19:46")),
    _EAST,
    _EAST.back(("06:15", "09:15", "12:45", "16:45", "19:15")),
    _ACROSS,
    _ACROSS.back(("07:02", "12:32", "17:02")),
    _NORTH,
    _NORTH.back(("07:10", "12:10", "16:40")),
    _RHINE,
    _RHINE.back(("08:04", "15:04")),
    _HANSE,
    _HANSE.back(("06:55", "08:55", "10:55", "12:55", "14:55", "16:55", "18:55")),
)
_TEMPERS: Final = (
    (SOLD_OUT, "21:01"),
    (PRICE_RISES, "21:08"),
    (LOST_ANSWER, "21:15"),
    (SHORT_HOLD, "21:22"),
    (REFUSES_ORDER, "21:29"),
)

# (station, station): (low, high) in euro, second class; first class costs half as much again.
FARES: Final = {
    ("PLY", "LPD"): (25, 98),
    ("PLY", "VAL"): (29, 109),
    ("PLY", "AVI"): (29, 115),
    ("PLY", "MSC"): (29, 119),
    ("LPD", "VAL"): (12, 29),
    ("LPD", "AVI"): (15, 45),
    ("LPD", "MSC"): (19, 59),
    ("VAL", "AVI"): (12, 26),
    ("VAL", "MSC"): (15, 42),
    ("AVI", "MSC"): (10, 24),
    ("PMP", "BDX"): (25, 99),
    ("PMP", "POI"): (19, 69),
    ("POI", "BDX"): (15, 39),
    ("PES", "STR"): (25, 95),
    ("LIL", "STR"): (29, 105),
    ("LIL", "LPD"): (29, 112),
    ("LIL", "MSC"): (35, 132),
    ("STR", "LPD"): (25, 78),
    ("BER", "HAM"): (18, 74),
}

# ref, title, city, venue, first day from the first Monday, days, first and last hour, tags, words
OCCASIONS: Final = (
    ("lyon-lantern-nights", "Lantern Nights", "Lyon", "Quais de Saône", 4, 3, 18, 23, ("festival", "light")),
    ("marseille-harbor-sounds", "Harbor Sounds", "Marseille", "Vieux-Port", 11, 2, 19, 23, ("festival", "music")),
    ("bordeaux-garonne-jazz", "Garonne Jazz Days", "Bordeaux", "Hangar 14", 12, 2, 17, 23, ("festival", "jazz")),
    ("strasbourg-choirs", "Night of a Hundred Choirs", "Strasbourg", "Old Town", 18, 2, 16, 22, ("concert",)),
    ("hamburg-winter-organ", "Winter Organ Marathon", "Hamburg", "Hafencity", 19, 2, 15, 22, ("concert",)),
    ("paris-open-code", "Open Code Days", "Paris", "La Villette", 23, 2, 9, 18, ("conference",)),
)


def next_monday(today: date) -> date:
    return today + timedelta(days=7 - today.weekday())


def seed(connection: sqlite3.Connection, today: date) -> None:
    """Write the authored trains of the next weeks, unless a real timetable was imported. Safe to repeat."""
    first = next_monday(today)
    seed_occasions(connection, first)
    if store.meta(connection, "timetable") == "imported":
        return
    connection.executemany(
        "INSERT OR IGNORE INTO station VALUES (?, ?, ?, ?)", [(code, *rest) for code, rest in STATIONS.items()]
    )
    connection.executemany("INSERT OR IGNORE INTO fare VALUES (?, ?, ?, ?, ?, ?)", list(_fares()))
    # Sales began on the Monday after the first start; a restart in a later week keeps the week that runs.
    began = date.fromisoformat(store.meta(connection, "authored_from") or first.isoformat())
    store.set_meta(connection, "authored_from", began.isoformat())
    for day in (first + timedelta(days=offset) for offset in range(-7, days_ahead)):
        if day >= max(today, began):
            _seed_day(connection, day)
    store.set_meta(connection, "timetable", SOURCE)


def remove(connection: sqlite3.Connection) -> None:
    """Take the authored trains out of sale; a real timetable takes their place."""
    connection.execute("DELETE FROM call WHERE run_id IN (SELECT id FROM run WHERE source = ?)", (SOURCE,))
    connection.execute("DELETE FROM run WHERE source = ?", (SOURCE,))


def _fares() -> Iterator[tuple[Any, ...]]:
    for (origin, destination), (low, high) in FARES.items():
        yield OPERATOR, origin, destination, "2", low * 100, high * 100
        yield OPERATOR, origin, destination, "1", low * 150, high * 150


def _seed_day(connection: sqlite3.Connection, day: date) -> None:
    for line in LINES:
        for index, departure in enumerate(line.departures):
            _add_run(connection, day, str(line.first_number + 2 * index), line.stops, departure)
    for number, departure in _TEMPERS:
        _add_run(connection, day, number, _LYON.stops, departure)


def _add_run(
    connection: sqlite3.Connection, day: date, number: str, stops: tuple[tuple[str, int, int], ...], departure: str
) -> None:
    run_id = f"kr-{number}-{day:%Y%m%d}"
    hours, minutes = departure.split(":")
    zone = ZoneInfo(STATIONS[stops[0][0]][2])
    start = int(datetime(day.year, day.month, day.day, int(hours), int(minutes), tzinfo=zone).timestamp())
    connection.execute(
        "INSERT OR IGNORE INTO run VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run_id, SOURCE, number, "highspeed", OPERATOR, OPERATOR, day.isoformat()),
    )
    connection.executemany(
        "INSERT OR IGNORE INTO call VALUES (?, ?, ?, ?, ?, ?, ?)",
        [
            (run_id, seq, code, start + arrives * 60, start + departs * 60, seq < len(stops) - 1, seq > 0)
            for seq, (code, arrives, departs) in enumerate(stops)
        ],
    )


def seed_occasions(connection: sqlite3.Connection, first: date) -> None:
    """Occasions of the weeks from `first` on. One that is already known keeps its dates."""
    for ref, title, city, venue, offset, days, opens, closes, tags in OCCASIONS:
        starts_on = first + timedelta(days=offset)
        ends_on = starts_on + timedelta(days=days - 1)
        zone = BERLIN if city == "Hamburg" else PARIS
        starts = datetime(starts_on.year, starts_on.month, starts_on.day, opens, tzinfo=ZoneInfo(zone))
        ends = datetime(ends_on.year, ends_on.month, ends_on.day, closes, tzinfo=ZoneInfo(zone))
        body = {
            "ref": f"{ref}-{starts_on:%Y%m%d}",
            "title": title,
            "city": city,
            "zone": zone,
            "venue": venue,
            "starts_at": starts.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "ends_at": ends.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tags": list(tags),
        }
        known = connection.execute(
            "SELECT 1 FROM occasion WHERE ref LIKE ? AND starts > ?",
            (f"{ref}-%", int(datetime(first.year, first.month, first.day, tzinfo=UTC).timestamp()) - 7 * 86_400),
        ).fetchone()
        if known is None:
            connection.execute(
                "INSERT OR IGNORE INTO occasion VALUES (?, ?, ?)",
                (body["ref"], int(starts.timestamp()), json.dumps(body)),
            )
