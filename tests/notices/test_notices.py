"""What each member is told, once per fact, in their language, by the network they came from."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from groupbook import bookings, notices, trips
from groupbook.kit import facts
from groupbook.kit.i18n import LOCALES, words
from groupbook.kit.ids import GuestId, to_wire
from groupbook.kit.money import Money
from groupbook.merchants.domain import Capabilities
from groupbook.notices import NoticeCode, NoticeDeps
from groupbook.notices.domain import attempts_max
from groupbook.people.domain import ExternalIdentity
from groupbook.people.service.persons import person_for
from groupbook.web.app import build_app
from integrations.social.messages_twin import TwinMessenger
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]


@pytest.fixture
def make(database_url: str) -> Iterator[MakeSaga]:
    made: list[Saga] = []

    def build(*names: str, **settings: Any) -> Saga:
        made.append(Saga(database_url, *names, **settings))
        return made[-1]

    yield build
    for one in made:
        one.close()


def shown(saga: Saga, name: str) -> list[NoticeCode]:
    with saga.database.begin(saga.merchant_id) as session:
        return [one.code for one in notices.notices_for(session, saga.members[name])]


def become_person(saga: Saga, name: str, *, subject: str, locale: str, network: str = "demo") -> None:
    """This guest logs in with a network account and takes their seat along."""
    identity = ExternalIdentity(network, "app", subject, display_name=name, locale=locale)
    with saga.database.begin(saga.merchant_id) as session:
        person, _ = person_for(session, identity, now=saga.now())
        trips.adopt_guest(session, GuestId(saga.friends[name].require_traveler()), person.id)
    saga.friends[name] = replace(saga.friends[name], kind="person", subject=person.id)


def deps(saga: Saga, messenger: TwinMessenger) -> NoticeDeps:
    return NoticeDeps(saga.database, [messenger], saga.house.sealer, "https://gb.example")


def test_a_booking_is_told_step_by_step_and_only_what_is_still_true(make: MakeSaga) -> None:
    saga = make("ada", "bo")
    saga.run_until_quiet()
    assert (shown(saga, "ada"), shown(saga, "bo")) == ([NoticeCode.TRIP_DECIDED], [NoticeCode.TRIP_DECIDED])
    saga.open()
    saga.run_until_quiet()
    assert (shown(saga, "ada"), shown(saga, "bo")) == ([NoticeCode.PLEASE_PAY], [NoticeCode.PLEASE_PAY])
    saga.decline("bo")
    assert (shown(saga, "ada"), shown(saga, "bo")) == ([NoticeCode.PLEASE_PAY], [NoticeCode.PORTION_DECLINED])
    saga.pay("ada")
    saga.pay("bo")
    assert (shown(saga, "ada"), shown(saga, "bo")) == ([NoticeCode.TICKETS_READY], [NoticeCode.TICKETS_READY])


def test_when_the_deadline_passes_everybody_reads_that_nobody_was_charged(make: MakeSaga) -> None:
    saga = make("ada", "bo")
    saga.open()
    saga.run_until_quiet()
    saga.pay("ada")
    saga.travel(minutes=31)
    saga.run_until_quiet()
    assert (shown(saga, "ada"), shown(saga, "bo")) == ([NoticeCode.NOBODY_CHARGED], [NoticeCode.NOBODY_CHARGED])


def sponsored(saga: Saga) -> None:
    """Ada and bo travel; cy does not, and gives 10.00."""
    with saga.database.begin(saga.merchant_id) as session:
        trips.sit_out(session, saga.trip_id, saga.members["cy"], now=saga.now())
    saga.open()
    saga.run_until_quiet()
    bookings.give(saga.database, saga.friends["cy"], saga.id, Money(1_000, "EUR"), to=None, reserve=None)
    saga.run_until_quiet()
    saga.pay_extra("cy")


def test_who_pays_and_does_not_travel_reads_that_it_was_taken_and_given_back(make: MakeSaga) -> None:
    saga = make("ada", "bo", "cy")
    sponsored(saga)
    for name in ("ada", "bo"):
        saga.pay(name)
    assert [shown(saga, name)[0] for name in saga.members] == [
        NoticeCode.TICKETS_READY,
        NoticeCode.TICKETS_READY,
        NoticeCode.PART_TAKEN,
    ]
    bookings.cancel_booking(saga.database, saga.friends["ada"], saga.id)
    saga.run_until_quiet()
    assert shown(saga, "cy") == [NoticeCode.BOOKING_CANCELED]


def test_who_pays_and_does_not_travel_reads_that_nobody_was_charged(make: MakeSaga) -> None:
    saga = make("ada", "bo", "cy")
    sponsored(saga)
    saga.travel(minutes=31)
    saga.run_until_quiet()
    assert shown(saga, "cy") == [NoticeCode.NOBODY_CHARGED]


def test_hearing_twice_or_late_tells_once_and_nothing_stale(make: MakeSaga) -> None:
    saga = make("ada", "bo")
    saga.open()
    saga.run_until_quiet()
    saga.pay("ada")
    saga.pay("bo")
    count = saga.count("SELECT count(*) FROM notice")
    with saga.database.begin(saga.merchant_id) as session:
        rows = session.execute(
            text("SELECT id, name, subject, payload, recorded_at FROM fact ORDER BY recorded_at DESC")
        ).all()
        for row in rows:
            notices.note(
                session, facts.Fact(row.id, saga.merchant_id, row.name, row.subject, row.payload, row.recorded_at)
            )
    assert saga.count("SELECT count(*) FROM notice") == count
    # The same facts heard for the first time in the worst order: what came before the tickets stays out of the page.
    with saga.database.begin(saga.merchant_id) as session:
        session.execute(text("DELETE FROM notice"))
        for row in rows:
            notices.note(
                session, facts.Fact(row.id, saga.merchant_id, row.name, row.subject, row.payload, row.recorded_at)
            )
    assert shown(saga, "ada") == [NoticeCode.TICKETS_READY]


def test_a_person_is_written_to_by_their_network_in_their_language(make: MakeSaga) -> None:
    saga = make("ada", "bo")
    become_person(saga, "bo", subject="bo-17", locale="fr-FR")
    saga.open()
    saga.run_until_quiet()
    with saga.database.begin(saga.merchant_id) as session:
        session.execute(text("UPDATE notice SET state = 'pending', due_at = created_at WHERE code = 'please_pay'"))
    messenger = TwinMessenger()
    made = deps(saga, messenger)
    assert notices.sweep(made, saga.merchant_id) == 1  # ada is a guest: the page tells her
    assert notices.sweep(made, saga.merchant_id) == 0
    [(to, message)] = messenger.sent.values()
    assert (to, message.link) == ("bo-17", f"https://gb.example/t/{to_wire('trip', saga.trip_id)}")
    assert message.text == notices.sentence(words("fr"), NoticeCode.PLEASE_PAY, trip="Lights")
    assert states(saga) == {"bo": "sent", "ada": "shown"}


def states(saga: Saga) -> dict[str, str]:
    names = {id: name for name, id in saga.members.items()}
    with saga.database.begin(saga.merchant_id) as session:
        rows = session.execute(text("SELECT member_id, state FROM notice WHERE code = 'please_pay'"))
        return {names[row.member_id]: row.state for row in rows}


def test_a_channel_that_is_down_is_asked_again_and_one_that_refuses_is_not(make: MakeSaga) -> None:
    saga = make("ada", "bo", collection_window_seconds=72 * 3_600.0)
    saga.offer_capabilities(Capabilities(holds=True, hold_seconds_max=80 * 3_600))
    for name in ("ada", "bo"):
        become_person(saga, name, subject=name, locale="en")
    saga.open()
    saga.run_until_quiet()
    with saga.database.begin(saga.merchant_id) as session:
        session.execute(text("UPDATE notice SET state = 'pending', due_at = created_at WHERE code = 'please_pay'"))
    messenger = TwinMessenger(is_down=True, refuses=frozenset({"ada"}))
    made = deps(saga, messenger)
    assert notices.sweep(made, saga.merchant_id) == 2
    assert states(saga) == {"ada": "pending", "bo": "pending"}
    messenger.is_down = False
    assert notices.sweep(made, saga.merchant_id) == 0  # not due yet
    saga.travel(seconds=13)
    assert notices.sweep(made, saga.merchant_id) == 2
    assert states(saga) == {"ada": "failed", "bo": "sent"}
    assert shown(saga, "ada") == [NoticeCode.PLEASE_PAY]  # the page still says it
    messenger = TwinMessenger(is_down=True)
    with saga.database.begin(saga.merchant_id) as session:
        session.execute(
            text("UPDATE notice SET state = 'pending', attempts = 0, due_at = created_at WHERE code = 'please_pay'")
        )
    for _ in range(attempts_max):
        notices.sweep(deps(saga, messenger), saga.merchant_id)
        saga.travel(hours=3)
    assert states(saga) == {"ada": "shown", "bo": "failed"}  # nobody knocks again where nobody is


def test_a_killed_worker_is_followed_by_the_sweep(make: MakeSaga) -> None:
    saga = make("ada", "bo")
    become_person(saga, "bo", subject="bo", locale="en")
    saga.open()
    saga.run_until_quiet()
    with saga.database.begin(saga.merchant_id) as session:
        leased = "lease_until = clock_timestamp() + interval '1 min'"
        session.execute(
            text(f"UPDATE notice SET state = 'pending', due_at = created_at, {leased} WHERE code = 'please_pay'")
        )
    messenger = TwinMessenger()
    assert notices.sweep(deps(saga, messenger), saga.merchant_id) == 0
    with saga.database.begin(saga.merchant_id) as session:
        session.execute(text("UPDATE notice SET lease_until = clock_timestamp()"))
    assert notices.sweep(deps(saga, messenger), saga.merchant_id) == 1
    assert len(messenger.sent) == 1


def test_seen_and_forgotten(make: MakeSaga) -> None:
    saga = make("ada", "bo")
    saga.run_until_quiet()
    with saga.database.begin(saga.merchant_id) as session:
        notices.mark_seen(session, saga.members["ada"])
        [seen] = notices.notices_for(session, saga.members["ada"])
        [unseen] = notices.notices_for(session, saga.members["bo"])
        assert (seen.seen_at is None, unseen.seen_at is None) == (False, True)
        notices.forget(session, [saga.members["ada"]])
        assert notices.notices_for(session, saga.members["ada"]) == []
        assert len(notices.notices_for(session, saga.members["bo"])) == 1


def test_a_member_reads_and_marks_their_notices_over_http(make: MakeSaga) -> None:
    saga = make("ada", "bo", public_url="http://testserver")
    saga.run_until_quiet()
    path = f"/v1/trips/{to_wire('trip', saga.trip_id)}/notices"
    with TestClient(build_app(saga.house)) as client:
        ada = {"Authorization": f"Bearer {saga.tokens['ada']}", "Accept-Language": "fr"}
        [told] = client.get(path, headers=ada).json()["data"]
        assert (told["code"], told["seen_at"]) == ("trip_decided", None)
        assert told["text"] == notices.sentence(words("fr"), NoticeCode.TRIP_DECIDED, trip="Lights")
        for _ in range(2):
            assert client.post(f"{path}/seen", headers=ada).status_code == 204
        [seen] = client.get(path, headers=ada).json()["data"]
        assert seen["seen_at"] is not None
        assert client.get(path).status_code == 401


@pytest.mark.parametrize("locale", sorted(LOCALES))
@pytest.mark.parametrize("code", list(NoticeCode))
def test_every_notice_has_a_sentence_in_every_language(locale: str, code: NoticeCode) -> None:
    sentence = notices.sentence(words(locale), code, trip="Lights 100% 🎉")
    assert ("Lights 100% 🎉" in sentence) is (code is not NoticeCode.CONFIRM_ADDRESS)  # that one goes to strangers
    assert notices.short(words(locale), code)
    if locale != "en":
        assert sentence != notices.sentence(words("en"), code, trip="Lights 100% 🎉")
