"""Real timetables: what the feeds really contain, shifted, priced inside the published ranges, on sale in the shop."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from integrations.demo.rail.importer import city_of, import_gtfs
from integrations.demo.rail.store import Store
from integrations.demo.rail.timetable import Product, fares_between, find, fraction, search
from integrations.merchants.gtfs import (
    FareRange,
    FareTable,
    FeedError,
    instant,
    read_fares,
    read_feed,
    shift_weeks,
)

SATURDAY = date(2026, 11, 21)
PARIS, LYON, RENNES, MARSEILLE = "87686006", "87723197", "87471003", "87751008"


def small_feed(folder: Path, **changes: str) -> Path:
    """A feed of two trains; `changes` replaces whole files."""
    files = {
        "agency.txt": "agency_id,agency_name,agency_url,agency_timezone\n1,Night Rail,http://x,Europe/Paris\n",
        "stops.txt": (
            "stop_id,stop_name,stop_lat,stop_lon,location_type,parent_station\n"
            "A-87000001,Aville,1,1,1,\nA1,Aville quai 1,1,1,0,A-87000001\nB-87000002,Bville,1,1,1,\n"
            "B1,Bville quai 1,1,1,0,B-87000002\nC-87000003,Cville,1,1,0,\n"
        ),
        "routes.txt": "route_id,agency_id,route_short_name,route_type\nR,1,N1,2\n",
        "trips.txt": "route_id,service_id,trip_id,trip_headsign\nR,daily,T1,101\nR,extra,T2,102\n",
        "calendar.txt": (
            "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
            "daily,1,1,1,1,1,1,1,20260323,20260405\n"
        ),
        "calendar_dates.txt": "service_id,date,exception_type\ndaily,20260325,2\nextra,20260324,1\n",
        "stop_times.txt": (
            "trip_id,arrival_time,departure_time,stop_id,stop_sequence,pickup_type,drop_off_type\n"
            "T1,23:30:00,23:30:00,A1,1,0,1\nT1,25:10:00,25:15:00,B1,2,1,0\nT1,26:00:00,26:00:00,C-87000003,3,1,0\n"
            "T2,08:00:00,08:00:00,A1,1,0,0\nT2,09:00:00,09:00:00,C-87000003,2,0,0\n"
        ),
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in (files | {f"{name}.txt": content for name, content in changes.items()}).items():
        (folder / name).write_text(content, encoding="utf-8")
    return folder


def test_times_past_midnight_and_exceptions_are_honored(tmp_path: Path) -> None:
    feed = read_feed(small_feed(tmp_path / "feed"))
    assert {code: station.name for code, station in feed.stations.items()} == {
        "87000001": "Aville",
        "87000002": "Bville",
        "87000003": "Cville",
    }
    night, extra = feed.trains
    assert len(night.days) == 13
    assert date(2026, 3, 25) not in night.days
    assert extra.days == (date(2026, 3, 24),)
    assert [(call.may_board, call.may_alight) for call in night.calls] == [(True, False), (False, True), (False, True)]
    arrives = instant(date(2026, 3, 24), night.calls[1].arrival_seconds, "Europe/Paris")
    assert arrives == datetime(2026, 3, 25, 0, 10, tzinfo=UTC)


def test_the_night_of_the_clock_change_counts_from_noon() -> None:
    """2026-03-29 has 23 hours in Paris: 00:00 of the service day is 23:00 of the day before, 08:00 is still 08:00."""
    day = date(2026, 3, 29)
    assert instant(day, 8 * 3600, "Europe/Paris") == datetime(2026, 3, 29, 6, tzinfo=UTC)
    assert instant(day, 0, "Europe/Paris") == datetime(2026, 3, 28, 22, tzinfo=UTC)
    assert instant(day, 25 * 3600, "Europe/Paris") == datetime(2026, 3, 29, 23, tzinfo=UTC)


def test_a_zip_is_a_feed_too(tmp_path: Path) -> None:
    folder = small_feed(tmp_path / "feed")
    with zipfile.ZipFile(tmp_path / "feed.zip", "w") as archive:
        for name in folder.iterdir():
            archive.write(name, name.name)
    assert read_feed(tmp_path / "feed.zip") == read_feed(folder)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"frequencies": "trip_id,start_time,end_time,headway_secs\nT1,08:00:00,09:00:00,600\n"}, "frequencies"),
        ({"calendar_dates": "service_id,date,exception_type\ndaily,2026-03-25,2\n"}, "calendar"),
        (
            {"stop_times": "trip_id,arrival_time,departure_time,stop_id,stop_sequence\nT1,noon,noon,A1,1\n"},
            "stop_times",
        ),
    ],
)
def test_what_cannot_be_read_is_refused_and_changes_nothing(tmp_path: Path, change: dict[str, str], says: str) -> None:
    feed = small_feed(tmp_path / "feed", **change)
    with pytest.raises(FeedError, match=says):
        import_gtfs(feed, None, tmp_path / "state", SATURDAY, echo=lambda text: None)
    assert not (tmp_path / "state").exists()


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    folder = small_feed(tmp_path / "feed")
    (folder / "trips.txt").unlink()
    with pytest.raises(FeedError, match=r"trips\.txt"):
        read_feed(folder)


@pytest.mark.parametrize(
    ("today", "weeks"),
    [(date(2026, 11, 21), 52), (date(2026, 11, 22), 52), (date(2026, 11, 23), 53), (date(2025, 11, 17), 0)],
)
def test_days_shift_by_whole_weeks_to_next_monday(today: date, weeks: int) -> None:
    first = date(2025, 11, 24)
    assert shift_weeks(first, today) == weeks
    monday = first + timedelta(weeks=weeks)
    assert monday.weekday() == 0
    assert 0 < (monday - today).days <= 7


def test_the_price_rule_stays_inside_its_range_and_never_moves() -> None:
    """Worked: sha256("6641|2026-12-04|2") begins with 0.58100 of its range; 25.00 + 0.58100 * 84.00 = 73.80."""
    day = date(2026, 12, 4)
    assert fraction("6641", day, "2") == pytest.approx(0.5810004, abs=1e-7)
    fares = fares_between(2500, 10900, number="6641", day=day, travel_class="2", carrier="TGV INOUI")
    assert fares == {"flex": 10900, "saver": 7380}
    for number in range(6000, 6200):
        for high in (2500, 2509, 9900):
            ouigo = fares_between(2503, high + 10, number=str(number), day=day, travel_class="2", carrier="OUIGO")
            assert list(ouigo) == ["saver"]
            assert 2503 <= ouigo["saver"] <= high + 10


def test_a_pair_is_found_in_both_directions() -> None:
    table = FareTable({("X", "1", "2", "2"): FareRange(10, 20)})
    assert table.find("X", "1", "2", "2") == table.find("X", "2", "1", "2") == FareRange(10, 20)
    assert table.find("X", "1", "2", "1") is None


@pytest.mark.parametrize(
    ("station", "city"),
    [
        ("Paris Gare de Lyon Hall 1 - 2", "Paris"),
        ("Lyon Part Dieu", "Lyon"),
        ("S+U Berlin Hauptbahnhof", "Berlin"),
        ("S Ostkreuz Bhf (Berlin)", "Berlin"),
        ("Hamburg, Hamburg Hbf", "Hamburg"),
        ("Dresden Hauptbahnhof", "Dresden"),
        ("Le Mans", "Le Mans"),
        ("Ingolstadt Hbf", "Ingolstadt"),
        ("Angermünde, Bahnhof", "Angermünde"),
        ("Rennes", "Rennes"),
    ],
)
def test_stations_belong_to_the_city_people_type(station: str, city: str) -> None:
    assert city_of(station) == city


# --- the real feeds -------------------------------------------------------------------------------------------------


@pytest.mark.shared
def test_the_tgv_feed_counts(shared: Path) -> None:
    feed = read_feed(shared / "data/gtfs-sncf-tgv")
    assert (len(feed.trains), len(feed.stations)) == (941, 116)
    assert feed.first_full_monday() == date(2025, 11, 24)
    fares = read_fares(shared / "data/fares-tgv-ouigo.csv")
    assert (
        fares.find("TGV INOUI", PARIS, LYON, "2") == fares.find("TGV INOUI", LYON, PARIS, "2") == FareRange(2500, 10900)
    )
    assert fares.find("OUIGO", PARIS, LYON, "2") == FareRange(1600, 9900)


@pytest.mark.shared
def test_the_tgv_timetable_goes_on_sale(shared: Path, tmp_path: Path) -> None:
    """19 direct trains Paris Gare de Lyon - Lyon Part-Dieu on Friday 2025-12-05, which becomes 2026-12-04."""
    said: list[str] = []
    done = import_gtfs(
        shared / "data/gtfs-sncf-tgv", shared / "data/fares-tgv-ouigo.csv", tmp_path, SATURDAY, echo=said.append
    )
    assert (done.trains, done.runs, done.stations, done.weeks) == (941, 6674, 116, 52)
    assert (done.first_day, done.last_day) == (date(2026, 11, 23), date(2026, 12, 12))
    assert any("Shifted by 52 weeks" in line for line in said)
    assert any("2000 of 6674" in line for line in said)
    with Store(tmp_path / "shop").read() as connection:
        friday = date(2026, 12, 4)

        def trains(origin: str, destination: str) -> list[Product]:
            rides = search(
                connection,
                origin=origin,
                destination=destination,
                on=friday,
                after=datetime(2026, 11, 21, tzinfo=UTC),
                limit=100,
            )
            return [Product((ride,)) for ride in rides]

        lyon = trains(PARIS, LYON)
        assert len({sold.rides[0].number for sold in lyon}) == 19
        first = lyon[0].rides[0]
        assert (first.number, f"{first.origin.local:%H:%M}", f"{first.destination.local:%H:%M}") == (
            "6641",
            "06:20",
            "08:22",
        )
        assert len({sold.rides[0].number for sold in trains("Paris", "Rennes")}) == 21
        assert len({sold.rides[0].number for sold in trains(PARIS, MARSEILLE)}) == 17
        inoui = [sold for sold in lyon if sold.rides[0].carrier == "TGV INOUI"]
        assert all(2500 <= sold.fares["saver"] <= sold.fares["flex"] == 10900 for sold in inoui)
        assert len({sold.fares["saver"] for sold in inoui}) > 10
        # A station abroad has no published range: the train is an option to vote on, not bookable.
        abroad = [sold for sold in trains("Paris", "Stuttgart") if not sold.bookable]
        assert abroad
        assert all(sold.fares == {} for sold in abroad)
        assert find(connection, lyon[0].ref) == lyon[0]
        texts = [row["text"] for row in connection.execute("SELECT text FROM attribution")]
    assert "Contains information from SNCF, made available under the ODbL." in texts
    assert any("SNCF Open Data" in text for text in texts)


@pytest.mark.shared
def test_a_second_feed_joins_and_an_import_can_be_repeated(shared: Path, tmp_path: Path) -> None:
    for feed in ("gtfs-sncf-tgv", "gtfs-de-longdistance", "gtfs-de-longdistance"):
        import_gtfs(shared / "data" / feed, None, tmp_path, SATURDAY, echo=lambda text: None)
    with Store(tmp_path / "shop").read() as connection:
        counts = dict(connection.execute("SELECT source, count(*) FROM run GROUP BY source").fetchall())
        assert counts == {"gtfs:gtfs-sncf-tgv": 6674, "gtfs:gtfs-de-longdistance": 4346}
        hamburg = search(
            connection,
            origin="Berlin",
            destination="Hamburg",
            on=date(2026, 11, 27),
            after=datetime(2026, 11, 21, tzinfo=UTC),
            limit=100,
        )
        texts = [row["text"] for row in connection.execute("SELECT text FROM attribution")]
    assert hamburg
    assert not any(ride.bookable for ride in hamburg)
    assert any("gtfs.de" in text for text in texts)
