"""What must stay shut: keys beyond their scopes, networks without a secret, names nobody agreed to show."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from pydantic import SecretStr
from starlette.testclient import TestClient

from groupbook import people, referrals, trips
from groupbook.config import Settings
from groupbook.kit.errors import InvariantBroken
from groupbook.kit.ids import to_wire
from groupbook.main import outside
from groupbook.trips.domain import MembersShown, Privacy, Visibility
from groupbook.web.app import build_app
from integrations.social.demo import demo_network
from integrations.social.twin import TwinNetwork
from tests.support.saga import Saga
from tests.support.site import mint_key

ORIGIN = "http://testserver"
LONG = SecretStr("sixteen bytes or more")


@pytest.fixture
def saga(database_url: str) -> Iterator[Saga]:
    saga = Saga(database_url, "ada", "bo", public_url=ORIGIN)
    yield saga
    saga.close()


@pytest.fixture
def client(saga: Saga) -> Iterator[TestClient]:
    with TestClient(build_app(saga.house), base_url=ORIGIN, follow_redirects=False) as client:
        yield client


# --- networks that nobody configured ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "missing",
    ["demo_network_url", "demo_network_client_secret", "demo_network_launch_secret", "demo_network_bot_token"],
)
def test_a_network_is_there_only_with_all_its_secrets(missing: str) -> None:
    secrets = dict.fromkeys(("client_secret", "launch_secret", "bot_token"), LONG)
    given = {f"demo_network_{name}": value for name, value in secrets.items()} | {"demo_network_url": "http://plaza"}
    mail = {"smtp_url": "smtp://mail.example", "mail_from": "trips@example.org"}

    def channels(settings: dict[str, object]) -> set[str]:
        made = outside(Settings.model_validate({"database_url": "", "secret_key": LONG} | mail | settings))
        return set(made.networks) | {f"messenger {messenger.channel}" for messenger in made.messengers}

    assert channels(dict(given)) == {"demo", "messenger demo", "messenger email"}
    without = channels({**given, missing: "" if missing.endswith("url") else SecretStr("short")})
    gone = {"demo_network_url": {"demo", "messenger demo"}, "demo_network_bot_token": {"messenger demo"}}
    assert without == {"demo", "messenger demo", "messenger email"} - gone.get(missing, {"demo"})


@pytest.mark.parametrize(
    ("client_secret", "launch_secret"), [("", "a long launch secret"), ("client", "short"), ("client", "")]
)
def test_a_network_without_a_secret_is_not_made(client_secret: str, launch_secret: str) -> None:
    with pytest.raises(InvariantBroken):
        demo_network(base_url="", client_id="x", client_secret=client_secret, launch_secret=launch_secret)


# --- scopes -----------------------------------------------------------------------------------------------------------


def test_a_key_for_offers_reads_no_trip(saga: Saga, client: TestClient) -> None:
    trip = f"/v1/trips/{to_wire('trip', saga.trip_id)}"
    narrow = {"Authorization": f"Bearer {mint_key(saga, scopes=['offers:write'])}"}
    wide = {"Authorization": f"Bearer {mint_key(saga, scopes=['trips:read'])}"}
    for path in ("/v1/trips", trip, f"{trip}/events", f"{trip}/events/stream"):
        refused = client.get(path, headers=narrow)
        assert (refused.status_code, refused.json()["params"]) == (403, {"scope": "trips:read"}), path
    for path in ("/v1/trips", trip, f"{trip}/events"):
        assert client.get(path, headers=wide).status_code == 200, path


# --- addresses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["//evil.example/x", "/%5Cevil.example/x", "/%09/evil.example", "/%2F%2Fevil.example"])
def test_the_language_link_stays_on_our_pages(client: TestClient, path: str) -> None:
    answer = client.get(f"{ORIGIN}{path}", headers={"Accept": "text/html"})
    links = re.findall(r'class="gb-language" href="([^"]*)"', answer.text)
    assert links
    assert all(re.match(r"/[^/\\\s]", link) for link in links), links


@pytest.mark.parametrize("path", ["/e/%00", "/login?merchant=%00", "/start?merchant=%00"])
def test_a_nul_names_no_merchant(client: TestClient, path: str) -> None:
    assert client.get(path).status_code in (200, 404)


def test_figures_are_counted_once_for_all_who_ask(saga: Saga, client: TestClient) -> None:
    assert client.get("/metrics").status_code == 200
    saga.open()
    before = client.get("/metrics").text
    assert re.search(r'groupbook_rows{kind="intent"} 0\.0', before), "kept for some seconds"


# --- sharing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shown", "counted"), [(MembersShown.ALL, True), (MembersShown.COUNT, True), (MembersShown.NONE, False)]
)
def test_a_share_shows_a_first_name_and_counts_only_if_it_may(
    saga: Saga, client: TestClient, shown: MembersShown, counted: bool
) -> None:
    twin = TwinNetwork()
    payload = twin.launch_payload("ana", merchant="kestrel", at=datetime.now(UTC), name="Ana Maria Lastname")
    launched = people.launch(
        saga.database, twin.network, payload, merchant_id=saga.merchant_id, merchant_slug="kestrel"
    )
    ana = people.authenticate(saga.database, launched.session.token)
    assert ana is not None
    plan = trips.StartTrip(title="Lights", privacy=Privacy(Visibility.PUBLIC, shown))
    trip_id = trips.start_trip(saga.database, saga.house.sealer, ana, plan).trip_id
    code = referrals.mint_share(saga.database, ana, trip_id, channel="copy", fields=["name"]).code
    page = client.get(f"/s/{code}").text
    assert ("Ana is going" in page, "Maria" in page, "Lastname" in page) == (True, False, False)
    assert ("1 person" in page) == counted
