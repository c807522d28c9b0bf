"""The hand-off into a merchant's frame, and who tries to abuse it."""

from __future__ import annotations

import pytest

from groupbook.kit.callers import Caller
from groupbook.kit.errors import Unauthenticated
from groupbook.kit.ids import HandoffId, new_id
from groupbook.people import (
    Handoff,
    LoggedIn,
    add_guest,
    approve_handoff,
    authenticate,
    deny_handoff,
    has_consent,
    open_handoff,
    read_guest,
    read_handoff,
    redeem_handoff,
)
from groupbook.people.domain import (
    EmbedOriginNotRegistered,
    HandoffCodeWrong,
    HandoffExpired,
    HandoffNotFound,
    HandoffNotOpen,
    InvalidChallenge,
    InvalidInstance,
    challenge_of,
)
from tests.people.conftest import SHOP, House

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"  # RFC 7636, appendix B
INSTANCE = "0123456789abcdef0123456789abcdef"


def open_one(house: House, verifier: str = VERIFIER, **changes: str) -> Handoff:
    values = {"embed_origin": SHOP, "instance": INSTANCE, "challenge": challenge_of(verifier)} | changes
    return open_handoff(house.database, merchant_id=house.kestrel.id, registered_origins=(SHOP,), **values)


def caller_of(house: House, login: LoggedIn) -> Caller:
    caller = authenticate(house.database, login.session.token)
    assert caller is not None
    return caller


def test_the_challenge_is_the_published_one() -> None:
    assert challenge_of(VERIFIER) == "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


def test_code_and_verifier_together_open_the_frames_session_once(house: House) -> None:
    handoff, ana = open_one(house), house.log_in("ana")
    assert read_handoff(house.database, handoff.id).embed_origin == SHOP
    code = approve_handoff(house.database, caller_of(house, ana), handoff.id)
    opened = redeem_handoff(house.database, handoff.id, code=code.code, verifier=VERIFIER)
    assert (opened.person.id, opened.session.kind) == (ana.person.id, "bearer")
    assert caller_of(house, opened).subject == ana.person.id
    with pytest.raises(HandoffNotOpen):
        redeem_handoff(house.database, handoff.id, code=code.code, verifier=VERIFIER)
    with pytest.raises(HandoffNotOpen):
        approve_handoff(house.database, caller_of(house, ana), handoff.id)
    with house.database.begin(house.kestrel.id) as session:
        assert has_consent(session, ana.person.id, "embed", SHOP)


def test_a_handoff_begun_by_an_attacker_shows_its_origin_and_yields_nothing_without_the_code(house: House) -> None:
    """The attacker keeps the verifier and sends the address to a victim, who even agrees."""
    handoff, victim = open_one(house), house.log_in("ana")
    assert read_handoff(house.database, handoff.id).embed_origin == SHOP  # what the victim is asked about
    code = approve_handoff(house.database, caller_of(house, victim), handoff.id)
    for guess in ("", "x", handoff.id.hex, VERIFIER, "AAAAAA"):
        with pytest.raises((HandoffCodeWrong, HandoffNotOpen)):
            redeem_handoff(house.database, handoff.id, code=guess, verifier=VERIFIER)
    with pytest.raises(HandoffNotOpen):  # five guesses spent it, for the attacker and for everybody
        redeem_handoff(house.database, handoff.id, code=code.code, verifier=VERIFIER)
    assert house.count("session") == 1


def test_a_stolen_code_is_worth_nothing_without_the_verifier(house: House) -> None:
    handoff, ana = open_one(house), house.log_in("ana")
    code = approve_handoff(house.database, caller_of(house, ana), handoff.id)
    for tries, verifier in enumerate(("", challenge_of(VERIFIER), "é" * 43, VERIFIER + "x", "x" * 10_000), start=1):
        with pytest.raises(HandoffCodeWrong) as wrong:
            redeem_handoff(house.database, handoff.id, code=code.code, verifier=verifier)
        assert wrong.value.params == {"tries_left": 5 - tries}
    with pytest.raises(HandoffNotOpen):
        redeem_handoff(house.database, handoff.id, code=code.code, verifier=VERIFIER)
    assert house.count("session") == 1


def test_nobody_redeems_before_the_person_agreed(house: House) -> None:
    handoff = open_one(house)
    with pytest.raises(HandoffCodeWrong):
        redeem_handoff(house.database, handoff.id, code="", verifier=VERIFIER)
    deny_handoff(house.database, handoff.id)
    with pytest.raises(HandoffNotOpen):
        approve_handoff(house.database, caller_of(house, house.log_in("ana")), handoff.id)


def test_the_match_code_works_when_the_opener_is_gone(house: House) -> None:
    handoff, ana = open_one(house), house.log_in("ana")
    code = approve_handoff(house.database, caller_of(house, ana), handoff.id)
    typed = f" {code.match_code[:3].lower()} {code.match_code[3:].lower()} "
    assert len(code.match_code) == 6
    assert redeem_handoff(house.database, handoff.id, code=typed, verifier=VERIFIER).person.id == ana.person.id


def test_a_code_lives_60_seconds_and_a_handoff_five_minutes(house: House) -> None:
    handoff, ana = open_one(house), house.log_in("ana")
    code = approve_handoff(house.database, caller_of(house, ana), handoff.id)
    house.age("handoff", 61)
    with pytest.raises(HandoffExpired):
        redeem_handoff(house.database, handoff.id, code=code.code, verifier=VERIFIER)
    late = open_one(house)
    house.age("handoff", 301)
    with pytest.raises(HandoffExpired):
        read_handoff(house.database, late.id)
    with pytest.raises(HandoffExpired):
        approve_handoff(house.database, caller_of(house, ana), late.id)
    with pytest.raises(HandoffExpired):
        redeem_handoff(house.database, late.id, code="x", verifier=VERIFIER)


def test_only_a_person_of_that_merchant_can_agree(house: House) -> None:
    handoff = open_one(house)
    stranger = caller_of(house, house.log_in("ana", merchant=house.other))
    with pytest.raises(HandoffNotFound):
        approve_handoff(house.database, stranger, handoff.id)
    with house.database.begin(house.kestrel.id) as session:
        seat = add_guest(session, trip_ref=new_id(), name="Gil")
    guest = authenticate(house.database, seat.session.token)
    assert guest is not None
    with pytest.raises(Unauthenticated):
        approve_handoff(house.database, guest, handoff.id)
    with pytest.raises(HandoffNotFound):
        read_handoff(house.database, HandoffId(new_id()))


def test_a_handoff_needs_a_registered_origin_and_lawful_values(house: House) -> None:
    for origin in ("https://evil.example", "http://127.0.0.1:8001/", "null", "", "http://127.0.0.1"):
        with pytest.raises(EmbedOriginNotRegistered):
            open_one(house, embed_origin=origin)
    with pytest.raises(InvalidChallenge):
        open_one(house, challenge="short")
    with pytest.raises(InvalidInstance):
        open_one(house, instance="💥" * 20)
    assert house.count("handoff") == 0


def test_a_guest_in_the_frame_keeps_the_seat_after_logging_in(house: House) -> None:
    with house.database.begin(house.kestrel.id) as session:
        seat = add_guest(session, trip_ref=new_id(), name="Ana?")
    handoff, ana = open_one(house), house.log_in("ana")
    code = approve_handoff(house.database, caller_of(house, ana), handoff.id)
    redeem_handoff(house.database, handoff.id, code=code.code, verifier=VERIFIER, guest_tokens=[seat.session.token])
    with house.database.begin(house.kestrel.id) as session:
        assert read_guest(session, seat.guest.id).person_id == ana.person.id
    assert authenticate(house.database, seat.session.token) is None
    assert [name for name, _ in house.facts()] == ["guest.adopted"]
