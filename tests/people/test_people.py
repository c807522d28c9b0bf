"""Names, seats, cards, consent and being forgotten."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groupbook.kit.ids import GuestId, PersonId, new_id
from groupbook.people import (
    add_guest,
    adopt_guest,
    authenticate,
    clean_name,
    contacts_of,
    forget,
    give_consent,
    guests_of,
    has_consent,
    people_cards,
    read_person,
    rename_guest,
    safe_return,
    withdraw_consent,
)
from groupbook.people.domain import (
    GuestAdopted,
    GuestNotFound,
    NameEmpty,
    NameTooLong,
    PersonNotFound,
    initials,
    safe_picture,
    trim_name,
)
from tests.people.conftest import House


@pytest.mark.parametrize(
    ("given_name", "stored"),
    [
        ("  Ana  ", "Ana"),
        ("👩‍👩‍👧 Zoé 🏴󠁧󠁢󠁳󠁣󠁴󠁿", "👩‍👩‍👧 Zoé 🏴󠁧󠁢󠁳󠁣󠁴󠁿"),
        ("محمد علی‌رضا", "محمد علی‌رضا"),
        ("דָּנָה", "דָּנָה"),
        ("Ana\u202egnp.exe", "Anagnp.exe"),
        ("\u2066Bo\u2069 \u200f", "Bo"),
        ("Ca\x00r\nol\u2028e\ufeff", "Car ol e"),
        ("e\u0301", "é"),
        ("Z" + "\u0335" * 60, "Z" + "\u0335" * 4),
        ("名" * 80, "名" * 80),
    ],
)
def test_a_name_keeps_what_belongs_to_it(given_name: str, stored: str) -> None:
    assert clean_name(given_name) == stored


@pytest.mark.parametrize("nothing", ["", "   ", "\u202e\u200d", "\ufeff", "\u0301", " " * 10_000])
def test_a_name_without_anything_to_see_is_refused(nothing: str) -> None:
    with pytest.raises(NameEmpty):
        clean_name(nothing)
    assert trim_name(nothing) == ""


@pytest.mark.parametrize("long", ["a" * 81, "a" * 10_000, "👩‍👧" * 5_000, "x" + " " * 9_000 + "y" * 90])
def test_a_name_over_80_characters_is_refused(long: str) -> None:
    with pytest.raises(NameTooLong):
        clean_name(long)
    assert len(trim_name(long)) <= 80


@given(st.text(max_size=120))
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    once = trim_name(text)
    assert trim_name(once) == once
    assert len(initials(once)) <= 4


def test_initials_pictures_and_ways_back_are_harmless() -> None:
    assert [initials(name) for name in ("Ana", "Chloé de la Tour", "🎉", "", "محمد علی")] == ["A", "CT", "", "", "مع"]
    assert safe_picture("https://x.example/a.svg") == "https://x.example/a.svg"
    for bad in (
        "javascript:alert(1)",
        "data:image/svg+xml,x",
        "//x",
        "https://u@x/a",
        "https://x/\n",
        "h" * 3_000,
        None,
    ):
        assert safe_picture(bad) is None
    assert safe_return("/t/abc?x=1#y") == "/t/abc?x=1#y"
    for bad in ("//evil.example", "/\\evil.example", "https://evil.example", "evil", "/a b", "/a\r\nX: y", "", None):
        assert safe_return(bad) == "/"


def test_a_guest_becomes_a_person_and_loses_nothing(house: House) -> None:
    trip_ref = new_id()
    with house.database.begin(house.kestrel.id) as session:
        seat = add_guest(session, trip_ref=trip_ref, name=" Gil 🎷 ")
        assert people_cards(session, [seat.guest.id])[seat.guest.id].display_name == "Gil 🎷"
    caller = authenticate(house.database, seat.session.token)
    assert caller is not None
    assert (caller.kind, caller.subject) == ("guest", seat.guest.id)
    gil = house.log_in("gil", guest_tokens=(seat.session.token, "junk"))
    with house.database.begin(house.kestrel.id) as session:
        [adopted] = guests_of(session, gil.person.id)
        assert (adopted.id, adopted.trip_ref) == (seat.guest.id, trip_ref)
        cards = people_cards(session, [seat.guest.id, gil.person.id, new_id()])
        assert {id: card.display_name for id, card in cards.items()} == {seat.guest.id: "Gil", gil.person.id: "Gil"}
        adopt_guest(session, seat.guest.id, gil.person.id)  # twice is once
    assert authenticate(house.database, seat.session.token) is None
    assert house.facts() == [
        (
            "guest.adopted",
            {"guest_id": seat.guest.id.hex, "person_id": gil.person.id.hex, "trip_ref": trip_ref.hex},
        )
    ]


def test_a_seat_is_not_taken_from_its_owner(house: House) -> None:
    with house.database.begin(house.kestrel.id) as session:
        seat = add_guest(session, trip_ref=new_id(), name="Gil")
    gil, bo = house.log_in("gil", guest_tokens=(seat.session.token,)), house.log_in("bo")
    with house.database.begin(house.kestrel.id) as session:
        with pytest.raises(GuestAdopted):
            adopt_guest(session, seat.guest.id, bo.person.id)
        with pytest.raises(GuestAdopted):
            rename_guest(session, seat.guest.id, "Bo")
        with pytest.raises(GuestNotFound):
            adopt_guest(session, GuestId(new_id()), bo.person.id)
        assert [guest.id for guest in guests_of(session, gil.person.id)] == [seat.guest.id]
    with house.database.begin(house.other.id) as session, pytest.raises(GuestNotFound):
        adopt_guest(session, seat.guest.id, gil.person.id)


def test_a_guest_can_be_renamed_and_never_to_nothing(house: House) -> None:
    with house.database.begin(house.kestrel.id) as session:
        seat = add_guest(session, trip_ref=new_id(), name="Gil")
        assert rename_guest(session, seat.guest.id, "ギル").name == "ギル"
        with pytest.raises(NameTooLong):
            rename_guest(session, seat.guest.id, "x" * 10_000)
        assert people_cards(session, [seat.guest.id])[seat.guest.id].display_name == "ギル"


def test_consent_stands_until_withdrawn_and_can_be_given_again(house: House) -> None:
    ana = house.log_in("ana").person.id
    with house.database.begin(house.kestrel.id) as session:
        assert not has_consent(session, ana, "messages")
        give_consent(session, ana, "messages")
        give_consent(session, ana, "messages")
        assert has_consent(session, ana, "messages")
        withdraw_consent(session, ana, "messages")
        assert not has_consent(session, ana, "messages")
        give_consent(session, ana, "messages")
    assert house.count("consent") == 2


def test_forgetting_leaves_a_nameless_tombstone_and_says_so_once(house: House) -> None:
    with house.database.begin(house.kestrel.id) as session:
        seat = add_guest(session, trip_ref=new_id(), name="Ana the guest")
    ana, bo = house.log_in("ana", guest_tokens=(seat.session.token,)), house.log_in("bo")
    with house.database.begin(house.kestrel.id) as session:
        give_consent(session, ana.person.id, "messages")
        forget(session, ana.person.id)
        forget(session, ana.person.id)
        with pytest.raises(PersonNotFound):
            forget(session, PersonId(new_id()))
    with house.database.begin(house.kestrel.id) as session:
        gone = read_person(session, ana.person.id)
        assert (gone.display_name, gone.avatar_url, gone.locale, gone.erased) == ("", None, None, True)
        assert contacts_of(session, [ana.person.id]) == {}
        assert people_cards(session, [seat.guest.id])[seat.guest.id].display_name == ""
        assert read_person(session, bo.person.id).display_name == "Bo"
    assert authenticate(house.database, ana.session.token) is None
    assert [payload for name, payload in house.facts() if name == "person.erased"] == [
        {"person_id": ana.person.id.hex, "guest_ids": [seat.guest.id.hex]}
    ]
    assert (house.count("consent"), house.count("social_account")) == (0, 1)
    assert house.log_in("ana").person.id != ana.person.id
