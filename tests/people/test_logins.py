"""Logging in at a network, being launched inside one, and the sessions that follow."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from sqlalchemy import text

from groupbook.kit.callers import Caller
from groupbook.kit.errors import Unavailable
from groupbook.people import (
    LaunchRejected,
    LoginRefused,
    authenticate,
    begin_login,
    contacts_of,
    end_session,
    finish_login,
    launch,
    people_cards,
    sweep,
)
from groupbook.people.domain import LoginExpired, LoginMismatch, NetworkNotFound, digest
from groupbook.people.ports import SocialNetwork
from integrations.social.twin import TwinNetwork
from tests.people.conftest import House

CALLBACK = "http://localhost:8000/login/twin/callback"


def test_a_login_opens_a_session_for_the_person_behind_it(house: House) -> None:
    ana = house.log_in("ana")
    assert (ana.person.display_name, ana.is_new, ana.return_to) == ("Ana", True, "/t/x")
    caller = authenticate(house.database, ana.session.token)
    assert caller == Caller("person", house.kestrel.id, False, ana.person.id, ana.session.id)
    with house.database.begin(house.kestrel.id) as session:
        stored = session.execute(text("SELECT token_hash FROM session")).scalar_one()
        assert bytes(stored) == digest(ana.session.token)
        assert contacts_of(session, [ana.person.id])[ana.person.id][0].email == "ana@example.org"


def test_the_second_login_finds_the_same_person_and_a_same_email_does_not(house: House) -> None:
    first, second = house.log_in("ana"), house.log_in("ana")
    assert second.person.id == first.person.id
    assert not second.is_new
    other_network = TwinNetwork("elsewhere")
    start = begin_login(house.database, other_network.network, merchant_id=house.kestrel.id, redirect_uri=CALLBACK)
    there = finish_login(
        house.database,
        other_network.network,
        other_network.login.approve(start.url, "ana"),  # ana@example.org there, too
        browser_secret=start.browser_secret,
    )
    assert there.person.id != first.person.id


def test_two_first_logins_at_once_make_one_person(house: House) -> None:
    with ThreadPoolExecutor(3) as pool:
        logins = list(pool.map(lambda _: house.log_in("bo"), range(3)))
    assert len({login.person.id for login in logins}) == 1
    assert house.count("person") == 1


def test_a_merchant_never_sees_the_persons_of_another(house: House) -> None:
    here, there = house.log_in("ana"), house.log_in("ana", merchant=house.other)
    assert here.person.id != there.person.id
    with house.database.begin(house.other.id) as session:
        assert set(people_cards(session, [here.person.id, there.person.id])) == {there.person.id}
    caller = authenticate(house.database, there.session.token)
    assert caller is not None
    assert caller.merchant_id == house.other.id


def test_a_callback_works_once_in_the_browser_that_asked(house: House) -> None:
    def begin() -> tuple[dict[str, str], str]:
        start = begin_login(house.database, house.twin.network, merchant_id=house.kestrel.id, redirect_uri=CALLBACK)
        return house.twin.login.approve(start.url, "ana"), start.browser_secret

    def finish(params: dict[str, str], secret: str | None) -> None:
        finish_login(house.database, house.twin.network, params, browser_secret=secret)

    params, secret = begin()
    finish(params, secret)
    with pytest.raises(LoginExpired):  # replayed
        finish(params, secret)
    params, _ = begin()
    with pytest.raises(LoginMismatch):  # the attacker's code in the victim's browser
        finish(params, "another browser's secret")
    params, _ = begin()
    with pytest.raises(LoginMismatch):
        finish(params, None)
    with pytest.raises(LoginExpired):
        finish({"code": "x", "state": "bogus"}, secret)
    with pytest.raises(LoginExpired):
        finish({}, secret)
    params, secret = begin()
    house.age("login_state", 601)
    with pytest.raises(LoginExpired):
        finish(params, secret)
    assert house.count("session") == 1


def test_another_networks_answer_is_not_this_ones(house: House) -> None:
    start = begin_login(house.database, house.twin.network, merchant_id=house.kestrel.id, redirect_uri=CALLBACK)
    impostor = TwinNetwork("impostor")
    with pytest.raises(LoginMismatch):
        finish_login(
            house.database,
            impostor.network,
            impostor.login.approve(start.url, "ana"),
            browser_secret=start.browser_secret,
        )
    assert house.count("person") == 0


def test_a_canceled_login_or_a_network_that_is_down_leaves_nothing(house: House) -> None:
    start = begin_login(house.database, house.twin.network, merchant_id=house.kestrel.id, redirect_uri=CALLBACK)
    with pytest.raises(LoginRefused) as refused:
        finish_login(
            house.database,
            house.twin.network,
            house.twin.login.cancel(start.url),
            browser_secret=start.browser_secret,
        )
    assert refused.value.reason == "canceled"
    house.twin.login.is_down = True
    with pytest.raises(Unavailable):
        begin_login(house.database, house.twin.network, merchant_id=house.kestrel.id, redirect_uri=CALLBACK)
    assert (house.count("person"), house.count("login_state"), house.count("session")) == (0, 0, 0)


def test_logging_in_replaces_the_browsers_old_session(house: House) -> None:
    old = house.log_in("ana")
    start = begin_login(house.database, house.twin.network, merchant_id=house.kestrel.id, redirect_uri=CALLBACK)
    new = finish_login(
        house.database,
        house.twin.network,
        house.twin.login.approve(start.url, "bo"),
        browser_secret=start.browser_secret,
        current=authenticate(house.database, old.session.token),
    )
    assert authenticate(house.database, old.session.token) is None
    assert authenticate(house.database, new.session.token) is not None


def test_a_session_ends_when_it_is_ended_or_expires(house: House) -> None:
    ana, bo = house.log_in("ana"), house.log_in("bo")
    caller = authenticate(house.database, ana.session.token)
    assert caller is not None
    end_session(house.database, caller)
    end_session(house.database, caller)
    assert authenticate(house.database, ana.session.token) is None
    assert authenticate(house.database, bo.session.token) is not None
    house.age("session", 30 * 86_400)
    assert authenticate(house.database, bo.session.token) is None
    for junk in ("", "x", "\ud800", "é" * 50, "x" * 10_000):
        assert authenticate(house.database, junk) is None
    with house.database.begin(house.kestrel.id) as session:
        assert sweep(session) == 2
    assert house.count("session") == 0


# --- launches -------------------------------------------------------------------------------------------------------


def open_launch(house: House, payload: str, slug: str = "kestrel") -> str:
    merchant = house.kestrel if slug == "kestrel" else house.other
    return launch(
        house.database, house.twin.network, payload, merchant_id=merchant.id, merchant_slug=slug
    ).session.token


def test_a_launch_opens_one_session_per_signature(house: House) -> None:
    ana = house.log_in("ana")
    payload = house.twin.launch_payload("ana", merchant="kestrel", at=house.now(), start="trip-code")
    opened = launch(house.database, house.twin.network, payload, merchant_id=house.kestrel.id, merchant_slug="kestrel")
    assert (opened.person.id, opened.start, opened.session.kind) == (ana.person.id, "trip-code", "bearer")
    with pytest.raises(LaunchRejected) as rejected:
        open_launch(house, payload)
    assert rejected.value.reason == "replayed"
    again = house.twin.launch_payload("ana", merchant="kestrel", at=house.now())
    assert open_launch(house, again) != opened.session.token
    assert house.count("launch_use") == 2


def test_a_launch_for_another_merchant_or_time_opens_nothing(house: House) -> None:
    now = house.now()
    cases = {
        house.twin.launch_payload("ana", merchant="other", at=now): "wrong_audience",
        house.twin.launch_payload("ana", merchant="", at=now): "wrong_audience",
        house.twin.launch_payload("ana", merchant="kestrel", at=now - timedelta(seconds=302)): "expired",
        house.twin.launch_payload("ana", merchant="kestrel", at=now + timedelta(seconds=90)): "future",
        "x" * 5_000: "malformed",
    }
    for payload, reason in cases.items():
        with pytest.raises(LaunchRejected) as rejected:
            open_launch(house, payload)
        assert rejected.value.reason == reason
    assert (house.count("session"), house.count("person"), house.count("launch_use")) == (0, 0, 0)


def test_a_network_without_a_part_says_so(house: House) -> None:
    share_only = SocialNetwork(name="letters", title="Letters", origin="https://letters.example")
    with pytest.raises(NetworkNotFound):
        begin_login(house.database, share_only, merchant_id=house.kestrel.id, redirect_uri=CALLBACK)
    with pytest.raises(NetworkNotFound):
        launch(house.database, share_only, "a=b", merchant_id=house.kestrel.id, merchant_slug="kestrel")
