"""Reminders, opt-outs and addresses, from the booking to a real mail server and back through the link in the mail."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from email.message import EmailMessage
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from groupbook import bookings, discounts, merchants, notices, people
from groupbook.kit import clock
from groupbook.kit.ids import to_wire
from groupbook.merchants.domain import Capabilities
from groupbook.notices import Address, AddressInvalid, NoticeDeps, Wishes
from groupbook.notices.domain import (
    TooManyAddresses,
    addresses_per_day_max,
    addresses_per_trip_max,
    check_email,
    masked,
)
from groupbook.notices.links import (
    AddressLink,
    EntryLink,
    StopLink,
    address_mark,
    entry_token,
    read_entry_token,
    read_stop_token,
    seat_token,
    stop_token,
)
from groupbook.notices.ports import Messenger
from groupbook.trips.domain import mint_invite_token
from groupbook.web.app import build_app
from integrations.social.mail import Mailer
from integrations.social.messages_twin import TwinMessenger
from tests.bookings.test_parts import TIERS
from tests.notices.test_notices import become_person
from tests.support.mailbox import Mailbox, mailbox
from tests.support.saga import Saga

ORIGIN = "http://testserver"
QUESTION = "Is this your address? – Kestrel Rail"
MakeWorld = Callable[..., "World"]


@dataclass
class World:
    """A trip, a mail server, and a worker that writes reminders and sends."""

    saga: Saga
    box: Mailbox
    deps: NoticeDeps

    def work(self) -> None:
        self.saga.run_until_quiet()
        notices.remind(self.saga.database, self.saga.merchant_id)
        notices.sweep(self.deps, self.saga.merchant_id)

    def give(self, name: str, email: str, *, locale: str = "en", timezone: str | None = None) -> None:
        """Somebody gives an address for this trip; the question goes there."""
        notices.give_address(
            self.deps, self.saga.friends[name], self.saga.trip_id, email, locale=locale, timezone=timezone
        )
        notices.sweep(self.deps, self.saga.merchant_id)

    def confirm(self, email: str) -> None:
        """Its owner says yes."""
        token = link_in(self.box.about(email)[-1]).rpartition("/")[2]
        notices.confirm(self.saga.database, self.deps.sealer, token)

    def join_by_mail(self, name: str, email: str, **how: Any) -> None:
        self.give(name, email, **how)
        self.confirm(email)

    def subjects(self, email: str) -> list[str]:
        return [str(mail["Subject"]) for mail in self.box.about(email)]

    def states(self, code: str) -> dict[str, str]:
        names = {id: name for name, id in self.saga.members.items()}
        with self.saga.database.begin(self.saga.merchant_id) as session:
            rows = session.execute(
                text("SELECT member_id, state FROM notice WHERE code = :code ORDER BY id"), {"code": code}
            )
            return {names[row.member_id]: row.state for row in rows}


def plain(mail: EmailMessage) -> str:
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content()).replace("\r\n", "\n")


def link_in(mail: EmailMessage) -> str:
    """The address behind the letter's button."""
    return next(line for line in plain(mail).splitlines() if line.startswith("http"))


def stop_link(mail: EmailMessage) -> str:
    return str(mail["List-Unsubscribe"]).strip("<>")


@pytest.fixture
def world(database_url: str, tmp_path: Path) -> Iterator[MakeWorld]:
    with mailbox(tmp_path) as box:
        made: list[Saga] = []

        def build(*names: str, hours: float = 90, quiet: bool = False, **reminders: Any) -> World:
            mailer: Messenger = Mailer(url=box.url, sender="Kestrel <trips@gb.example>")
            window = hours * 3_600
            saga = Saga(
                database_url,
                *names,
                messengers=[mailer],
                public_url=ORIGIN,
                collection_window_seconds=window,
                bounce_secret="letters come back",
            )
            made.append(saga)
            saga.offer_capabilities(Capabilities(holds=True, hold_seconds_max=30 * 86_400))
            if not quiet:
                reminders |= {"quiet_from_hour": 0, "quiet_until_hour": 0}
            notices.change_reminders(saga.database, saga.desk, reminders)
            return World(saga, box, saga.house.letters)

        yield build
        for one in made:
            one.close()


# --- reminders --------------------------------------------------------------------------------------------------------


def test_only_who_has_not_paid_is_reminded_and_each_step_once(world: MakeWorld) -> None:
    here = world("ada", "bo", "cy")
    saga = here.saga
    for name in ("ada", "bo"):
        here.join_by_mail(name, f"{name}@example.org")
    saga.open()
    here.work()
    assert here.subjects("bo@example.org")[1:] == ["Pay your part – Lights"]
    saga.pay("ada")
    saga.travel(hours=46)  # past halfway
    for _ in range(3):
        here.work()
    assert here.states("pay_reminder") == {"bo": "sent", "cy": "shown"}  # cy has the page only; ada has paid
    assert here.subjects("bo@example.org")[2:] == ["Your group waits for you – Lights"]
    saga.travel(hours=21)  # a day before
    here.work()
    saga.travel(hours=21, minutes=30)  # two hours before
    here.work()
    here.work()
    assert here.subjects("bo@example.org")[2:] == ["Your group waits for you – Lights"] * 3
    assert here.subjects("ada@example.org")[1:] == ["Pay your part – Lights"]
    assert saga.count("SELECT count(*) FROM notice WHERE code = 'pay_reminder'") == 6
    assert len({mail["Message-ID"] for mail in here.box.mails}) == len(here.box.mails)


def test_a_reminder_says_amount_deadline_and_how_far_the_group_is(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org", locale="fr", timezone="Asia/Tokyo")
    here.saga.open()
    here.saga.run_until_quiet()
    here.saga.pay("ada")
    here.saga.travel(hours=46)
    here.work()
    mail = here.box.about("bo@example.org")[-1]
    told = plain(mail)
    assert mail["Subject"] == "Votre groupe vous attend – Lights"
    assert "50,00\N{NO-BREAK SPACE}€" in told
    assert "1 sur 2 y sont." in told
    assert "(Tokyo)" in told
    assert f"{ORIGIN}/mail/seat/" in told
    assert stop_link(mail) in told
    html = mail.get_body(("html",))
    assert html is not None
    assert "<img" not in html.get_content()
    assert set(re.findall(r'(?:href|src)="([^"]*)"', html.get_content())) == {link_in(mail), stop_link(mail)}


def test_who_is_asked_late_gets_the_steps_to_come_and_none_that_passed(world: MakeWorld) -> None:
    """Bo's friend takes the place past halfway, ada takes cy's part over: neither hears at once what they did."""
    here = world("ada", "bo", "cy")
    saga = here.saga
    saga.open()
    here.work()
    saga.pay("ada")
    saga.travel(hours=46)  # halfway was at 45
    link = bookings.hand_over(saga.database, saga.house.sealer, saga.friends["bo"], saga.id, for_name="Di")
    joined = bookings.take_place(saga.database, None, link.token, nonce=mint_invite_token())
    saga._seat("Di", joined.guest_token, joined.member.id)
    asked = saga.portion("cy").portion_id
    assert asked is not None
    bookings.take_over(saga.database, saga.friends["ada"], asked)
    here.work()
    assert here.states("pay_reminder") == {}
    bookings.hand_back(saga.database, saga.friends["ada"], asked)
    here.work()
    assert here.states("pay_reminder") == {}, "cy is asked anew"
    saga.travel(hours=21)  # a day before, and nearly halfway for them
    here.work()
    assert here.states("pay_reminder") == {"Di": "shown", "cy": "shown"}


def test_who_agreed_to_less_is_told_at_once_that_they_are_asked_again(world: MakeWorld) -> None:
    here = world("ada", "bo", "cy")
    saga = here.saga
    with saga.database.begin(saga.merchant_id) as session:
        discounts.put_catalogue(session, {"rules": [TIERS]}, starts_on=date(2026, 1, 1), now=clock.now(session))
    here.join_by_mail("bo", "bo@example.org")
    saga.open()
    here.work()
    saga.pay("bo")
    saga.travel(hours=46)
    bookings.leave_booking(saga.database, saga.friends["cy"], saga.id)
    here.work()
    assert saga.states()["bo"] == "open", "without cy there is no group fare"
    here.work()
    assert here.subjects("bo@example.org")[1:] == ["Pay your part – Lights"] * 2
    assert here.states("pay_reminder") == {"ada": "shown"}


def test_reminders_end_with_paying_leaving_and_closing(world: MakeWorld) -> None:
    here = world("ada", "bo", "cy", seconds_before=[])
    for name in ("bo", "cy"):
        here.join_by_mail(name, f"{name}@example.org")
    here.saga.open()
    here.work()
    here.saga.travel(hours=46)
    # Written, and not sent yet: between the two, bo pays and the organizer stops the booking for everybody.
    notices.remind(here.saga.database, here.saga.merchant_id)
    here.saga.pay("bo")
    notices.sweep(here.deps, here.saga.merchant_id)
    assert here.states("pay_reminder") == {"ada": "shown", "bo": "replaced", "cy": "sent"}
    bookings.cancel_booking(here.saga.database, here.saga.friends["ada"], here.saga.id)
    here.work()
    here.saga.travel(hours=40)
    here.work()
    assert here.subjects("cy@example.org")[-1] == "Nobody was charged – Lights"
    assert here.subjects("bo@example.org")[-1] == "Nobody was charged – Lights"
    assert "Your card was not charged." in plain(here.box.about("bo@example.org")[-1])


def test_a_kept_card_has_done_its_part(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    here.saga.open()
    here.work()
    here.saga.execute(f"UPDATE portion SET state = 'saved' WHERE traveler = '{here.saga.members['bo']}'")
    here.saga.travel(hours=46)
    notices.remind(here.saga.database, here.saga.merchant_id)
    assert here.states("pay_reminder") == {"ada": "pending"}


def test_at_night_nobody_is_written_to_and_in_the_morning_once(world: MakeWorld) -> None:
    here = world("ada", "bo", quiet=True, halfway=False, seconds_before=[86_400])
    # Wherever the clock stands now, the reminder, due in 66 hours, falls into the first of three quiet hours.
    hour = (here.saga.now() + timedelta(hours=66)).hour
    notices.change_reminders(
        here.saga.database,
        here.saga.desk,
        {
            "halfway": False,
            "seconds_before": [86_400],
            "quiet_from_hour": hour,
            "quiet_until_hour": (hour + 3) % 24,
        },
    )
    here.join_by_mail("bo", "bo@example.org", timezone="UTC")
    here.saga.open()
    here.work()
    here.saga.travel(hours=66, minutes=1)
    here.work()
    assert here.states("pay_reminder") == {}
    here.saga.travel(hours=3)
    here.work()
    here.work()
    assert here.states("pay_reminder")["bo"] == "sent"
    assert here.subjects("bo@example.org").count("Your group waits for you – Lights") == 1


def test_a_try_that_failed_in_the_evening_is_made_in_the_morning(world: MakeWorld) -> None:
    here = world("ada", "bo", halfway=False, seconds_before=[86_400])
    here.join_by_mail("bo", "bo@example.org", timezone="UTC")
    here.saga.open()
    here.work()
    here.saga.travel(hours=66, minutes=1)
    here.box.answers["bo@example.org"] = "451 4.7.1 come back later"
    here.work()
    assert here.states("pay_reminder")["bo"] == "pending"
    here.box.answers.clear()
    now = here.saga.now() + here.saga.clock_offset
    notices.change_reminders(
        here.saga.database,
        here.saga.desk,
        {"quiet_from_hour": now.hour, "quiet_until_hour": (now.hour + 4) % 24},
    )
    here.saga.travel(minutes=1)
    notices.sweep(here.deps, here.saga.merchant_id)
    assert here.states("pay_reminder")["bo"] == "pending"
    here.saga.travel(hours=4)
    notices.sweep(here.deps, here.saga.merchant_id)
    assert here.states("pay_reminder")["bo"] == "sent"


def test_a_worker_that_dies_before_it_records_sends_under_the_same_id(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    here.saga.open()
    here.saga.run_until_quiet()
    notices.sweep(here.deps, here.saga.merchant_id)
    here.saga.execute(
        "UPDATE notice SET state = 'pending', attempts = 0, due_at = created_at WHERE code = 'please_pay'"
    )
    notices.sweep(here.deps, here.saga.merchant_id)
    first, second = [mail for mail in here.box.about("bo@example.org") if "Pay your part" in mail["Subject"]]
    assert first["Message-ID"] == second["Message-ID"]  # mailboxes fold the two


def test_a_merchant_sets_its_own_schedule_over_the_api(world: MakeWorld) -> None:
    here = world("ada")
    with here.saga.database.begin(here.saga.merchant_id) as session:
        key = merchants.create_api_key(session, here.saga.house.sealer, name="test").secret
    head = {"Authorization": f"Bearer {key}"}
    with TestClient(build_app(here.saga.house)) as client:
        assert client.put("/v1/reminders", json={"count_max": 1, "seconds_before": [3_600]}, headers=head).json() == {
            "is_on": True,
            "halfway": True,
            "seconds_before": [3_600],
            "count_max": 1,
            "quiet_from_hour": 21,
            "quiet_until_hour": 8,
        }
        assert client.get("/v1/reminders", headers=head).json()["count_max"] == 1
        refused = client.put("/v1/reminders", json={"count_max": 99}, headers=head)
        assert (refused.status_code, refused.json()["code"]) == (422, "reminders_invalid")
        assert client.get("/v1/reminders", headers=head).json()["count_max"] == 1


# --- saying stop ------------------------------------------------------------------------------------------------------


@contextmanager
def reader(here: World, **headers: str) -> Iterator[TestClient]:
    """A browser, or a mail program, that nobody is logged in with."""
    with TestClient(build_app(here.saga.house), base_url=ORIGIN, headers=headers) as client:
        yield client


def test_one_click_stops_reminders_and_looking_stops_nothing(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    here.saga.open()
    here.work()
    here.saga.travel(hours=46)
    here.work()
    reminder = here.box.about("bo@example.org")[-1]
    assert reminder["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    with reader(here) as client:
        for _ in range(2):  # a scanner, then the reader
            shown = client.get(stop_link(reminder))
            assert (shown.status_code, "Stop reminders" in shown.text) == (200, True)
        assert here.saga.count("SELECT count(*) FROM opt_out WHERE reminders_at IS NOT NULL") == 0
        for _ in range(2):  # RFC 8058 section 3.2: no cookie, no origin, no redirect; twice is once
            done = client.post(
                stop_link(reminder),
                data={"List-Unsubscribe": "One-Click"},
                headers={"Origin": "null"},
                follow_redirects=False,
            )
            assert done.status_code == 200
    here.saga.travel(hours=21)
    here.work()
    assert here.states("pay_reminder")["bo"] == "shown"
    assert here.subjects("bo@example.org")[-1] == "Your group waits for you – Lights"
    count = len(here.box.about("bo@example.org"))
    here.saga.travel(hours=40)
    here.work()  # the deadline passed: this is no reminder, and still told
    assert here.subjects("bo@example.org")[count:] == ["Nobody was charged – Lights"]


def test_the_link_in_another_mail_stops_everything_and_turns_it_on_again(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    here.saga.open()
    here.work()
    mail = here.box.about("bo@example.org")[-1]
    with reader(here, **{"Accept-Language": "fr"}) as client:
        assert "Vous ne recevez plus de messages" in client.post(stop_link(mail)).text
        here.saga.travel(hours=46)
        here.work()
        assert here.box.about("bo@example.org")[-1] is mail
        assert here.states("pay_reminder")["bo"] == "shown"
        assert "Les messages sont activés" in client.post(stop_link(mail), data={"wish": "all"}).text
    here.saga.travel(hours=21)
    here.work()
    assert here.subjects("bo@example.org")[-1] == "Your group waits for you – Lights"


def test_who_waits_is_told_by_mail_and_takes_the_place_by_its_link(world: MakeWorld) -> None:
    here = world("ada", "bo", "cy", hours=5)
    saga = here.saga
    saga.open()
    here.work()
    for name in ("di", "eve"):
        joined = bookings.wait_in_line(saga.database, None, saga.invite_token, name=name)
        saga._seat(name, joined.guest_token, joined.member.id)
        here.join_by_mail(name, f"{name}@example.org")
    here.join_by_mail("cy", "cy@example.org")
    bookings.release_place(saga.database, saga.house.sealer, saga.friends["cy"], saga.id)
    here.work()
    assert here.subjects("di@example.org")[1:] == ["A place for you – Lights"]
    assert here.subjects("eve@example.org")[1:] == []
    letter = here.box.about("di@example.org")[-1]
    assert "Time until:" in plain(letter)
    bookings.take_place(saga.database, None, link_in(letter).rpartition("/")[2], nonce="n" * 22)
    here.work()
    assert here.subjects("di@example.org")[2:] == ["Pay your part – Lights"]
    assert here.subjects("cy@example.org")[-1] == "Your place was taken – Lights"
    saga.travel(hours=6)
    here.work()
    assert here.subjects("eve@example.org")[1:] == ["The group has room again – Lights"]


def test_an_offer_that_is_over_is_not_sent(world: MakeWorld) -> None:
    here = world("ada", "bo", "cy", hours=5)
    saga = here.saga
    saga.open()
    here.work()
    joined = bookings.wait_in_line(saga.database, None, saga.invite_token, name="di")
    saga._seat("di", joined.guest_token, joined.member.id)
    here.join_by_mail("di", "di@example.org")
    link = bookings.release_place(saga.database, saga.house.sealer, saga.friends["cy"], saga.id)
    for fact in saga.deliverer.due(saga.merchant_id):
        saga.deliverer.deliver(saga.merchant_id, fact)
    bookings.keep_place(saga.database, saga.friends["cy"], link.id)
    notices.sweep(here.deps, saga.merchant_id)
    assert here.states("place_offered") == {"di": "replaced"}
    here.work()
    assert here.subjects("di@example.org")[1:] == ["The place is not free after all – Lights"]


def test_a_forged_or_cut_link_does_nothing(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    token = stop_link(here.box.mails[-1]).rpartition("/")[2]
    link = read_stop_token(here.deps.sealer, token)
    other = stop_token(here.saga.house.sealer, StopLink(link.merchant_id, "email", bytes(16), link.scope))
    flipped = token[:10] + ("A" if token[10] != "A" else "B") + token[11:]
    with reader(here) as client:
        for bad in (flipped, token[:-4], token + "AAAA", "x", "%00", "a" * 400, "é"):
            assert client.get(f"/mail/{bad}").status_code == 404
            assert client.post(f"/mail/{bad}").status_code == 404
            assert client.post(f"/mail/confirm/{bad}").status_code == 404
        assert client.get(f"/mail/confirm/{token}").status_code == 404  # a link for one thing is none for another
        assert client.post(f"/mail/{other}").status_code == 200  # well signed, and about nobody
    assert here.saga.count("SELECT count(*) FROM opt_out WHERE all_at IS NOT NULL") == 1


def test_a_no_is_not_carried_around(world: MakeWorld) -> None:
    """Bo's mailbox says no; the demo network would reach bo, and is left alone."""
    here = world("ada", "bo")
    become_person(here.saga, "bo", subject="bo-17", locale="en")
    here.join_by_mail("bo", "bo@example.org")
    bot = TwinMessenger()
    here.deps = NoticeDeps(here.saga.database, [bot, *here.deps.messengers], here.deps.sealer, ORIGIN)
    notices.wish(here.deps, here.saga.friends["bo"], here.saga.trip_id, Wishes(False, False))
    here.saga.open()
    here.work()
    assert here.states("please_pay") == {"ada": "shown", "bo": "shown"}
    assert (bot.sent, len(here.box.mails)) == ({}, 1)


# --- letters that come back -------------------------------------------------------------------------------------------


def report(
    mail: EmailMessage, *, status: str = "5.1.1", action: str = "failed", is_whole: bool = True, kind: str = "report"
) -> bytes:
    """RFC 3464, Appendix A, about this letter, with the letter or its headers."""
    letter = mail.as_bytes()
    if not is_whole:
        letter = letter.partition(b"\n\n")[0].partition(b"\r\n\r\n")[0]
    about = "message/rfc822" if is_whole else "text/rfc822-headers"
    head = f"""From: Mail Delivery Subsystem <MAILER-DAEMON@mx.example.org>
To: trips@gb.example
Subject: Delivery failed
MIME-Version: 1.0
Content-Type: multipart/{kind}; report-type=delivery-status; boundary="b1"

--b1
Content-Type: text/plain

The address was not found.

--b1
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.example.org

Final-Recipient: rfc822; somebody.else@example.net
Action: {action}
Status: {status}

--b1
Content-Type: {about}

"""
    return head.encode() + letter + b"\n--b1--\n"


def hand_in(here: World, raw: bytes, password: str = "letters come back") -> Any:
    with reader(here) as server:
        answer = server.post("/in/mail", content=raw, auth=("mail", password))
    return answer.json().get("address_refused") if answer.status_code == 200 else answer.status_code


@pytest.mark.parametrize("is_whole", [True, False])
def test_an_address_whose_letter_came_back_gets_no_more_letters(world: MakeWorld, is_whole: bool) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    here.join_by_mail("ada", "ada@example.org")
    here.saga.open()
    here.work()
    came_back = report(here.box.about("bo@example.org")[-1], is_whole=is_whole)
    assert [hand_in(here, came_back) for _ in range(2)] == [True, True]
    sent = len(here.box.about("bo@example.org"))
    here.saga.travel(hours=46)
    here.work()
    assert (here.states("pay_reminder"), len(here.box.about("bo@example.org"))) == (
        {"ada": "sent", "bo": "shown"},
        sent,
    )
    reach = notices.read_reach(here.deps, here.saga.friends["bo"], here.saga.trip_id)
    assert (reach.is_refused, reach.channel) == (True, None)
    here.give("bo", "bo@example.org")  # the mailbox is mended
    assert not notices.read_reach(here.deps, here.saga.friends["bo"], here.saga.trip_id).is_refused


def test_what_is_no_end_of_a_mailbox_changes_nothing(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    mail = here.box.about("bo@example.org")[-1]
    good = report(mail)
    stranger = EmailMessage()
    stranger["List-Unsubscribe"] = f"<{ORIGIN}/mail/{'A' * 80}>"
    stranger.set_content("Hello")
    for raw in (
        report(mail, status="4.2.2", action="delayed"),
        report(mail, status="5.2.2"),
        report(mail, status="5.7.1"),
        report(mail, action="delivered", status="2.0.0"),
        report(mail, kind="mixed"),
        report(stranger),
        mail.as_bytes(),
        good[: good.index(b"message/rfc822")],
        b"",
        b"\xff\x00" * 500,
        b"Content-Type: multipart/report; boundary=a\n\n" + b"--a\nContent-Type: multipart/mixed; boundary=a\n\n" * 900,
    ):
        assert hand_in(here, raw) is False, raw[:200]
    assert [hand_in(here, good, password) for password in ("", "wrong")] == [401, 401]
    assert here.saga.count("SELECT count(*) FROM opt_out WHERE refused_at IS NOT NULL") == 0
    assert hand_in(here, good) is True


# --- a guest on another device ----------------------------------------------------------------------------------------


def seat_link(here: World, name: str = "bo") -> str:
    """What is behind the button of a letter to a guest with an address."""
    here.join_by_mail(name, f"{name}@example.org")
    here.saga.open()
    here.work()
    return link_in(here.box.about(f"{name}@example.org")[-1])


def asked_for(here: World, link: str, name: str = "bo") -> str:
    """The guest presses the button on their phone; the link that comes."""
    with reader(here, Origin=ORIGIN) as phone:
        assert phone.post(link).status_code == 200
    notices.sweep(here.deps, here.saga.merchant_id)
    return link_in(here.box.about(f"{name}@example.org")[-1])


def refused(here: World, entry: str, status: int, code: str, **headers: str) -> None:
    """Neither looking nor pressing opens anything."""
    used = here.saga.count("SELECT count(*) FROM seat_link WHERE used_at IS NOT NULL")
    keys = here.saga.count("SELECT count(*) FROM session")
    with reader(here, **{"Origin": ORIGIN, **headers}) as phone:
        assert phone.post(entry).status_code == status, code
        assert [name for name in phone.cookies if name.startswith("gb_seat")] == []
    assert here.saga.count("SELECT count(*) FROM seat_link WHERE used_at IS NOT NULL") == used
    assert here.saga.count("SELECT count(*) FROM session") == keys


def test_a_guest_opens_their_seat_on_another_device_once(world: MakeWorld) -> None:
    here = world("ada", "bo")
    saga, link = here.saga, seat_link(here)
    trip = f"/t/{to_wire('trip', saga.trip_id)}"
    assert link.startswith(f"{ORIGIN}/mail/seat/")
    with reader(here, Origin=ORIGIN) as phone:
        assert phone.get(trip).status_code == 401, "the letter alone opens nothing"
        shown = phone.get(link)  # a scanner, then the reader
        assert (shown.status_code, "b•••@example.org" in shown.text) == (200, True)
        assert saga.count("SELECT count(*) FROM seat_link") == 0
        assert "b•••@example.org" in phone.post(link).text
        notices.sweep(here.deps, saga.merchant_id)
        entry = link_in(here.box.about("bo@example.org")[-1])
        assert entry.startswith(f"{ORIGIN}/mail/enter/")
        for _ in range(2):
            assert "You go on as bo in this browser" in phone.get(entry).text
        opened = phone.post(f"{entry}?return_to=https://evil.example", follow_redirects=False)
        assert (opened.status_code, opened.headers["location"]) == (303, trip)
        assert phone.get(trip).status_code == 200
        assert phone.get(link, follow_redirects=False).headers["location"] == trip, "the key is here now"
        key = phone.cookies[f"gb_seat_{saga.trip_id.hex}"]
    on_phone, at_home = people.authenticate(saga.database, key), people.authenticate(saga.database, saga.tokens["bo"])
    assert on_phone is not None
    assert at_home is not None
    assert on_phone.subject == at_home.subject
    refused(here, entry, 410, "replayed")
    notices.sweep(here.deps, saga.merchant_id)
    assert here.states("seat_opened") == {"bo": "sent"}
    assert here.subjects("bo@example.org")[-2:] == [
        "Your link to the trip – Lights",
        "Opened on another device – Lights",
    ]
    with saga.database.begin(saga.merchant_id) as session:
        told = [one.code for one in notices.notices_for(session, saga.members["bo"])]
    assert (told[0], "seat_link" in told) == ("seat_opened", False)


def test_a_link_to_a_seat_is_for_half_an_hour(world: MakeWorld) -> None:
    here = world("ada", "bo")
    entry = asked_for(here, seat_link(here))
    here.saga.execute("UPDATE seat_link SET asked_at = asked_at - interval '30 minutes'")
    refused(here, entry, 410, "seat_link_over")


def test_a_link_that_waited_too_long_is_not_sent(world: MakeWorld) -> None:
    here = world("ada", "bo")
    link = seat_link(here)
    with reader(here, Origin=ORIGIN) as phone:
        phone.post(link)
    here.saga.execute("UPDATE seat_link SET asked_at = asked_at - interval '30 minutes'")
    notices.sweep(here.deps, here.saga.merchant_id)
    assert here.states("seat_link") == {"bo": "replaced"}


def test_guessed_forged_and_foreign_links_open_nothing(world: MakeWorld) -> None:
    here = world("ada", "bo")
    saga, link = here.saga, seat_link(here)
    entry = asked_for(here, link)
    token, sealer = entry.rpartition("/")[2], here.deps.sealer
    id = read_entry_token(sealer, token).id
    other = merchants.create_merchant(saga.database, slug="heron", name="Heron", livemode=False).id
    foreign = entry_token(sealer, EntryLink(other, id))
    unknown = entry_token(sealer, EntryLink(saga.merchant_id, uuid4()))
    for wrong, status in (
        (foreign, 410),
        (unknown, 410),
        (token[:-2], 404),
        (("A" if token[0] != "A" else "B") + token[1:], 404),
        (link.rpartition("/")[2], 404),
        ("e" * len(token), 404),
        ("x", 404),
    ):
        refused(here, f"{ORIGIN}/mail/enter/{wrong}", status, wrong)
    with reader(here, Origin=ORIGIN) as phone:
        assert phone.post(f"{ORIGIN}/mail/seat/{token}").status_code == 404
    refused(here, entry, 403, "foreign_origin", Origin="https://evil.example")


def test_a_link_is_sent_to_the_address_its_owner_confirmed_and_to_no_other(world: MakeWorld) -> None:
    here = world("ada", "bo")
    saga, link = here.saga, seat_link(here)
    entry = asked_for(here, link)
    here.give("bo", "eve@example.org")
    refused(here, entry, 410, "another address")
    mark = address_mark(here.deps.sealer, saga.merchant_id, "email", Address("", "", "", "eve@example.org"))
    unconfirmed = seat_token(here.deps.sealer, AddressLink(saga.merchant_id, saga.members["bo"], mark))
    with reader(here, Origin=ORIGIN) as phone:
        for wrong in (link, f"{ORIGIN}/mail/seat/{unconfirmed}"):
            assert (phone.get(wrong).status_code, phone.post(wrong).status_code) == (404, 404)
    assert here.subjects("eve@example.org") == [QUESTION]


def test_a_seat_asks_for_five_links_a_day(world: MakeWorld) -> None:
    here = world("ada", "bo")
    link = seat_link(here)
    with reader(here, Origin=ORIGIN) as phone:
        for _ in range(5):
            assert phone.post(link).status_code == 200
        sixth = phone.post(link)
        assert (sixth.status_code, "Try again tomorrow" in sixth.text) == (429, True)
    assert here.saga.count("SELECT count(*) FROM seat_link") == 5
    assert here.saga.count("SELECT count(*) FROM notice WHERE code = 'seat_link'") == 5


def test_who_handed_their_place_over_opens_their_own_seat_and_not_the_new_one(world: MakeWorld) -> None:
    here = world("ada", "bo")
    saga, link = here.saga, seat_link(here)
    entry = asked_for(here, link)
    place = bookings.hand_over(saga.database, saga.house.sealer, saga.friends["bo"], saga.id, for_name="Di")
    taken = bookings.take_place(saga.database, None, place.token, nonce=mint_invite_token())
    saga._seat("Di", taken.guest_token, taken.member.id)
    found, key = notices.enter(saga.database, here.deps.sealer, entry.rpartition("/")[2])
    caller = people.authenticate(saga.database, key)
    assert caller is not None
    assert (found.member_id, caller.subject) == (saga.members["bo"], saga.friends["bo"].subject)
    assert [line.traveler for line in saga.booking().portions if line.traveler == saga.members["bo"]] == []


def test_who_left_or_logs_in_opens_no_seat_by_mail(world: MakeWorld) -> None:
    here = world("ada", "bo", "cy")
    saga, link = here.saga, seat_link(here)
    entry = asked_for(here, link)
    saga.adopt("bo", saga.person("bo@network.example"))
    refused(here, entry, 410, "a person logs in")
    here.join_by_mail("cy", "cy@example.org")
    mark = address_mark(here.deps.sealer, saga.merchant_id, "email", Address("", "", "", "cy@example.org"))
    cy = seat_token(here.deps.sealer, AddressLink(saga.merchant_id, saga.members["cy"], mark))
    other = asked_for(here, f"{ORIGIN}/mail/seat/{cy}", "cy")
    saga.execute(f"UPDATE member SET left_at = now() WHERE id = '{saga.members['cy']}'")
    refused(here, other, 410, "left")


# --- addresses --------------------------------------------------------------------------------------------------------


def test_an_address_hears_nothing_before_its_owner_says_yes(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.give("bo", "bo@example.org")
    here.saga.open()
    here.work()
    assert here.subjects("bo@example.org") == [QUESTION]
    assert here.states("please_pay")["bo"] == "shown"
    question = link_in(here.box.mails[0])
    with reader(here) as client:
        assert "Is this your address?" in client.get(question).text
        here.saga.travel(hours=46)
        here.work()
        assert len(here.box.mails) == 1
        for _ in range(2):
            assert "News comes to your mailbox now" in client.post(question).text
    here.saga.travel(hours=21)
    here.work()
    assert here.subjects("bo@example.org")[1:] == ["Your group waits for you – Lights"]


def test_an_address_that_does_not_exist_is_written_to_once(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    here.box.answers["bo@example.org"] = "550 5.1.1 no such mailbox"
    here.saga.open()
    here.work()
    assert here.states("please_pay")["bo"] == "failed"
    here.saga.travel(hours=46)
    here.work()
    assert here.states("pay_reminder")["bo"] == "shown"
    assert notices.read_reach(here.deps, here.saga.friends["bo"], here.saga.trip_id).is_refused
    here.box.answers.clear()
    here.join_by_mail("bo", "bo2@example.org")
    here.saga.travel(hours=21)
    here.work()
    assert here.subjects("bo2@example.org")[1:] == ["Your group waits for you – Lights"]
    assert here.subjects("bo@example.org") == [QUESTION]


def test_a_mailbox_that_is_full_for_now_is_tried_again(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.join_by_mail("bo", "bo@example.org")
    here.box.answers["bo@example.org"] = "450 4.2.0 greylisted"
    here.saga.open()
    here.work()
    assert here.states("please_pay")["bo"] == "pending"
    here.work()
    assert here.states("please_pay")["bo"] == "pending"  # not before its time
    here.box.answers.clear()
    here.saga.travel(seconds=15)
    here.work()
    assert here.states("please_pay")["bo"] == "sent"


def test_nobody_is_flooded_and_who_said_no_is_not_asked(world: MakeWorld) -> None:
    here = world("ada", "bo", "cy")
    for number in range(addresses_per_day_max):
        here.give("bo", f"bo{number}@example.org")
    with pytest.raises(TooManyAddresses):
        here.give("bo", "bo9@example.org")
    victim = "victim@example.org"
    here.give("ada", victim)
    with reader(here) as client:
        client.post(stop_link(here.box.about(victim)[-1]))  # the question's own link says no for good
    here.give("cy", victim)
    assert len(here.box.about(victim)) == 1
    assert notices.read_reach(here.deps, here.saga.friends["cy"], here.saga.trip_id).channel is None


def test_the_question_to_a_stranger_carries_no_word_that_people_typed(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.saga.execute("UPDATE trip SET title = 'Win big at https://casino.example/now'")
    here.give("bo", "stranger@example.org")
    [mail] = here.box.about("stranger@example.org")
    html = mail.get_body(("html",))
    assert html is not None
    assert mail["Subject"] == QUESTION
    assert "casino" not in plain(mail) + html.get_content()
    assert "Win big" not in mail.as_string()
    here.confirm("stranger@example.org")
    here.saga.open()
    here.work()
    assert here.subjects("stranger@example.org")[1:] == ["Pay your part – Win big at https://casino.example/now"]


def test_who_forgets_an_address_may_not_try_five_more(world: MakeWorld) -> None:
    here = world("ada", "bo")
    for _ in range(addresses_per_day_max):
        here.give("bo", "victim@example.org")
        notices.drop_address(here.deps, here.saga.friends["bo"], here.saga.trip_id)
    for name, email in (("bo", "victim@example.org"), ("bo", "other@example.org"), ("ada", "victim@example.org")):
        with pytest.raises(TooManyAddresses):
            here.give(name, email)
    assert len(here.box.about("victim@example.org")) == addresses_per_day_max


def test_the_questions_of_a_day_are_bounded_per_trip_and_per_merchant(world: MakeWorld) -> None:
    """Members and trips cost nothing: tries of many members, in this trip and in another one."""
    here = world("ada", "bo", "cy")
    trip = here.saga.trip_id

    def tries(count: int, trip_id: object) -> None:
        here.saga.execute(
            "INSERT INTO address_try (merchant_id, id, member_id, trip_id, address_mark, tried_at) SELECT"
            f" '{here.saga.merchant_id}', gen_random_uuid(), gen_random_uuid(), '{trip_id}',"
            f" uuid_send(gen_random_uuid()), clock_timestamp() FROM generate_series(1, {count})"
        )

    tries(addresses_per_trip_max - 1, trip)
    here.give("ada", "ada@example.org")
    with pytest.raises(TooManyAddresses) as caught:
        here.give("bo", "bo@example.org")
    assert caught.value.params == {"per_day_max": addresses_per_trip_max}
    here.saga.execute("UPDATE address_try SET tried_at = tried_at - interval '25 hours'")
    tries(2, uuid4())
    here.deps = replace(here.deps, addresses_per_merchant_max=3)
    here.give("bo", "bo@example.org")
    with pytest.raises(TooManyAddresses) as caught:
        here.give("cy", "cy@example.org")
    assert caught.value.params == {"per_day_max": 3}
    assert (len(here.box.about("bo@example.org")), here.box.about("cy@example.org")) == (1, [])


def test_addresses_are_deleted_on_request_with_the_person_and_by_age(world: MakeWorld) -> None:
    here = world("ada", "bo", "cy")
    for name in ("ada", "bo", "cy"):
        here.join_by_mail(name, f"{name}@example.org")
    notices.drop_address(here.deps, here.saga.friends["ada"], here.saga.trip_id)
    with here.saga.database.begin(here.saga.merchant_id) as session:
        notices.forget(session, [here.saga.members["bo"]])
        assert notices.forget_addresses(session) == 0
    assert here.saga.count("SELECT count(*) FROM reach") == 1
    here.saga.execute("UPDATE reach SET given_at = given_at - interval '91 days'")
    with here.saga.database.begin(here.saga.merchant_id) as session:
        assert notices.forget_addresses(session) == 0  # the question was sent lately
        session.execute(text("UPDATE notice SET created_at = created_at - interval '91 days'"))
        assert notices.forget_addresses(session) == 1


def test_an_old_question_is_no_longer_answered(world: MakeWorld) -> None:
    here = world("ada", "bo")
    here.give("bo", "bo@example.org")
    question = link_in(here.box.mails[0])
    here.give("bo", "other@example.org")
    with reader(here) as client:
        assert client.post(question).status_code == 404  # another address was given meanwhile
        newer = link_in(here.box.mails[1])
        here.saga.execute("UPDATE reach SET given_at = given_at - interval '8 days'")
        assert client.post(newer).status_code == 404
    assert here.saga.count("SELECT count(*) FROM reach WHERE confirmed_at IS NOT NULL") == 0


def test_marks_do_not_cross_merchants_and_fold_letter_case(world: MakeWorld) -> None:
    here = world("ada")

    def mark(merchant: Any, email: str) -> bytes:
        return address_mark(here.deps.sealer, merchant, "email", Address("", "", "", email))

    one = mark(here.saga.merchant_id, "Ana@example.org")
    assert one == mark(here.saga.merchant_id, "ana@example.org")
    assert one != mark(here.saga.trip_id, "ana@example.org")


# --- the member's own page --------------------------------------------------------------------------------------------


def test_the_page_gives_changes_and_takes_back(world: MakeWorld) -> None:
    here = world("ada", "bo")
    path = f"/t/{to_wire('trip', here.saga.trip_id)}/reminders"
    bearer = {"Authorization": f"Bearer {here.saga.tokens['bo']}"}
    with reader(here, **bearer) as client:
        assert "On this page only" in client.get(path).text
        bad = client.post(path, data={"act": "give", "email": "not an address"})
        assert (bad.status_code, "no e-mail address" in bad.text) == (422, True)
        given = client.post(path, data={"act": "give", "email": "bo@Example.org", "timezone": "Asia/Tokyo"})
        assert "a question is on its way" in given.text
        assert "b•••@example.org" in given.text
        assert "bo@example.org" not in given.text
        notices.sweep(here.deps, here.saga.merchant_id)
        here.confirm("bo@example.org")
        assert "By e-mail: b•••@example.org" in client.get(path).text
        client.post(path, data={"wish": "decisions"})
        assert here.saga.count("SELECT count(*) FROM opt_out WHERE reminders_at IS NOT NULL AND all_at IS NULL") == 1
        client.post(path, data={"wish": "all"})
        assert here.saga.count("SELECT count(*) FROM opt_out WHERE reminders_at IS NOT NULL") == 0
        client.post(path, data={"act": "drop"})
        assert here.saga.count("SELECT count(*) FROM reach") == 0
    with reader(here) as client:
        assert client.get(path).status_code == 401
        assert client.post(path, data={"act": "drop"}).status_code in (401, 403)


@pytest.mark.parametrize(
    "email",
    ["a@b", "a b@c.de", "a@c.de\nBcc: x@y.z", "a@c.de,b@c.de", "<a@c.de>", '"a b"@c.de', "a@-c.de", "é@c.de", "@c.de"],
)
def test_what_is_no_address_is_refused(email: str) -> None:
    with pytest.raises(AddressInvalid):
        check_email(email)


def test_an_address_is_kept_as_written_and_shown_masked() -> None:
    assert check_email(" Ana.Blanc+trips@Example.ORG ") == "Ana.Blanc+trips@example.org"
    assert masked("ana@example.org") == "a•••@example.org"
