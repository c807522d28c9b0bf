"""Reads a GTFS feed (folder or zip) and a table of published fare ranges. Read-only, streaming, nothing is kept.

What it honors: calendar and calendar_dates, times past 24:00:00 (counted from noon minus twelve hours, as the
specification says, so that a night with a clock change stays right), stop and agency time zones, parent stations,
pickup and drop-off restrictions. What it refuses, rather than read wrongly: frequencies.
"""

from __future__ import annotations

import csv
import io
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

_WEEKDAYS: Final = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_UIC: Final = re.compile(r"(\d{8})$")
_BRAND: Final = re.compile(r"^StopPoint:OCE(.+)-\d{8}$")
NORMAL_PROFILE: Final = "Tarif Normal"
# The brand inside a stop id -> the carrier's name in the published fares. ICE and Lyria have none there.
FARE_CARRIERS: Final = {"TGV INOUI": "TGV INOUI", "OUIGO": "OUIGO"}


class FeedError(ValueError):
    """The feed cannot be read as it is; the text names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Station:
    """A station, platforms merged. `code` is the 8-digit UIC code where the feed carries one, else the stop id."""

    code: str
    name: str
    zone: str


@dataclass(frozen=True, slots=True)
class Call:
    """A stop of a train. Seconds count from noon minus twelve hours of the service day and may pass 86,400."""

    station: str
    arrival_seconds: int
    departure_seconds: int
    may_board: bool
    may_alight: bool


@dataclass(frozen=True, slots=True)
class Train:
    """One trip of the feed with every day it runs."""

    trip_id: str
    number: str
    line: str
    operator: str
    brand: str
    zone: str
    calls: tuple[Call, ...]
    days: tuple[date, ...]


@dataclass(frozen=True, slots=True)
class Feed:
    stations: Mapping[str, Station]
    trains: tuple[Train, ...]

    def trains_by_day(self) -> Counter[date]:
        return Counter(day for train in self.trains for day in train.days)

    def first_full_monday(self) -> date:
        """The Monday of the first week in which every day carries at least half the trains of the busiest day.

        A feed often begins with thin weeks (trains that only run through); a demo timetable must not.
        """
        counts = self.trains_by_day()
        if not counts:
            raise FeedError("calendar: no trip runs on any day")
        enough = max(counts.values()) / 2
        monday = min(counts) - timedelta(days=min(counts).weekday())
        while monday <= max(counts):
            if all(counts[monday + timedelta(days=day)] >= enough for day in range(7)):
                return monday
            monday += timedelta(days=7)
        return min(counts) - timedelta(days=min(counts).weekday())


def instant(day: date, seconds: int, zone: str) -> datetime:
    """The UTC instant of a GTFS time on a service day: local noon, minus twelve hours, plus the seconds."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=ZoneInfo(zone))
    return noon.astimezone(UTC) - timedelta(hours=12) + timedelta(seconds=seconds)


def shift_weeks(first_monday: date, today: date) -> int:
    """How many whole weeks move `first_monday` to the next Monday after `today`."""
    next_monday = today + timedelta(days=7 - today.weekday())
    return (next_monday - first_monday).days // 7


def read_feed(source: Path) -> Feed:
    """Read the whole feed.

    Raises:
        FeedError: a file is missing or a value cannot be read.
    """
    with _tables(source) as table:
        if any(True for _ in table.rows("frequencies.txt", optional=True)):
            raise FeedError("frequencies.txt: trips by frequency are not supported")
        agencies = {row.get("agency_id", ""): row for row in table.rows("agency.txt")}
        if not agencies:
            raise FeedError("agency.txt: empty")
        stations, station_of = _stations(table, next(iter(agencies.values()))["agency_timezone"])
        routes = {row["route_id"]: row for row in table.rows("routes.txt")}
        days = _service_days(table)
        calls, brands = _calls(table, station_of)
        trains = []
        for row in table.rows("trips.txt"):
            route = routes[row["route_id"]]
            agency = agencies.get(route.get("agency_id", ""), next(iter(agencies.values())))
            trip_id = row["trip_id"]
            running = tuple(sorted(days.get(row["service_id"], ())))
            if running and len(calls.get(trip_id, ())) > 1:
                line = route.get("route_short_name") or route.get("route_long_name", "")
                number = row.get("trip_short_name") or row.get("trip_headsign") or line
                trains.append(
                    Train(
                        trip_id,
                        number,
                        line,
                        agency["agency_name"],
                        brands.get(trip_id, ""),
                        agency["agency_timezone"],
                        tuple(calls[trip_id]),
                        running,
                    )
                )
    return Feed(stations, tuple(trains))


class _Table:
    def __init__(self, source: Path, archive: zipfile.ZipFile | None) -> None:
        self._source = source
        self._archive = archive

    def rows(self, name: str, *, optional: bool = False) -> Iterator[dict[str, str]]:
        try:
            with self._open(name) as text:
                yield from csv.DictReader(text)
        except (FileNotFoundError, KeyError) as error:
            if not optional:
                raise FeedError(f"{name}: not in the feed {self._source.name}") from error

    @contextmanager
    def _open(self, name: str) -> Iterator[io.TextIOBase]:
        if self._archive is None:
            with (self._source / name).open(encoding="utf-8-sig", newline="") as text:
                yield text
        else:
            with self._archive.open(name) as raw, io.TextIOWrapper(raw, encoding="utf-8-sig", newline="") as text:
                yield text


@contextmanager
def _tables(source: Path) -> Iterator[_Table]:
    if source.is_dir():
        yield _Table(source, None)
    elif zipfile.is_zipfile(source):
        with zipfile.ZipFile(source) as archive:
            yield _Table(source, archive)
    else:
        raise FeedError(f"{source.name}: neither a folder nor a zip archive")


def _stations(table: _Table, default_zone: str) -> tuple[dict[str, Station], dict[str, str]]:
    rows = {row["stop_id"]: row for row in table.rows("stops.txt")}
    stations: dict[str, Station] = {}
    station_of: dict[str, str] = {}
    for stop_id, row in rows.items():
        parent = rows.get(row.get("parent_station") or "", row)
        uic = _UIC.search(parent["stop_id"])
        code = uic.group(1) if uic else parent["stop_id"]
        zone = row.get("stop_timezone") or parent.get("stop_timezone") or default_zone
        stations.setdefault(code, Station(code, parent["stop_name"], zone))
        station_of[stop_id] = code
    return stations, station_of


def _service_days(table: _Table) -> dict[str, set[date]]:
    days: dict[str, set[date]] = defaultdict(set)
    for row in table.rows("calendar.txt", optional=True):
        day, last = _day(row["start_date"]), _day(row["end_date"])
        while day <= last:
            if row[_WEEKDAYS[day.weekday()]] == "1":
                days[row["service_id"]].add(day)
            day += timedelta(days=1)
    for row in table.rows("calendar_dates.txt", optional=True):
        day = _day(row["date"])
        if row["exception_type"] == "1":
            days[row["service_id"]].add(day)
        else:
            days[row["service_id"]].discard(day)
    return days


def _calls(table: _Table, station_of: Mapping[str, str]) -> tuple[dict[str, list[Call]], dict[str, str]]:
    numbered: dict[str, list[tuple[int, Call]]] = defaultdict(list)
    brands: dict[str, str] = {}
    for row in table.rows("stop_times.txt"):
        arrival, departure = row["arrival_time"], row["departure_time"]
        if not (arrival or departure):
            continue  # passed without a time: nobody can board there
        brand = _BRAND.match(row["stop_id"])
        if brand:
            brands.setdefault(row["trip_id"], brand.group(1))
        call = Call(
            station_of[row["stop_id"]],
            _seconds(arrival or departure),
            _seconds(departure or arrival),
            row.get("pickup_type") != "1",
            row.get("drop_off_type") != "1",
        )
        numbered[row["trip_id"]].append((int(row["stop_sequence"]), call))
    calls = {trip: [call for _, call in sorted(stops, key=lambda stop: stop[0])] for trip, stops in numbered.items()}
    return calls, brands


def _seconds(text: str) -> int:
    try:
        hours, minutes, seconds = text.strip().split(":")
        return int(hours) * 3600 + int(minutes) * 60 + int(seconds)
    except ValueError as error:
        raise FeedError(f"stop_times.txt: not a time: {text[:20]!r}") from error


def _day(text: str) -> date:
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:8]))
    except ValueError as error:
        raise FeedError(f"calendar: not a date: {text[:20]!r}") from error


# --- published fare ranges ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FareRange:
    """The published span of one price, in cents."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class FareTable:
    """(carrier, station, station, class) -> range. A pair is published in one direction; both are asked."""

    ranges: Mapping[tuple[str, str, str, str], FareRange] = field(repr=False)

    def find(self, carrier: str, origin: str, destination: str, travel_class: str) -> FareRange | None:
        there = self.ranges.get((carrier, origin, destination, travel_class))
        return there or self.ranges.get((carrier, destination, origin, travel_class))


def read_fares(path: Path, *, profile: str = NORMAL_PROFILE) -> FareTable:
    """Read the published ranges of one tariff profile (semicolons, one row per pair, class and profile).

    Raises:
        FeedError: a column is missing or an amount is not a number.
    """
    ranges = {}
    with path.open(encoding="utf-8-sig", newline="") as text:
        for row in csv.DictReader(text, delimiter=";"):
            try:
                if row["Profil tarifaire"] != profile:
                    continue
                key = (
                    row["Transporteur"],
                    row["Gare origine - code UIC"],
                    row["Gare destination - code UIC"],
                    row["Classe"],
                )
                ranges[key] = FareRange(_cents(row["Prix minimum"]), _cents(row["Prix maximum"]))
            except KeyError as error:
                raise FeedError(f"{path.name}: no column {error}") from error
    return FareTable(ranges)


def _cents(text: str) -> int:
    try:
        amount = Decimal(text.replace(",", ".")) * 100
    except InvalidOperation as error:
        raise FeedError(f"fares: not an amount: {text[:20]!r}") from error
    if amount != amount.to_integral_value() or amount < 0:
        raise FeedError(f"fares: not an amount in cents: {text[:20]!r}")
    return int(amount)
