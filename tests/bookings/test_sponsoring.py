"""Sponsors who do not travel: they give by a link, pay like everybody, and get back what is theirs.

Two pay 50.00 each; three 5 % less (47.50).
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from groupbook import bookings, payments, people, trips
from groupbook.bookings import Change, SponsorLink
from groupbook.bookings.domain import (
    BookingClosed,
    BookingState,
    ContributionInvalid,
    NonceMissing,
    NotOrganizer,
    NotTraveling,
    SponsorLinkNotFound,
    SponsorLinkOver,
)
from groupbook.kit.money import Money
from groupbook.payments.domain import PortionState
from groupbook.people.domain import NameEmpty
from groupbook.trips.domain import NotMember, Role, mint_invite_token
from tests.bookings.test_parts import balanced, eur, extra, give, leave, opened, owed, pay_extra, taken
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]


def link_of(house: Saga, minor: int = 6_000) -> SponsorLink:
    return bookings.want_gifts(house.database, house.house.sealer, house.friends["ada"], house.id, eur(minor))


def sponsor(house: Saga, link: SponsorLink, minor: int, name: str = "gran", nonce: str | None = None) -> str:
    found = bookings.give_without_a_place(
        house.database, None, link.token, eur(minor), name=name, nonce=nonce or mint_invite_token()
    )
    caller = people.authenticate(house.database, found.joined.guest_token or "")
    assert caller is not None
    house.friends[name], house.members[name] = caller, found.joined.member.id
    house.run_until_quiet()
    return name


def test_somebody_outside_gives_pays_and_lowers_everybodys_part(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    link = link_of(house)
    wanted = bookings.open_gift(house.database, link.token)
    assert (wanted.title, wanted.by, wanted.left, wanted.travelers) == ("Lights", "ada", eur(6_000), 3)
    sponsor(house, link, 3_000)
    assert owed(house) == {"ada": 3_750, "bo": 3_750, "cy": 3_750}
    assert link_of(house).left == eur(3_000)
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    assert house.booking().state is BookingState.OPEN, "the group waits for the sponsor, too"
    pay_extra(house, "gran")
    balanced(house)
    assert (taken(house), extra(house).state) == (14_250, PortionState.CAPTURED)
    assert bookings.read_tickets(house.database, house.friends["gran"], house.id) == []
    receipt = bookings.read_receipt(house.database, house.friends["gran"], house.id)
    assert receipt.payer_name == "gran"


def test_a_sponsor_has_no_place_and_sees_their_own_part_only(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    link = link_of(house)
    sponsor(house, link, 2_000)
    sponsor(house, link, 1_000, "boss")
    with house.database.begin(house.merchant_id) as session:
        seats = {one.name: (one.role, one.is_going) for one in trips.members(session, house.trip_id)}
    assert seats["gran"] == seats["boss"] == (Role.VIEWER, False)
    shown = house.booking("gran")
    assert (shown.portions, shown.splits, shown.seats) == ((), (), ())
    assert [(line.kind, line.amount, line.is_payable_by_me) for line in shown.extras] == [("sponsor", eur(2_000), True)]
    with pytest.raises(NotMember):
        bookings.wait_again(house.database, house.friends["gran"], house.trip_id)


def test_a_group_that_fails_charges_no_sponsor(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    sponsor(house, link_of(house), 2_000)
    pay_extra(house, "gran")
    house.pay("ada")
    house.travel(minutes=31)
    house.run_until_quiet()
    assert (house.booking().state, taken(house)) == (BookingState.ABORTED, 0)
    assert extra(house).state is PortionState.VOIDED


def test_a_falling_price_takes_of_the_sponsor_what_is_needed(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    sponsor(house, link_of(house, 14_000), 14_000)
    pay_extra(house, "gran")
    leave(house, "cy")  # two pay 100.00 together: of the 140.00 only that is taken
    house.run_until_quiet()
    assert owed(house) == {"ada": 0, "bo": 0}
    balanced(house)
    assert (extra(house).captured, taken(house)) == (eur(10_000), 10_000)


def test_what_goes_back_goes_back_to_the_sponsor_too(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    sponsor(house, link_of(house), 6_000)
    for name in ("ada", "bo", "cy"):
        house.pay(name)
    pay_extra(house, "gran")
    to_gran = Change("replace", house.members["cy"], by=house.members["gran"])
    with pytest.raises(NotTraveling):
        bookings.amend_booking(house.database, house.friends["cy"], house.id, to_gran)
    bookings.amend_booking(house.database, house.friends["cy"], house.id, Change("cancel", house.members["cy"]))
    house.run_until_quiet()
    back = {line.payer_name: line.refunded for line in (*house.booking().portions, *house.booking().extras)}
    cy, gran = back["cy"], back["gran"]
    assert cy is not None
    assert gran is not None
    assert gran.minor > 0
    assert cy.minor > gran.minor
    bookings.cancel_booking(house.database, house.desk, house.id)
    house.run_until_quiet()
    assert (house.booking().state, extra(house).refunded) == (BookingState.REFUNDED, eur(6_000))


def test_a_lost_answer_is_asked_for_again_and_a_double_click_gives_once(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    link, nonce = link_of(house), mint_invite_token()
    for _ in range(2):
        sponsor(house, link, 2_000, nonce=nonce)
    assert (len(house.booking().extras), house.count("SELECT count(*) FROM member WHERE role = 'viewer'")) == (1, 1)
    boss = house.person("boss")
    gifts = {
        bookings.give_without_a_place(
            house.database, boss, link.token, eur(1_000), name=None, nonce="n" * 22
        ).contribution_id
        for _ in range(2)
    }
    assert len(gifts) == 1


@pytest.mark.parametrize(
    "why", ["too much", "too little", "dollars", "no name", "no nonce", "closed", "full", "decided"]
)
def test_what_a_link_does_not_take(saga: MakeSaga, why: str) -> None:
    house = opened(saga, "ada", "bo")
    link, name, nonce, amount = link_of(house), "gran", mint_invite_token(), eur(2_000)
    wanted: type[Exception] = ContributionInvalid
    given: str | None = nonce
    if why == "too much":
        amount = eur(6_001)
    elif why == "too little":
        amount = eur(49)
    elif why == "dollars":
        amount = Money(2_000, "USD")
    elif why == "no name":
        name, wanted = " ", NameEmpty
    elif why == "no nonce":
        given, wanted = None, NonceMissing
    elif why == "closed":
        wanted = SponsorLinkOver
        for _ in range(2):
            bookings.want_no_gifts(house.database, house.friends["ada"], link.id)
    elif why == "full":
        sponsor(house, link, 6_000, "boss")
        wanted = SponsorLinkOver
    elif why == "decided":
        wanted = BookingClosed
        for one in ("ada", "bo"):
            house.pay(one)
    before = (house.count("SELECT count(*) FROM member"), owed(house))
    with pytest.raises(wanted):
        bookings.give_without_a_place(house.database, None, link.token, amount, name=name, nonce=given)
    assert (house.count("SELECT count(*) FROM member"), owed(house)) == before


def test_only_the_organizer_makes_and_closes_the_link(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    with pytest.raises(NotOrganizer):
        bookings.want_gifts(house.database, house.house.sealer, house.friends["bo"], house.id, eur(1_000))
    link = link_of(house, 1_000)
    assert link_of(house, 2_000) == SponsorLink(link.id, link.token, eur(2_000), eur(2_000)), "one link"
    with pytest.raises(NotOrganizer):
        bookings.want_no_gifts(house.database, house.friends["bo"], link.id)
    for amount in (49, 10_001):
        with pytest.raises(ContributionInvalid):
            link_of(house, amount)
    with pytest.raises(SponsorLinkNotFound):
        bookings.open_gift(house.database, "x" * 22)


def test_a_promise_that_nobody_keeps_is_taken_back(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    link = link_of(house)
    sponsor(house, link, 2_000)
    (line,) = house.booking("gran").extras
    assert line.contribution_id is not None
    bookings.take_back(house.database, house.friends["ada"], line.contribution_id)
    assert (owed(house), link_of(house).left) == ({"ada": 5_000, "bo": 5_000}, eur(6_000))


@pytest.mark.parametrize("how", ["leaves", "is removed"])
def test_a_sponsor_who_leaves_the_trip_gives_nothing(saga: MakeSaga, how: str) -> None:
    """P4: their seat is gone, so nobody could take the gift back for them; before the freeze that is as leaving."""
    house = opened(saga, "ada", "bo")
    sponsor(house, link_of(house), 2_000)
    pay_extra(house, "gran")
    kept = extra(house).portion_id
    who = house.friends["gran" if how == "leaves" else "ada"]
    if how == "leaves":
        trips.leave(house.database, who, house.trip_id)
    else:
        trips.remove_member(house.database, who, house.trip_id, house.members["gran"])
    for _ in range(2):
        house.run_until_quiet()
    assert (owed(house), house.booking().extras) == ({"ada": 5_000, "bo": 5_000}, ())
    for name in ("ada", "bo"):
        house.pay(name)
    assert (house.booking().state, taken(house)) == (BookingState.BOOKED, 10_000)
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        (portion,) = [one for one in payments.portions_of(session, booking_id) if one.id == kept]
    assert (portion.state, portion.captured) == (PortionState.VOIDED, eur(0))


def look(house: Saga) -> None:
    """What a bank's answer or the sweep makes the booking do, before any news of somebody who left is delivered."""
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        bookings.progress(session, booking_id)


def withdrawn(house: Saga) -> int:
    return house.count("SELECT count(*) FROM booking_step WHERE event = 'contribution_withdrawn'")


def test_a_sponsor_who_left_before_the_group_was_complete_gives_nothing(saga: MakeSaga) -> None:
    """Their leave is committed and not yet heard of. Both others agreed to 40.00 and are asked for 50.00."""
    house = opened(saga, "ada", "bo")
    sponsor(house, link_of(house), 2_000)
    pay_extra(house, "gran")
    house.pay("ada")
    house.page("bo")
    house.provider.authorize(house._attempt("bo"))
    portion_id = house.portion("bo").portion_id
    assert portion_id is not None
    payments.refresh_portion(house.database, house.house.runner, house.merchant_id, portion_id)
    trips.leave(house.database, house.friends["gran"], house.trip_id)
    look(house)
    assert (house.booking().state, house.booking().extras) == (BookingState.OPEN, ())
    assert (owed(house), withdrawn(house)) == ({"ada": 5_000, "bo": 5_000}, 1)
    house.run_until_quiet()
    for name in ("ada", "bo"):
        house.pay(name)
    assert (house.booking().state, withdrawn(house)) == (BookingState.BOOKED, 1)
    assert [amount for _, amount in house.provider.captures] == [5_000, 5_000]


def test_a_sponsor_who_left_before_the_deadline_gives_nothing(saga: MakeSaga) -> None:
    """Two of three must go. Everybody agreed to what they would pay alone, so nobody is asked again."""
    house = opened(saga, "ada", "bo", "cy", payer_quorum=2)
    sponsor(house, link_of(house), 3_000)
    pay_extra(house, "gran")
    for name in ("ada", "bo"):
        house.pay(name)
    trips.leave(house.database, house.friends["gran"], house.trip_id)
    house.travel(minutes=29)
    look(house)
    assert (house.booking().state, house.booking().extras) == (BookingState.FREEZING, ())
    house.run_until_quiet()
    assert (house.booking().state, withdrawn(house)) == (BookingState.BOOKED, 1)
    assert [amount for _, amount in house.provider.captures] == [5_000, 5_000]


def test_a_sponsor_leaves_also_where_the_others_cannot_be_asked_for_the_rest(saga: MakeSaga) -> None:
    """Ada gives 99.60 of 100.00 and Gran 1.00, so a part of each is taken; for 0.40 nobody can be asked by card."""
    house = opened(saga, "ada", "bo")
    sponsor(house, link_of(house, 100), 100)
    give(house, "ada", 9_900)
    assert owed(house) == {"ada": 0, "bo": 0}
    house.execute("UPDATE contribution SET amount = 9960 WHERE amount = 9900")
    trips.leave(house.database, house.friends["gran"], house.trip_id)
    house.run_until_quiet()
    assert (house.booking().state, house.booking().reason) == (BookingState.ABORTED, "price_changed")
    assert taken(house) == 0


@pytest.mark.parametrize("travels", [True, False])
def test_a_sponsor_who_logs_in_loses_nothing_of_what_they_give(saga: MakeSaga, *, travels: bool) -> None:
    """Bo gives as a guest and is in the trip as a person, too: whoever gives can still read it and take it back."""
    house = saga("ada", "bo", "cy")
    person = house.person("bo@plaza")
    house.adopt("bo", person)
    house.friends["bo"] = person
    if not travels:
        trips.set_going(house.database, person, house.trip_id, is_going=False)
    house.open()
    house.run_until_quiet()
    sponsor(house, link_of(house), 2_000)
    pay_extra(house, "gran")
    house.adopt("gran", person)
    giver = house.friends["gran"] if travels else person  # two seats that count: neither ends
    (line,) = bookings.read_booking(house.database, giver, house.id).extras
    assert (line.payer, line.amount, line.card) == (house.members["gran"], eur(2_000), "visa 4242")
    with house.database.begin(house.merchant_id) as session:
        roles = [one.role for one in trips.members(session, house.trip_id) if one.person_id == person.subject]
    assert roles == [Role.MEMBER]
    assert line.contribution_id is not None
    bookings.take_back(house.database, giver, line.contribution_id)
    house.run_until_quiet()
    assert house.booking().extras == ()
