"""The waiting list on a whole house: who is next, until when, and that the money follows the place."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from groupbook import bookings, notices, payments, people, trips
from groupbook.bookings import Line, Release
from groupbook.bookings.domain import (
    AlreadyTraveling,
    BookingClosed,
    BookingState,
    HandoverNotFound,
    HandoverOpen,
    HandoverOver,
    NobodyWaits,
    NotTraveling,
)
from groupbook.kit.errors import Unauthenticated
from groupbook.people.domain import NameEmpty
from groupbook.trips.domain import (
    InviteNotFound,
    InviteRevoked,
    NothingToWaitFor,
    Role,
    TripFull,
    TripNotFound,
    members_max,
    mint_invite_token,
)
from tests.bookings.test_handing import hand_over
from tests.bookings.test_parts import balanced, leave, opened, owed
from tests.support.saga import Saga

MakeSaga = Callable[..., Saga]


def wait(house: Saga, *names: str) -> None:
    for name in names:
        joined = bookings.wait_in_line(house.database, None, house.invite_token, name=name)
        house._seat(name, joined.guest_token, joined.member.id)


def line(house: Saga, name: str) -> Line:
    return bookings.read_line(house.database, house.house.sealer, house.friends[name], house.trip_id)


def release(house: Saga, name: str) -> Release:
    found = bookings.release_place(house.database, house.house.sealer, house.friends[name], house.id)
    house.run_until_quiet()
    return found


def take(house: Saga, name: str, token: str | None = None) -> None:
    offered = line(house, name).offered
    bookings.take_place(house.database, house.friends[name], token or (offered.token if offered else ""))
    house.run_until_quiet()


def facts(house: Saga, name: str) -> list[str]:
    """Whom each fact of this name is about."""
    names = {member.hex: name for name, member in house.members.items()}
    with house.database.begin(house.merchant_id) as session:
        from sqlalchemy import text

        found = session.execute(
            text("SELECT payload->>'member_id' FROM fact WHERE name = :name ORDER BY id"), {"name": name}
        )
        return [names[row[0]] for row in found]


def test_the_first_in_the_line_takes_the_place_and_the_money_follows(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", lost_discount="leaver")
    wait(house, "di", "eve")
    for name in ("ada", "cy"):
        house.pay(name)
    cy = house._attempt("cy")
    assert [line(house, name).position for name in ("di", "eve", "ada")] == [1, 2, None]
    first = release(house, "cy")
    assert release(house, "cy") == first, "twice is once"
    assert (line(house, "di").offered is not None, line(house, "eve").offered) == (True, None)
    assert house.states()["cy"] == "authorized", "until it is taken it is cy's"
    take(house, "di")
    assert owed(house) == {"ada": 4_750, "bo": 4_750, "di": 4_750}
    assert house.provider.voids == [cy]
    assert house.booking().extras == (), "nobody bears anything: no discount was lost"
    assert (line(house, "di").position, line(house, "eve").position) == (None, 1)
    for name in ("bo", "di"):
        house.pay(name)
    balanced(house)
    assert house.states() == {"ada": "captured", "bo": "captured", "di": "captured"}
    assert cy not in [attempt for attempt, _ in house.provider.captures]
    assert [facts(house, name) for name in ("place.taken", "place.filled", "waiting.over")] == [["cy"], ["di"], ["eve"]]
    assert line(house, "eve").position is None


def test_who_waits_is_no_member_and_sees_nothing_of_the_others(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    wait(house, "di")
    with house.database.begin(house.merchant_id) as session:
        (seat,) = [one for one in trips.members(session, house.trip_id) if one.name == "di"]
    assert (seat.role, seat.is_going) == (Role.VIEWER, False)
    shown = house.booking("di")
    assert (shown.portions, shown.extras, shown.splits, shown.seats) == ((), (), (), ())
    with pytest.raises(TripNotFound):
        trips.list_comments(house.database, house.friends["di"], house.trip_id, after=None, limit=5)
    assert sorted(owed(house)) == ["ada", "bo"]


def test_who_lets_the_time_pass_is_out_and_the_next_is_asked(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di", "eve")
    release(house, "cy")
    stale = line(house, "di").offered
    assert stale is not None
    house.travel(minutes=16)
    for _ in range(2):
        house.run_until_quiet()
    assert (line(house, "di").position, line(house, "eve").position) == (None, 1)
    assert (facts(house, "place.offered"), facts(house, "place.missed")) == (["di", "eve"], ["di"])
    with pytest.raises(HandoverOver):
        take(house, "di", stale.token)
    bookings.wait_again(house.database, house.friends["di"], house.trip_id)
    assert line(house, "di").position == 2, "to the end"
    take(house, "eve")
    assert sorted(owed(house)) == ["ada", "bo", "eve"]


def test_nobody_is_left_in_the_line_so_the_place_stays(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    with pytest.raises(NobodyWaits):
        release(house, "cy")
    wait(house, "di")
    release(house, "cy")
    house.travel(minutes=16)
    for _ in range(2):
        house.run_until_quiet()
    assert facts(house, "place.unwanted") == ["cy"]
    assert bookings.read_release(house.database, house.friends["cy"], house.id) is None
    assert sorted(owed(house)) == ["ada", "bo", "cy"]
    leave(house, "cy")
    assert sorted(owed(house)) == ["ada", "bo"]


def test_the_deadline_shortens_the_offer(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    wait(house, "di", "eve")
    before, deadline_at = house.now(), house.booking().deadline_at
    until = release(house, "bo").expires_at
    assert deadline_at is not None
    assert before + (deadline_at - before) / 2 <= until <= house.now() + (deadline_at - house.now()) / 2


def test_a_release_is_taken_back_or_given_up_and_the_line_keeps_its_order(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di", "eve")
    id = release(house, "cy").id
    token = line(house, "di").offered
    assert token is not None
    with pytest.raises(HandoverNotFound):
        bookings.keep_place(house.database, house.friends["bo"], id)
    for _ in range(2):
        bookings.keep_place(house.database, house.friends["cy"], id)
    assert (facts(house, "place.withdrawn"), line(house, "di").position) == (["di"], 1)
    with pytest.raises(HandoverOver):
        take(house, "di", token.token)
    release(house, "cy")
    leave(house, "cy")
    assert (facts(house, "place.withdrawn"), line(house, "di").offered) == (["di", "di"], None)
    assert sorted(owed(house)) == ["ada", "bo"]


def test_one_way_at_a_time(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di")
    link = hand_over(house, "cy")
    with pytest.raises(HandoverOpen):
        release(house, "cy")
    bookings.keep_place(house.database, house.friends["cy"], link.id)
    release(house, "cy")
    with pytest.raises(HandoverOpen):
        hand_over(house, "cy")
    assert bookings.read_handover(house.database, house.house.sealer, house.friends["cy"], house.id) is None


def test_two_places_go_to_two_people(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di", "eve")
    release(house, "cy")
    release(house, "bo")
    offers = {name: line(house, name).offered for name in ("di", "eve")}
    assert all(offers.values())
    with pytest.raises(HandoverOver):
        take(house, "eve", offers["di"].token if offers["di"] else "")
    for name in ("eve", "di"):
        take(house, name)
    assert sorted(owed(house)) == ["ada", "di", "eve"]


def test_leaving_the_line_passes_the_offer_on(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di", "eve")
    release(house, "cy")
    for _ in range(2):
        bookings.stop_waiting(house.database, house.friends["di"], house.trip_id)
    house.run_until_quiet()
    assert (line(house, "di").position, line(house, "eve").offered is not None) == (None, True)
    assert facts(house, "place.missed") == [], "they said so themselves"


def test_a_guest_takes_it_by_the_link_of_the_message_alone(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di")
    release(house, "cy")
    offered = line(house, "di").offered
    assert offered is not None
    with pytest.raises(HandoverOver):
        bookings.take_place(house.database, house.friends["bo"], offered.token)
    nonce = mint_invite_token()
    joined = bookings.take_place(house.database, None, offered.token, nonce=nonce)
    assert (joined.member.id, joined.member.name) == (house.members["di"], "di")
    caller = people.authenticate(house.database, joined.guest_token or "")
    assert caller is not None
    assert caller.subject == house.friends["di"].subject
    again = bookings.take_place(house.database, None, offered.token, nonce=nonce)
    assert again.member == joined.member
    assert line(house, "di").position is None


def test_a_person_who_waits_must_be_logged_in_to_take_it(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    dora = house.person("dora")
    joined = bookings.wait_in_line(house.database, dora, house.invite_token, name=None)
    assert (joined.guest_token, joined.member.name) == (None, "dora")
    assert bookings.wait_in_line(house.database, dora, house.invite_token, name=None).member == joined.member
    assert house.count("SELECT count(*) FROM waiting") == 1
    release(house, "cy")
    offered = bookings.read_line(house.database, house.house.sealer, dora, house.trip_id).offered
    assert offered is not None
    with pytest.raises(Unauthenticated):
        bookings.take_place(house.database, None, offered.token)
    assert sorted(owed(house)) == ["ada", "bo", "cy"]
    bookings.take_place(house.database, dora, offered.token)
    house.run_until_quiet()
    assert sorted(owed(house)) == ["ada", "bo", "dora"]


@pytest.mark.parametrize("why", ["room", "booked", "travels", "unknown", "no name"])
def test_who_cannot_queue(saga: MakeSaga, why: str) -> None:
    house = saga("ada", "bo") if why == "room" else opened(saga, "ada", "bo")
    caller, token, name = None, house.invite_token, "di"
    wanted: type[Exception] = NothingToWaitFor
    if why == "booked":
        for one in ("ada", "bo"):
            house.pay(one)
    elif why == "travels":
        caller, wanted = house.friends["bo"], AlreadyTraveling
    elif why == "unknown":
        token, wanted = "x" * 22, InviteNotFound
    elif why == "no name":
        name, wanted = " ", NameEmpty
    with pytest.raises(wanted):
        bookings.wait_in_line(house.database, caller, token, name=name)
    assert house.count("SELECT count(*) FROM waiting") == 0
    assert house.count("SELECT count(*) FROM member") == 2


def test_who_cannot_release(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di", "eve")
    leave(house, "cy")
    for name in ("cy", "di"):
        with pytest.raises(NotTraveling):
            release(house, name)
    for name in ("ada", "bo"):
        house.pay(name)
    with pytest.raises(BookingClosed):
        release(house, "bo")


def test_who_left_the_booking_may_queue_again(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy", lost_discount="leaver")
    house.pay("cy")
    leave(house, "cy")
    bookings.wait_again(house.database, house.friends["cy"], house.trip_id)
    release(house, "bo")
    take(house, "cy")
    assert owed(house) == {"ada": 5_000, "cy": 5_000}


def test_a_full_trip_has_a_line_too_and_a_place_in_it_changes_hands(saga: MakeSaga) -> None:
    house = saga("ada", "bo")
    for number in range(members_max - 2):
        trips.join_by_invite(house.database, None, house.invite_token, name=f"friend {number}")
    wait(house, "di")
    assert (line(house, "di").position, line(house, "di").can_come_in) == (1, False)
    trips.leave(house.database, house.friends["bo"], house.trip_id)
    assert line(house, "di").can_come_in
    bookings.come_in(house.database, house.friends["di"], house.trip_id)
    assert line(house, "di").position is None
    with pytest.raises(TripNotFound):
        bookings.come_in(house.database, house.friends["di"], house.trip_id)
    assert house.count("SELECT count(*) FROM member WHERE left_at IS NULL AND role <> 'viewer'") == members_max
    wait(house, "eve")
    house.open()
    house.run_until_quiet()
    release(house, "di")
    take(house, "eve")
    assert len(house.booking().portions) == members_max


def test_a_booking_that_fails_lets_those_who_wait_come_in(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di")
    release(house, "cy")
    house.travel(minutes=31)
    house.run_until_quiet()
    assert house.booking().state is BookingState.ABORTED
    assert (facts(house, "waiting.needless"), line(house, "di").can_come_in) == (["di"], True)
    assert line(house, "di").offered is None
    bookings.come_in(house.database, house.friends["di"], house.trip_id)
    with house.database.begin(house.merchant_id) as session:
        (seat,) = [one for one in trips.members(session, house.trip_id) if one.name == "di"]
    assert (seat.role, seat.is_going) == (Role.MEMBER, True)


def test_an_invite_for_one_person_queues_that_person_only(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo")
    personal = trips.create_invite(
        house.database, house.house.sealer, house.friends["ada"], house.trip_id, for_name="Di"
    ).token
    joined = bookings.wait_in_line(house.database, None, personal, name=None)
    assert joined.member.name == "Di"
    with pytest.raises(InviteRevoked):
        bookings.wait_in_line(house.database, None, personal, name="Eve")
    assert house.count("SELECT count(*) FROM waiting") == 1


@pytest.mark.parametrize("how", ["looked_early", "parked"])
def test_a_place_that_is_offered_while_the_booking_is_decided_goes_on_when_it_is_not(saga: MakeSaga, how: str) -> None:
    """Di's time runs out during a last look that finds money gone: the place then goes to Eve, not to nobody."""
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di", "eve")
    release(house, "cy")
    state = "freezing" if how == "looked_early" else "parked"
    house.execute(f"UPDATE booking SET state = '{state}'")
    house.travel(minutes=16)
    for _ in range(2):
        assert bookings.pass_places_on(house.database, house.house.sealer, house.merchant_id) == 0
    assert bookings.read_release(house.database, house.friends["cy"], house.id) is None, "not now"
    house.execute("UPDATE booking SET state = 'open'")
    house.run_until_quiet()
    assert (facts(house, "place.missed"), facts(house, "place.offered")) == (["di"], ["di", "eve"])
    assert line(house, "eve").offered is not None


def test_a_booking_whose_order_was_taken_back_lets_those_who_wait_come_in(saga: MakeSaga) -> None:
    """It was never booked: the merchant confirmed, a bank let go, and the organizer ended the ladder."""
    house = opened(saga, "ada", "bo")
    wait(house, "di")
    release(house, "bo")
    house.merchant_twin.provoke("confirm", "unavailable", 6)
    for name in ("ada", "bo"):
        house.pay(name)
    house.provider.lapse(house._attempt("bo"))
    booking_id = house.id
    with house.database.begin(house.merchant_id) as session:
        payments.observe_all(session, booking_id)
    house.merchant_twin._troubles.clear()
    house.run_until_quiet()
    assert house.booking().state is BookingState.RECOVERING
    bookings.cancel_booking(house.database, house.friends["ada"], booking_id)
    house.run_until_quiet()
    assert house.booking().state is BookingState.REFUNDED
    assert facts(house, "waiting.needless") == ["di"]
    assert house.count("SELECT count(*) FROM handover WHERE ended_at IS NULL") == 0
    assert (line(house, "di").position, line(house, "di").can_come_in) == (1, True)


@pytest.mark.parametrize("state", ["placing", "freezing", "confirming", "parked"])
def test_who_travels_does_not_queue_while_it_is_decided(saga: MakeSaga, state: str) -> None:
    house = opened(saga, "ada", "bo")
    house.execute(f"UPDATE booking SET state = '{state}'")
    with pytest.raises(AlreadyTraveling):
        bookings.wait_again(house.database, house.friends["bo"], house.trip_id)
    assert house.count("SELECT count(*) FROM waiting") == 0


def test_who_leaves_the_trip_leaves_the_line_and_their_offer_goes_on_at_once(saga: MakeSaga) -> None:
    house = opened(saga, "ada", "bo", "cy")
    wait(house, "di", "eve")
    release(house, "cy")
    trips.leave(house.database, house.friends["di"], house.trip_id)
    house.run_until_quiet()
    assert (facts(house, "place.offered"), facts(house, "place.missed")) == (["di", "eve"], [])
    assert (line(house, "eve").position, line(house, "eve").offered is not None) == (1, True)
    assert house.count("SELECT count(*) FROM waiting WHERE ended_at IS NULL") == 1


def test_who_waits_as_a_guest_and_logs_in_keeps_their_turn(saga: MakeSaga) -> None:
    """Bo is in the trip as a person and sat out; as a guest, in another browser, he queued first."""
    house = saga("ada", "bo", "cy")
    bo = house.person("bo@plaza")
    house.adopt("bo", bo)
    trips.set_going(house.database, bo, house.trip_id, is_going=False)
    house.open()
    house.run_until_quiet()
    wait(house, "di", "eve")
    house.adopt("di", bo)
    house.friends["bo"] = bo
    assert (line(house, "bo").position, line(house, "eve").position) == (1, 2)
    with house.database.begin(house.merchant_id) as session:
        (seat,) = [one for one in trips.members(session, house.trip_id) if one.person_id == bo.subject]
    assert (seat.role, seat.is_going) == (Role.MEMBER, False)


# --- while the group plans --------------------------------------------------------------------------------------------


def full(saga: MakeSaga) -> Saga:
    """As many as go are in; Di, Eve and Fay wait."""
    house = saga("ada", "bo", "cy")
    for number in range(members_max - 3):
        trips.join_by_invite(house.database, None, house.invite_token, name=f"friend {number}")
    wait(house, "di", "eve", "fay")
    house.run_until_quiet()
    return house


def leave_trip(house: Saga, name: str) -> None:
    trips.leave(house.database, house.friends[name], house.trip_id)
    house.run_until_quiet()


def test_who_leaves_a_full_group_that_plans_makes_room_for_the_first(saga: MakeSaga) -> None:
    house = full(saga)
    assert facts(house, "waiting.room") == []
    leave_trip(house, "cy")
    assert facts(house, "waiting.room") == ["di"]
    with house.database.begin(house.merchant_id) as session:
        told = [one.code.value for one in notices.notices_for(session, house.members["di"])]
    assert told == ["room_free"]
    bookings.stop_waiting(house.database, house.friends["di"], house.trip_id)
    assert facts(house, "waiting.room") == ["di", "eve"], "who passes makes room for the next"
    bookings.stop_waiting(house.database, house.friends["fay"], house.trip_id)
    assert facts(house, "waiting.room") == ["di", "eve"], "nobody moves up by that"
    bookings.come_in(house.database, house.friends["eve"], house.trip_id)
    with pytest.raises(TripFull):
        trips.join_by_invite(house.database, None, house.invite_token, name="zoe")


def test_a_viewer_who_leaves_makes_no_room(saga: MakeSaga) -> None:
    house = full(saga)
    leave_trip(house, "eve")
    assert (facts(house, "waiting.room"), line(house, "fay").position) == ([], 2)
