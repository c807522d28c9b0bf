"""Kestrel Rail: seats, books, troubles, shop. The interface itself is proven by the merchant adapter's contract."""

import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from groupbook.discounts.engine import parse_catalogue, require_supported
from groupbook.kit import outbound
from integrations.demo.processes import Child
from integrations.demo.rail import authored
from integrations.demo.rail.importer import import_gtfs
from integrations.demo.rail.rules import rule_catalogue
from integrations.demo.rail.seats import Place, all_places, allocate, strangers
from integrations.demo.rail.store import Store
from integrations.demo.rail.timetable import cities, find, first_and_last_day, search
from integrations.demo.supervisor import free_port
from tests.support.kestrel import TOKEN, Kestrel, kestrel

ROOT = Path(__file__).resolve().parents[2]
SATURDAY, MONDAY = date(2026, 11, 21), date(2026, 11, 23)
BEFORE = datetime(2026, 11, 21, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kestrel]:
    with kestrel(tmp_path_factory.mktemp("kestrel"), groupbook="http://localhost:8000") as running:
        yield running


@pytest.fixture
def client(agency: Kestrel) -> Iterator[httpx2.Client]:
    with outbound.client(agency.url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        yield client
    with agency.store.write() as connection:
        for table in ("hold", "sale", "place", "answered", "provocation"):
            connection.execute(f"DELETE FROM {table}")


# --- seats ----------------------------------------------------------------------------------------------------------


def places(*names: str, coach: str = "3") -> list[Place]:
    return [Place(coach, int(name[:-1]), name[-1]) for name in names]


def names(chosen: list[Place] | None) -> list[str]:
    return sorted(place.name for place in chosen or ())


def test_two_friends_sit_side_by_side_and_not_across_the_aisle() -> None:
    assert names(allocate(places("1B", "1C", "4A", "4B"), 2)) == ["4A", "4B"]


def test_four_friends_share_a_table() -> None:
    """Rows 5 and 6 face each other; rows 2 and 3 sit back to back."""
    free = places("2A", "2B", "3A", "3B", "5C", "5D", "6C", "6D", "9A", "9B", "9C", "9D")
    assert names(allocate(free, 4)) == ["5C", "5D", "6C", "6D"]


def test_a_party_that_fits_no_coach_is_parted_as_little_as_possible() -> None:
    free = [*places("1A", "1B", "1C"), *places("1A", "1B", "2A", "2B", coach="4")]
    chosen = allocate(free, 6)
    assert chosen is not None
    assert sorted(place.coach for place in chosen) == ["3", "3", "4", "4", "4", "4"]
    assert allocate(free, 8) is None
    assert allocate(free, 0) is None


def test_every_allocation_is_lawful_and_the_same_again() -> None:
    draw = random.Random(7)
    for _ in range(150):
        free = draw.sample(all_places("2"), draw.randint(1, 120))
        party = draw.randint(1, 12)
        chosen = allocate(free, party)
        assert chosen == allocate(list(reversed(free)), party)
        if party > len(free):
            assert chosen is None
        else:
            assert chosen is not None
            assert len(set(chosen)) == party
            assert set(chosen) <= set(free)
            roomiest = max(sum(place.coach == coach for place in free) for coach in {place.coach for place in free})
            assert (len({place.coach for place in chosen}) == 1) == (roomiest >= party)


def test_strangers_differ_by_train_and_leave_room() -> None:
    taken = [len(strangers(f"kr-{number}-20261123", "2")) for number in range(6001, 6041)]
    assert 90 < min(taken) <= max(taken) < 190
    assert strangers("kr-6001-20261123", "2") == strangers("kr-6001-20261123", "2")
    assert strangers("kr-6001-20261123", "2") != strangers("kr-6003-20261123", "2")


# --- the authored catalogue ------------------------------------------------------------------------------------------


def test_the_timetable_starts_next_monday_and_a_restart_changes_no_ref(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with store.write() as connection:
        authored.seed(connection, SATURDAY)
        assert first_and_last_day(connection) == (MONDAY, MONDAY + timedelta(days=34))
        before = search(connection, origin="Paris", destination="Lyon", on=MONDAY, after=BEFORE, limit=50)
        occasions = connection.execute("SELECT ref FROM occasion ORDER BY ref").fetchall()
        authored.seed(connection, SATURDAY + timedelta(days=4))
        after = search(connection, origin="Paris", destination="Lyon", on=MONDAY, after=BEFORE, limit=50)
        assert [ride.ref for ride in before] == [ride.ref for ride in after]
        assert before == after
        known = {row["ref"] for row in connection.execute("SELECT ref FROM occasion")}
        assert {row["ref"] for row in occasions} <= known
        assert len(known) == len(authored.OCCASIONS)
        assert {"Paris", "Lyon", "Marseille", "Bordeaux", "Lille", "Strasbourg", "Berlin", "Hamburg"} <= set(
            cities(connection)
        )
        for pair in (("Paris", "Lyon"), ("Lyon", "Marseille"), ("Paris", "Bordeaux"), ("Lille", "Strasbourg")):
            for origin, destination in (pair, pair[::-1]):
                rides = search(connection, origin=origin, destination=destination, on=MONDAY, after=BEFORE, limit=50)
                assert len(rides) >= 3
                assert all(ride.bookable and ride.minutes > 0 for ride in rides)


def test_a_seat_sold_on_one_stretch_is_free_on_the_next(client: httpx2.Client, agency: Kestrel) -> None:
    with agency.store.read() as connection:
        day = first_and_last_day(connection)
        assert day is not None
        (north,) = search(connection, origin="Paris", destination="Lyon", on=day[0], after=BEFORE, limit=1)
        south = find(connection, north.ref.replace("PLY.LPD", "LPD.MSC"))
        whole = find(connection, north.ref.replace("PLY.LPD", "PLY.MSC"))
    assert south is not None
    assert whole is not None
    before = {ref: seats(client, ref) for ref in (north.ref, south.ref, whole.ref)}
    assert hold(client, north.ref, size=4).status_code == 200
    after = {ref: seats(client, ref) for ref in before}
    assert after == before | {north.ref: before[north.ref] - 4, whole.ref: before[whole.ref] - 4}


def test_the_agencys_rules_can_be_priced() -> None:
    catalogue = parse_catalogue(rule_catalogue())
    require_supported(catalogue)
    assert {rule.id for rule in catalogue.rules} == {
        f"kestrel.{name}" for name in ("infant", "child", "youth", "senior", "half", "together")
    }


# --- troubles --------------------------------------------------------------------------------------------------------


def seats(client: httpx2.Client, ref: str) -> int:
    return int(client.get(f"/api/v1/offers/{ref}").json()["seats_left"])


def train(client: httpx2.Client, number: str = "6001") -> dict[str, Any]:
    offers = client.get("/api/v1/offers", params={"origin": "Paris", "destination": "Lyon", "limit": 40}).json()["data"]
    return next(offer for offer in offers if offer["legs"][0]["number"] == number)


def party(offer_ref: str, fare: int, size: int = 2, **more: Any) -> dict[str, Any]:
    price = {"amount": fare, "currency": "EUR"}
    travelers = [
        {"key": f"{index:032x}", "name": f"Bo {index}", "family": "saver", "full_fare": price, "price": price}
        for index in range(size)
    ]
    given = {"offer_ref": offer_ref, "total": {"amount": fare * size, "currency": "EUR"}, "travelers": travelers}
    return given | {"our_ref": "hld_1", "hold_seconds": 600} | more


def hold(client: httpx2.Client, ref: str, *, size: int = 2, **more: Any) -> httpx2.Response:
    fare = client.get(f"/api/v1/offers/{ref}").json()["fares"]["saver"]["amount"]
    return client.post("/api/v1/holds", json=party(ref, fare, size, **more), headers={"Idempotency-Key": "k1"})


@pytest.mark.parametrize(("number", "code"), [("9001", "sold_out"), ("9002", "price_changed")])
def test_trains_with_a_temper_refuse(client: httpx2.Client, number: str, code: str) -> None:
    refused = hold(client, train(client, number)["ref"])
    assert (refused.status_code, refused.json()["code"]) == (409, code)
    assert refused.headers["content-type"] == "application/problem+json"


def test_a_short_hold_lasts_a_minute_and_a_refused_order_sells_nothing(client: httpx2.Client) -> None:
    short = hold(client, train(client, "9004")["ref"]).json()
    left = datetime.fromisoformat(short["expires_at"]) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    offer = train(client, "9005")
    assert hold(client, offer["ref"], our_ref="hld_2").status_code == 422  # the same key for another request
    body = party(offer["ref"], offer["fares"]["saver"]["amount"], our_ref="ord_1", hold_ref=None)
    refused = client.post("/api/v1/orders", json=body, headers={"Idempotency-Key": "k2"})
    assert (refused.status_code, refused.json()["code"]) == (409, "sold_out")
    assert client.get("/api/v1/orders/ord_1").status_code == 404


def test_a_provocation_is_set_and_cleared_by_hand(client: httpx2.Client) -> None:
    given = {"what": "sold_out", "operation": "hold", "train": "6001", "times": "2"}
    assert client.post("/_provoke", data=given).status_code == 303
    assert "sold_out on hold of train 6001, 2 times" in client.get("/_provoke").text
    ref = train(client)["ref"]
    assert [hold(client, ref).status_code for _ in range(3)] == [409, 409, 200]
    assert client.post("/_provoke", data=given | {"what": "nonsense"}).status_code == 422
    client.post("/_provoke", data=given)
    client.post("/_provoke", data={"clear": "1"})
    assert "The agency behaves" in client.get("/_provoke").text


@pytest.mark.parametrize(
    "change",
    [
        {"our_ref": 7},
        {"total": None},
        {"total": {"amount": "1", "currency": "EUR"}},
        {"total": {"amount": 1, "currency": "USD"}},
        {"travelers": "everybody"},
        {"travelers": [{}]},
        {"hold_seconds": "long"},
        {"offer_ref": None},
    ],
)
def test_a_malformed_request_moves_nothing(client: httpx2.Client, change: dict[str, Any]) -> None:
    offer = train(client)
    body = party(offer["ref"], offer["fares"]["saver"]["amount"]) | change
    answer = client.post("/api/v1/holds", json=body, headers={"Idempotency-Key": "k1"})
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid")
    assert client.get("/api/v1/holds/hld_1").status_code == 404
    assert seats(client, offer["ref"]) == offer["seats_left"]


def test_who_has_no_token_or_key_is_turned_away(agency: Kestrel, client: httpx2.Client) -> None:
    assert agency.get("/api/v1/offers").status_code == 401
    body = party(train(client)["ref"], 1)
    assert client.post("/api/v1/holds", json=body).status_code == 400
    assert client.get("/api/v1/offers", params={"on": "soon"}).status_code == 422


def test_kill_9_loses_nothing_that_was_answered(tmp_path: Path) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "integrations.demo.rail", "--port", str(port), "--state", str(tmp_path)]

    def start() -> subprocess.Popen[bytes]:
        process = subprocess.Popen([*command, "--token", TOKEN], cwd=ROOT, stdout=subprocess.DEVNULL)
        for _ in range(200):
            try:
                if httpx2.get(f"{url}/health", trust_env=False).status_code == 200:
                    return process
            except httpx2.ConnectError:
                time.sleep(0.1)
        raise AssertionError("the agency did not start")

    process = start()
    try:
        with outbound.client(url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            ref = train(client)["ref"]
            first = hold(client, ref).json()
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start()
        with outbound.client(url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            assert client.get("/api/v1/holds/hld_1").json() == first
            assert hold(client, ref).json() == first
    finally:
        process.kill()
        process.wait()


def test_the_supervisor_can_start_it() -> None:
    """The module and the options the supervisor passes exist."""
    child = Child("shop", "integrations.demo.rail", ["--help"], health="")
    shown = subprocess.run(
        [sys.executable, "-m", child.module, *child.arguments], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert all(option in shown.stdout for option in ("--port", "--state", "--groupbook", "--token", "--merchant-slug"))


# --- the shop --------------------------------------------------------------------------------------------------------


def test_the_widget_is_embedded_with_the_offer(agency: Kestrel, client: httpx2.Client) -> None:
    offer = train(client)
    page = agency.get(f"/offer/{offer['ref']}")
    assert page.status_code == 200
    assert '<script async src="http://localhost:8000/v1.js" data-merchant="kestrel"' in page.text
    assert f'data-groupbook="modal" data-offer="{offer["ref"]}"' in page.text
    occasion = client.get("/api/v1/occasions").json()["data"][0]
    there = agency.get(f"/occasion/{occasion['ref']}")
    assert f'data-groupbook="modal" data-occasion="{occasion["ref"]}"' in there.text
    assert f'data-groupbook="inline" data-occasion="{occasion["ref"]}"' in there.text


def test_the_shop_speaks_two_languages(agency: Kestrel) -> None:
    english, french = agency.get("/"), agency.get("/?lang=fr")
    assert '<html lang="en">' in english.text
    assert '<html lang="fr">' in french.text
    assert "Prochains départs" in french.text
    assert "kestrel_lang=fr" in french.headers["set-cookie"]


@pytest.mark.parametrize(
    "path", ["/offer/nope", "/offer/a.b.c.2_a.b.c.2_a.b.c.2", "/occasion/nope", "/offer/%00", "/offer/" + "a" * 5000]
)
def test_what_is_not_sold_has_a_page(agency: Kestrel, path: str) -> None:
    page = agency.get(path)
    assert page.status_code == 404
    assert "Not found" in page.text


def test_what_a_visitor_types_stays_text(agency: Kestrel) -> None:
    with outbound.client(agency.url) as client:
        page = client.get("/", params={"origin": '"><script>alert(1)</script>', "on": "9999-99-99"})
    assert page.status_code == 200
    assert "<script>alert" not in page.text
    assert "No train fits" in page.text


@pytest.mark.shared
def test_a_real_timetable_shows_its_sources(shared: Path, tmp_path: Path) -> None:
    import_gtfs(
        shared / "data/gtfs-sncf-tgv",
        shared / "data/fares-tgv-ouigo.csv",
        tmp_path,
        datetime.now(UTC).date(),
        echo=lambda text: None,
    )
    with kestrel(tmp_path / "shop") as running:
        page = running.get("/?origin=Paris&destination=Lyon")
        assert "Contains information from SNCF, made available under the ODbL." in page.text
        assert "Source: SNCF Open Data" in page.text
        assert "kr-6001" not in page.text
        with outbound.client(running.url, headers={"Authorization": f"Bearer {TOKEN}"}) as client:
            abroad = client.get("/api/v1/offers", params={"origin": "Paris", "destination": "Stuttgart"}).json()["data"]
            unpriced = next(offer for offer in abroad if not offer["bookable"])
            refused = client.post("/api/v1/holds", json=party(unpriced["ref"], 100), headers={"Idempotency-Key": "k1"})
        assert (refused.status_code, refused.json()["code"]) == (404, "offer_not_found")
        assert "it cannot be booked" in running.get(f"/offer/{unpriced['ref']}").text


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_shop_is_accessible_on_a_phone(agency: Kestrel, client: httpx2.Client, browser: Any, scheme: str) -> None:
    from axe_playwright_python.sync_playwright import Axe

    occasion = client.get("/api/v1/occasions").json()["data"][0]["ref"]
    paths = ["/", "/?lang=fr", f"/offer/{train(client)['ref']}", f"/occasion/{occasion}", "/offer/nope", "/_provoke"]
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.route("**/v1.js", lambda route: route.fulfill(body="", content_type="text/javascript"))
    for path in paths:
        page.goto(agency.url + path)
        found = Axe().run(page)
        assert found.violations_count == 0, f"{path}: {found.generate_report()}"
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path
    context.close()
